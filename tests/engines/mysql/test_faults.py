"""What killed runs, keepers and servers leave, and what the next run makes of it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.mysql.mariadb import new_name, new_template, root_of, run, stay
from tests.waiting import wait_for

import mintdb
from mintdb.engines.keeper import KEEPER_LOCK, State
from mintdb.engines.mysql import embedded, errors
from mintdb.engines.mysql.keeper import find_state
from mintdb.engines.mysql.maintenance import lock_key
from mintdb.engines.mysql.server import MysqlServer
from mintdb.engines.processes import is_alive

PROGRAM = """
import sys, time, mintdb
mint = mintdb.open(engine="mysql", schema="sql:schema.sql")
lease = mint.lease()
print(lease.address.database, flush=True)
time.sleep(600)
"""


@pytest.fixture
def live(own_home: Path) -> Iterator[Path]:
    """The folder of a server's live state, in a home of the test's own."""
    with stay():
        pass
    return embedded.reserve(embedded.settings_for()).home.live


def state_of(live: Path) -> State:
    state = find_state(live)
    assert state is not None
    return state


def test_what_a_killed_run_had_is_dropped_and_what_a_living_one_has_is_not(own_home: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table t (id int);")
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        killed, living = (program.stdout.readline().strip() for program in programs if program.stdout)
        programs[0].kill()
        with stay() as server:
            there = f"show databases like '{killed}'"
            wait_for(lambda: not run(root_of(server), there), "the end of what the killed run had")
            assert run(root_of(server), f"show databases like '{living}'") == [(living,)]
    finally:
        for program in programs:
            program.kill()
            program.communicate()


PREPARES = """
import sys, mintdb
mint = mintdb.open(engine="mysql", schema="sql:schema.sql")
lease = mint.lease()
connection = lease.connect()
for statement in "xa start 'left'", "insert into t values (1)", "xa end 'left'", "xa prepare 'left'":
    connection.cursor().execute(statement)
