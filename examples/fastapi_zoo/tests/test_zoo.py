import asyncio

import pytest
from fastapi.testclient import TestClient

from zoo.main import app
from zoo.models import Animal


async def names(client):
    return (await client.get("/animals")).json()


async def test_a_taken_name_is_retried(client):
    answers = [(await client.post("/animals")).json() for _ in range(4)]
    assert answers == ["Max", "Cody", "Robby", None]
    assert await names(client) == ["Cody", "Max", "Robby"]


async def test_visitors_who_come_at_once_get_names_of_their_own(client):
    answers = await asyncio.gather(*(client.post("/animals") for _ in range(3)))
    assert sorted(answer.json() for answer in answers) == ["Cody", "Max", "Robby"]


async def test_readers_who_come_at_once_read_the_same(client):
    await client.post("/animals")
    answers = await asyncio.gather(*(client.get("/animals") for _ in range(5)))
    assert [answer.json() for answer in answers] == [["Max"]] * 5


async def test_a_nested_transaction_is_retried(client):
    assert [(await client.post("/families/Kim")).json() for _ in range(2)] == ["Kim", "Kim II"]
    assert (await client.post("/families/Kim")).status_code == 409
    assert await names(client) == ["Kim", "Kim II"]


async def test_a_transaction_block_is_all_or_nothing(client):
    assert [(await client.post("/animals/Kim")).status_code for _ in range(2)] == [200, 500]
    assert await names(client) == ["Kim"]


async def test_a_refused_statement_is_of_no_consequence(client):
    assert (await client.post("/mistake")).status_code == 422
    assert (await client.post("/animals")).json() == "Max"


async def test_a_crash_loses_what_was_not_committed(client):
    assert (await client.post("/crash")).status_code == 500
    assert await names(client) == []


async def test_what_runs_in_the_background_has_run(client, mintdb_async_session):
    await client.post("/animals")
    assert (await mintdb_async_session.get(Animal, 1)).mails == 1


@pytest.mark.parametrize("attempt", range(2))
def test_a_blocking_client_starts_and_stops_the_application(attempt):
    with TestClient(app) as client:  # runs the lifespan, which disposes of the engine
        assert client.post("/animals").json() == "Max"
        assert client.get("/animals").json() == ["Max"]
