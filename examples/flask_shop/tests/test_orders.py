from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import httpx
import pytest
from werkzeug.serving import make_server

from webshop.models import Event, Order, db


@pytest.fixture
def tea(client):
    return client.post("/products", json={"name": "tea", "price": 250}).json["id"]


@pytest.mark.parametrize("amount", range(1, 60))
def test_no_more_is_sold_than_there_is(app, client, tea, amount):
    answer = client.post("/orders", json={"product": tea, "amount": amount})
    assert answer.status_code == (201 if amount <= 10 else 409)
    with app.app_context():
        assert db.session.query(Order).count() == (1 if amount <= 10 else 0)
        assert db.session.query(Event).count() == 2


@pytest.fixture
def server(app):
    """The app on a real port, each request in a thread of its own, for a browser or another program."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_customers_who_come_at_once_get_what_is_there(server, tea):
    def buy(_):
        return httpx.post(f"{server}/orders", json={"product": tea, "amount": 3}, timeout=30).status_code

    with ThreadPoolExecutor(5) as customers:
        assert sorted(customers.map(buy, range(5))) == [201, 201, 201, 409, 409]
    assert httpx.get(f"{server}/products", timeout=30).json() == [["tea", 1]]


def test_the_next_test_begins_with_an_empty_shop(client):
    assert client.get("/products").json == []
