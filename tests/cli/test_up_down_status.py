"""`mintdb up`, `down` and `status`: a server that stays, what is on it, and who may stop it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from programs import Run, Start, databases, live_states

from mintdb.engines.keeper import TEMPLATES_KEPT
from mintdb.engines.places import find_places
from mintdb.engines.postgresql import databases as databases_of_mintdb
from mintdb.engines.postgresql import inventory, warm

VARYING = {
    r"18\.\d+": "18.X",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "THEN",
    r"\d+ MB": "N MB",
    r"runs       \w{7}": "runs       RUN",
    r"_\w{7}_main": "_RUN_main",
    r": \S+ \S+mintdb run": ": mintdb run",
    r"[0-9a-f]{12}_template": "FINGERPRINT_template",
    r"(FINGERPRINT_template)(\n {13}\S+)+": r"\1",  # of earlier tests
}


@pytest.fixture(autouse=True)
def _down_again(run: Run) -> Iterator[None]:
    yield
    run("down", "--force")


@pytest.fixture
def orchard(project: Path) -> Path:
    """A project with one table."""
    (project / "tables.sql").write_text("create table apples (id int);")
    (project / "mintdb.toml").write_text('[databases.default]\nschema = "sql:tables.sql"\n')
    return project


def test_up_prints_the_url_alone_and_the_server_outlives_the_linger(run: Run, orchard: Path) -> None:
    done = run("up")
    assert re.fullmatch(r"postgresql://postgres:\S+@127\.0\.0\.1:\d+/mint_orchard_up\n", done.stdout)
    time.sleep(float(os.environ["MINTDB_LINGER"]) + 1.5)
    with psycopg.connect(done.stdout.strip()) as connection:
        assert connection.execute("select count(*) from apples").fetchone() == (0,)


def test_up_again_gives_a_fresh_database_and_names_whom_that_ends(run: Run, orchard: Path) -> None:
    url = run("up").stdout.strip()
    with psycopg.connect(url, autocommit=True, application_name="picker") as connection:
        connection.execute("insert into apples values (1)")
        done = run("up")
    assert re.match(r"mintdb: ended by the refresh: backend \d+, process \d+ \(.*\), picker, idle for", done.stderr)
    with psycopg.connect(done.stdout.strip()) as connection:
        assert connection.execute("select count(*) from apples").fetchone() == (0,)


def test_down_leaves_neither_server_nor_database(run: Run, orchard: Path) -> None:
    url = run("up").stdout.strip()
    port = url.rpartition(":")[2].partition("/")[0]
    done = run("down")
    assert (done.returncode, done.stderr) == (0, f"mintdb: the server on port {port} has stopped\n")
    assert live_states() == []
    assert not list(find_places().live.glob("*/pinned"))
    run("run", "--", "true")
    assert databases() == set()


def test_of_templates_that_nobody_uses_eight_outlive_a_stop_whatever_they_hold(run: Run, orchard: Path) -> None:
    run("up")
    (running,) = inventory.find_running()
    maintenance = inventory.observe(inventory.address_of(running))
    for number in range(TEMPLATES_KEPT + 1):  # of projects with the same schema
        name = f"mint_tree{number}_{'a' * 12}_template"
        databases_of_mintdb.create(maintenance, name, template="template0")
        databases_of_mintdb.seal(maintenance, name)
        if number in (0, TEMPLATES_KEPT):
            warm.make(maintenance, name)
    maintenance.close()
    assert run("down").returncode == 0
    run("up")
    (running,) = inventory.find_running()
    with psycopg.connect(inventory.address_of(running).url) as session:
        kept = [name for (name,) in session.execute("select datname from pg_database where datname ~ '^mint_tree'")]
    trees = [name.split("_")[1] for name in kept]
    newest = f"tree{TEMPLATES_KEPT}"  # with its warm clone
    assert sorted(trees) == sorted([*(f"tree{number}" for number in range(1, TEMPLATES_KEPT + 1)), newest])


def test_down_refuses_while_a_live_run_uses_the_server_and_names_it(run: Run, start: Start, orchard: Path) -> None:
    running = start("run", "--", "sh", "-c", "echo ready; read _", stdin=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    done = run("down")
    (state,) = live_states()
    assert done.returncode == 3
    assert (
        re.sub(r"\w{7} \(", "RUN (", done.stderr)
        == f"""\
mintdb: the server on port {state.port} is in use
  by         RUN (process {running.pid})
  1. let them end
  2. or stop it all the same:  mintdb down --force
"""
    )
    running.communicate("\n")
    assert running.returncode == 0


def test_down_with_force_says_who_lost_the_server(run: Run, start: Start) -> None:
    running = start("run", "--", "sh", "-c", "echo ready; read _", stdin=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    done = run("down", "--force")
    assert done.returncode == 0
    assert re.search(rf"run \w{{7}} \(process {running.pid}\) has lost its server", done.stderr)
    assert live_states() == []
    running.communicate("\n")


def test_down_with_nothing_running_says_so(run: Run) -> None:
    run("down", "--force")
    done = run("down")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "mintdb: no embedded server runs\n")


def test_status_tells_runs_templates_clones_and_what_is_kept(run: Run, start: Start, orchard: Path) -> None:
    run("up")
    running = start("run", "--", "sh", "-c", "echo ready; read _", stdin=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    shown = run("status").stdout
    (state,) = live_states()
    for pattern, word in VARYING.items():
        shown = re.sub(pattern, word, shown)
    assert (
        shown
        == f"""\
PostgreSQL 18.X on port {state.port}, process {state.server}, since THEN, stays until mintdb down
  data       {state.data}, N MB
  runs       RUN, process {running.pid}: mintdb run -- sh -c echo ready; read _
  templates  mint_orchard_FINGERPRINT_template
  clones     mint_orchard_RUN_main
  kept       mint_orchard_up
"""
    )
    running.communicate("\n")


def test_status_with_nothing_running_says_so(run: Run) -> None:
    run("down", "--force")
    assert run("status").stdout == "no embedded server runs\n"


def test_up_is_refused_where_the_settings_name_another_server(run: Run, project: Path) -> None:
    (project / "mintdb.toml").write_text('[databases.default]\nurl = "postgresql://me:secret@db.example/shop"\n')
    done = run("up")
    assert done.returncode == 3
    assert (
        done.stderr
        == """\
mintdb: mintdb up starts a server of mintdb's own, but the settings name postgresql://me:***@db.example/shop
  1. use that server's databases as they are
  2. or take `url` out of the settings
"""
    )