print(lease.address.database, flush=True)
sys.stdin.readline()
"""


def test_a_transaction_that_a_killed_run_had_prepared_keeps_no_database_and_no_server(
    own_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "schema.sql").write_text("create table t (id int);")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PREPARES], cwd=tmp_path, text=True, **pipes) as program:
        assert program.stdout
        left = program.stdout.readline().strip()
        with stay() as server:
            program.kill()
            wait_for(
                lambda: not run(root_of(server), f"show databases like '{left}'"),
                "the end of the killed run's database",
            )


def test_a_server_that_nobody_uses_stops_and_its_templates_are_there_when_it_runs_again(live: Path) -> None:
    with stay() as server:
        template = new_template(server, "create table t (id int)", "insert into t values (1)")
        processes = [state_of(live).server, state_of(live).keeper]
    wait_for(lambda: not any(map(is_alive, processes)), "the end of server and keeper")
    assert find_state(live) is None
    with stay() as server:
        assert server.has_template(template)
        clone = server.clone(template, new_name(server))
        assert run(clone.address, "select id from t") == [(1,)]
        clone.drop()


def test_a_killed_keeper_is_replaced_by_whoever_comes_or_leaves(live: Path) -> None:
    with stay():
        first = state_of(live).keeper
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not is_alive(first), "the keeper's end")
        with stay():
            second = state_of(live).keeper
            assert second != first
    wait_for(lambda: not is_alive(second), "the second keeper's end")


def test_a_keeper_whose_session_was_ended_comes_back_and_no_server_stops_under_its_users(live: Path) -> None:
    with stay() as server:
        before = state_of(live)
        held = f"select is_used_lock('{lock_key(KEEPER_LOCK)}')"

        def holder() -> object:
            return run(root_of(server), held)[0][0]

        ended = wait_for(holder, "the keeper's session")
        run(root_of(server), f"kill hard connection {ended}")
        wait_for(lambda: holder() not in (None, ended), "the keeper's next session")
        assert state_of(live) == before


def test_a_server_whose_folder_was_removed_stops_too(live: Path) -> None:
    with stay():
        state = state_of(live)
        shutil.rmtree(live)
    wait_for(lambda: not is_alive(state.server) and not is_alive(state.keeper), "the end of server and keeper")


def test_a_server_that_was_killed_is_told_and_the_next_run_starts_anew(live: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table t (id int auto_increment primary key);")
    mint = mintdb.open(tmp_path, engine="mysql", schema="sql:schema.sql")
    lease = mint.lease()
    run(lease.address, "insert into t values ()")
    os.kill(state_of(live).server, signal.SIGKILL)
    with pytest.raises(errors.ServerGone) as caught:
        lease.release()
    assert str(caught.value).splitlines()[2:] == [
        "  1. run the tests again: an embedded server is started anew, and what this run left is cleared up",
        "  2. if it happens again, look at the server's log and at the machine's memory",
    ]
    with mintdb.open(tmp_path, engine="mysql", schema="sql:schema.sql") as mint, mint.lease() as lease:
        assert run(lease.address, "select * from t") == []


def test_a_server_that_dies_while_it_is_joined_is_started_anew(live: Path) -> None:
    home = embedded.reserve(embedded.settings_for()).home
    met = []

    def connect(state: State) -> None:
        met.append(state.server)
        if len(met) == 1:
            os.kill(state.server, signal.SIGKILL)
            raise errors.ServerUnreachable(url="mysql://", reason="Connection reset by peer")

    with home.locked():
        home.reach(connect, linger=0, refusals=(errors.ServerUnreachable,))
    first, second = met
    assert first != second == state_of(live).server


def test_an_option_that_the_server_does_not_know_is_shown_as_it_said_it(own_home: Path) -> None:
    with pytest.raises(errors.ServerDidNotStart) as caught, stay({"no_such_option": "1"}):
        pass
    assert str(caught.value).startswith("the embedded server did not start: ")
    assert "unknown variable 'no-such-option=1'" in str(caught.value)


def test_a_machine_without_mariadb_is_told_how_to_get_it(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("mintdb.engines.mysql.binaries.FOLDERS", ("/nowhere/either",))
    with pytest.raises(errors.BinariesNotFound) as caught:
        mintdb.open(own_home, engine="mysql").reserve()
    assert (
        str(caught.value)
        == """\
neither MariaDB's nor MySQL's server was found on this machine
  looked at  /nowhere, /nowhere/either
  1. install it:  apt-get install mariadb-server   (mintdb uses the program only, never a service that runs)
  2. or name the folder that holds mariadbd or mysqld: MINTDB_BINARIES=/path/to/bin
  3. or name a server: --mintdb-url mysql://user:password@host/database"""
    )


def test_a_machine_without_the_driver_is_told_which(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(errors.DriverMissing) as caught:
        mintdb.open(own_home, engine="mysql").reserve()
    assert (
        str(caught.value)
        == """\
mintdb talks to MariaDB and MySQL through PyMySQL, which is not installed
  1. pip install 'mintdb[mysql]'"""
    )


def test_an_object_that_cannot_be_made_again_is_named_and_a_lock_tells_who_has_it(server: MysqlServer) -> None:
    template = new_template(server, "create table t (id int)", "create view v as select id from t", "drop table t")
    with pytest.raises(errors.CannotCopy) as caught:
        server.clone(template, name := new_name(server))
    assert (
        str(caught.value).replace(name, "CLONE")
        == """\
the view 'v' cannot be copied into a clone
  it said    Table 'CLONE.t' doesn't exist
  1. mend its definition: it must be one that this account may create"""
    )
    with stay() as other, other.lock("template apples", timeout=1), pytest.raises(errors.LockTimeout) as late:
        server.lock("template apples", timeout=0.1).__enter__()
    assert re.fullmatch(r", held by connection \d+", late.value.holder)
    assert (
        str(late.value)
        == f"""\
waited 0.1 s for template apples{late.value.holder}
  1. see what that process is doing
  2. or end it: its lock is free at once"""
    )
