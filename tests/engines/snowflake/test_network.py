"""No Snowflake connection of a test reaches the network, whichever way it is made: the kernel is the witness."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mintdb.snowflake
from mintdb.snowflake import NetworkRefused

ATTEMPTS = """
import asyncio, sys
from contextlib import suppress
from functools import partial

import snowflake.connector
from snowflake.connector import SnowflakeConnection, connect
from mintdb.snowflake import NetworkRefused, shut

shut()

class Mine(SnowflakeConnection):
    pass

def bare():
    connection = object.__new__(SnowflakeConnection)
    connection.__init__(account="acme", user="u", password="p")

LOGIN = dict(account="acme-production.eu-west-1", user="u", password="p", login_timeout=2)
attempts = [connect, snowflake.connector.connect, SnowflakeConnection, Mine, partial(connect, role="r"),
            getattr(snowflake.connector, "Connect", connect)]
refused = 0
for attempt in attempts:
    try:
        attempt(**LOGIN)
    except NetworkRefused as error:
        refused += "acme-production.eu-west-1" in str(error)
try:
    bare()
except NetworkRefused:
    refused += 1
with suppress(ImportError):  # connector 4 needs aiohttp for it
    from snowflake.connector import aio

    async def wait():
        await aio.SnowflakeConnection(**LOGIN).connect()
    try:
        asyncio.run(wait())
    except NetworkRefused as error:
        assert "acme-production.eu-west-1': asynchronous connections are not answered" in str(error), error
    else:
        sys.exit("asynchronous connections are let through")
sys.exit(0 if refused == len(attempts) + 1 else f"{refused} of {len(attempts) + 1} refused")
"""
EMULATED = """
import mintdb
from snowflake.connector import connect
with mintdb.open(engine="snowflake") as mint, mint.lease():
    with connect(account="acme-production", user="u", password="p", database="d", schema="s") as connection:
        cursor = connection.cursor()
        cursor.execute("create table t (id int)")
        cursor.execute("insert into t values (1)")
        assert cursor.execute("select * from t").fetchall() == [(1,)]
        cursor.execute("create stage files")
        cursor.execute("put file://trace @files")
        for far in ("copy into t from 's3://bucket/t.csv'", "select * from read_csv('https://example.com/t.csv')"):
            try:
                cursor.execute(far)
            except Exception as error:
                assert "download" not in str(error), error
            else:
                raise SystemExit("a file of another machine was read")
try:
    connect(account="acme-production", user="u", password="p")
except mintdb.snowflake.NetworkRefused:
    pass
else:
    raise SystemExit("after the run a connection is let through")
"""

# A netlink socket is how the resolver begins; asyncio's loops talk to themselves over a pair of unix sockets.
REACHES_OUT = r"connect\(.*AF_INET|AF_NETLINK|sendto|sendmsg"


@pytest.mark.parametrize("program", [ATTEMPTS, EMULATED], ids=["refused", "emulated"])
def test_the_kernel_sees_no_call_to_the_network(program: str, tmp_path: Path, server_home: Path) -> None:
    strace, unshare = shutil.which("strace"), shutil.which("unshare")
    if not strace or not unshare:
        pytest.skip("needs strace and unshare:  apt-get install strace util-linux")
    if subprocess.run([unshare, "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("may not make an empty network namespace, without which no attempt is made")
    trace = tmp_path / "trace"
    command = [unshare, "-n", strace, "-f", "-qq", "-e", "trace=network", "-o", trace, sys.executable, "-c", program]
    aside = {"cwd": tmp_path, "env": {**os.environ, "TMPDIR": str(tmp_path)}}
    run = subprocess.run(command, **aside, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]  # fakesnow keeps a folder for each process
    # Connector 4's urllib3 asks, when it is imported, whether a socket can be bound to ::1, and leaves it at that.
    calls = [line for line in trace.read_text().splitlines() if re.search(REACHES_OUT, line)]
    assert calls == []


def test_a_connect_that_nothing_answers_names_the_account_and_the_line() -> None:
    from snowflake.connector import connect

    with pytest.raises(NetworkRefused) as raised:
        connect(account="acme.eu-west-1", user="ann", password="pwd-1234")
    assert re.sub(r":\d+ in", ":N in", str(raised.value)) == (
        """\
refused to connect to the Snowflake account 'acme.eu-west-1': nothing answers it now
  asked at tests/engines/snowflake/test_network.py:N in test_a_connect_that_nothing_answers_names_the_account_and_the_line
  1. connect within a test or a lease of a database with  engine = "snowflake"
  2. or within  with mintdb.scripted() as script: …
  3. to reach the real account, call  mintdb.snowflake.reopen()  first"""  # noqa: E501
    )
    assert mintdb.snowflake.is_shut()
