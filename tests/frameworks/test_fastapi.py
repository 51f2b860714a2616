"""FastAPI, Starlette and Litestar: the application's own sessions, each request on a connection of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.frameworks.examples import example, run_shuffled
from tests.frameworks.suites import ASYNC_SETTINGS, Suite

SOAK = bool(os.environ.get("MINTDB_SOAK"))


@pytest.mark.parametrize("scope", ["function", "session"])
def test_a_zoo_that_retries_under_concurrent_visitors(tmp_path: Path, server_home: Path, scope: str) -> None:
    scopes = [f"-oasyncio_default_{kind}_loop_scope={scope}" for kind in ("fixture", "test")]
    rounds = 200 if SOAK else 2
    ran = run_shuffled(example("fastapi_zoo", tmp_path), rounds, "-p", "asyncio", *scopes)
    assert ran.outcomes == {"passed": 10 * rounds}, ran.output
    assert "LEAK" not in ran.output


APPS = """
    import asyncio
    import os
    from contextlib import asynccontextmanager

    import asyncpg
    from litestar import Litestar, Request, post
    from psycopg_pool import ConnectionPool
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    URL = os.environ["DATABASE_URL"]
    forgotten = set()


    @asynccontextmanager
    async def lifespan(app):
        async with asyncpg.create_pool(URL, min_size=1, max_size=4) as app.state.pool:
            yield


    async def open_account(request):
        owner = request.path_params["owner"]
        number = await request.app.state.pool.fetchval("insert into account (owner) values ($1) returning id", owner)
        return JSONResponse(number)


    async def send_mail(connected):
        connection = await asyncpg.connect(URL)
        connected.set()
        await asyncio.sleep(3600)


    async def forget(request):
        connected = asyncio.Event()
        forgotten.add(asyncio.create_task(send_mail(connected)))
        await connected.wait()
        return JSONResponse(None)


    routes = [Route("/accounts/{owner}", open_account, methods=["POST"]), Route("/forget", forget, methods=["POST"])]
    starlette = Starlette(routes=routes, lifespan=lifespan)


    @asynccontextmanager
    async def litestar_lifespan(app):
        with ConnectionPool(URL, min_size=1, max_size=4, open=False) as app.state.pool:
            yield


    @post("/accounts/{owner:str}", sync_to_thread=True)
    def open_in_a_thread(request: Request) -> int:
        insert, owner = "insert into account (owner) values (%s) returning id", request.path_params["owner"]
        with request.app.state.pool.connection() as connection:
            return connection.execute(insert, [owner]).fetchone()[0]


    litestar = Litestar([open_in_a_thread], lifespan=[litestar_lifespan])
"""
TESTS = """
    import asyncio
    import os
    import socket
    import subprocess
    import sys
    import threading

    import httpx
    import pytest
    import uvicorn
    from apps import litestar, starlette
    from litestar.testing import TestClient as LitestarClient
    from starlette.testclient import TestClient


    @pytest.mark.parametrize("attempt", range(2))
    def test_starlette(attempt):
        with TestClient(starlette) as client:
            assert [client.post(f"/accounts/{owner}").json() for owner in ("Ann", "Bob")] == [1, 2]


    @pytest.mark.parametrize("attempt", range(2))
    def test_litestar(attempt):
        with LitestarClient(litestar) as client:
            assert [client.post(f"/accounts/{owner}").json() for owner in ("Ann", "Bob")] == [1, 2]


    async def at_once(url, owners):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            answers = await asyncio.gather(*(client.post(f"/accounts/{owner}") for owner in owners))
        return sorted(answer.json() for answer in answers)


    @pytest.mark.parametrize("attempt", range(2))
    async def test_uvicorn_in_a_thread(attempt):
        server = uvicorn.Server(uvicorn.Config(starlette, port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert await at_once(f"http://127.0.0.1:{port}", "abcdef") == [1, 2, 3, 4, 5, 6]
        server.should_exit = True
        thread.join()


    @pytest.fixture
    def uvicorn_process():
        with socket.create_server(("127.0.0.1", 0)) as listener:  # whoever connects is answered as soon as it is up
            file = listener.fileno()
            command = [sys.executable, "-m", "uvicorn", "apps:starlette", "--fd", str(file), "--log-level", "error"]
            with subprocess.Popen(command, pass_fds=[file]) as process:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
                process.terminate()


    @pytest.mark.parametrize("attempt", range(2))
    async def test_uvicorn_in_a_process(uvicorn_process, attempt):
        assert await at_once(uvicorn_process, "abcdef") == [1, 2, 3, 4, 5, 6]


    def test_a_task_that_nobody_waits_for_is_named():
        with TestClient(starlette) as client:
            client.post("/forget")
"""


def test_pools_of_a_lifespan_servers_in_threads_and_processes_and_a_forgotten_task(suite: Suite) -> None:
    suite.write(**{"pyproject.toml": ASYNC_SETTINGS}, apps=APPS, test_apps=TESTS)
    ran = suite.run("-q", "-p", "asyncio")
    assert ran.outcomes == {"passed": 9}, ran.output
    assert ran.output.count("LEAK") == 1, ran.output
    assert "LEAK  test_apps.py::test_a_task_that_nobody_waits_for_is_named left 1 connection open" in ran.output
    assert re.search(r"opened   apps\.py:\d+ in send_mail", ran.output), ran.output
