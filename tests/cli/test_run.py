"""`mintdb run`: a command gets a database, its exit code comes back, and nothing is left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import MINTDB, Run, Start, databases, live_states
from tests.waiting import PATIENCE, wait_for

PYTHON = sys.executable
WAITS = "print('ready', flush=True); import time; time.sleep(600)"


def test_the_command_reaches_its_database_by_every_variable(run: Run) -> None:
    script = (
        "import os, psycopg;"
        "by_url = psycopg.connect(os.environ['DATABASE_URL']).info.dbname;"
        "by_variables = psycopg.connect('').info.dbname;"
        "print(by_url == by_variables == os.environ['PGDATABASE'], os.environ['JDBC_DATABASE_URL'])"
    )
    done = run("run", "--", PYTHON, "-c", script)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"True jdbc:postgresql://127\.0\.0\.1:\d+/mint_\w+_main\?user=postgres&password=\S+\n", done.stdout
    )


def test_variables_that_lead_elsewhere_are_taken_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "PGSERVICE": "nosuch",
        "PGSERVICEFILE": "/nonexistent",
        "PGOPTIONS": "-c nosuch.setting",
        "PGHOSTADDR": "192.0.2.1",  # TEST-NET-1: nothing answers there
        "PGPASSFILE": "/nonexistent",
        "PGTZ": "Asia/Tokyo",
        "PGSSLMODE": "require",  # the embedded server has no TLS
    }.items():
        monkeypatch.setenv(variable, value)
    script = "import os, psycopg; psycopg.connect(''); print(sorted(v for v in os.environ if v.startswith('PG')))"
    done = run("run", "--", PYTHON, "-c", script)
    assert done.stdout == ("['PGDATABASE', 'PGHOST', 'PGPASSWORD', 'PGPORT', 'PGSSLMODE', 'PGUSER']\n"), done.stderr


def test_the_settings_own_exports_are_set_too(run: Run, project: Path) -> None:
    (project / "mintdb.toml").write_text('[databases.default]\nexport = { SHOP_DB = "postgresql+asyncpg" }\n')
    done = run("run", "--", PYTHON, "-c", "import os; print(os.environ['SHOP_DB'])")
    assert done.stdout.startswith("postgresql+asyncpg://postgres:"), done.stderr


def test_tables_come_from_the_schema_that_the_command_line_names(run: Run, project: Path) -> None:
    (project / "tables.sql").write_text("create table apples (id int);")
    script = "import psycopg; print(psycopg.connect('').execute('select count(*) from apples').fetchone())"
    done = run("run", "--schema", "sql:tables.sql", "--", PYTHON, "-c", script)
    assert done.stdout == "(0,)\n", done.stderr


def test_stdout_is_the_commands_alone(run: Run, project: Path) -> None:
    (project / "tables.sql").write_text(f"create table t{time.time_ns()} (id int);")  # never built before
    done = run("run", "--schema", "sql:tables.sql", "--", "echo", "mine")
    assert done.stdout == "mine\n"
    assert done.stderr == "mintdb: building the template from sql:tables.sql\n"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 77, 255])
def test_the_exit_code_is_passed_on(run: Run, code: int) -> None:
    assert run("run", "--", "sh", "-c", f"exit {code}").returncode == code


def test_a_command_ended_by_a_signal_gives_128_and_its_number(run: Run) -> None:
    assert run("run", "--", "sh", "-c", "kill -KILL $$").returncode == 128 + 9


def test_a_command_that_is_not_there_is_refused_before_anything_starts(run: Run, project: Path) -> None:
    done = run("run", "--", "nosuch", env={"PATH": "/usr/bin", "MINTDB_CACHE_DIR": str(project / "cache")})
    assert (done.returncode, done.stderr) == (
        127,
        "mintdb: 'nosuch' was not found: no program of that name is on PATH\n",
    )
    assert not (project / "cache").exists()


def test_a_command_that_cannot_be_run_is_refused(run: Run, project: Path) -> None:
    (project / "data").write_text("not a program")
    done = run("run", "--", "./data")
    assert (done.returncode, done.stderr) == (126, "mintdb: './data' cannot be run: it is not executable\n")
    (project / "data").chmod(0o755)
    done = run("run", "--", "./data")
    assert done.returncode == 126
    assert done.stderr.endswith("mintdb: './data' cannot be run: Exec format error\n")
    assert databases() == set()


def test_the_database_is_gone_when_the_command_has_ended(run: Run) -> None:
    script = "import psycopg; print(psycopg.connect('').execute('select current_database()').fetchone()[0])"
    name = run("run", "--", PYTHON, "-c", script).stdout.strip()
    assert name.startswith("mint_")
    assert name not in databases()


def test_whoever_is_still_connected_is_named_and_ended(run: Run) -> None:
    stays = "import psycopg, time; c = psycopg.connect(''); c.execute('select 42'); print('in', flush=True)"
    stays += "; time.sleep(600)"
    script = (
        "import subprocess, sys;"
        f"p = subprocess.Popen([sys.executable, '-c', {stays!r}], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL);"
        "p.stdout.readline(); print(p.pid)"
    )
    done = run("run", "--", PYTHON, "-c", script)
    subprocess.run(["kill", done.stdout.strip()], check=True)  # it goes on without its connection, and nobody waited
    assert re.fullmatch(
        r"mintdb: still connected when the command had ended: backend \d+, .*idle in transaction for \d+\.\d s,"
        r" last ran select 42",
        done.stderr.splitlines()[-1],
    ), done.stderr
    assert databases() == set()


def test_a_pipe_ends_with_the_command(project: Path) -> None:
    piped = ["sh", "-c", f"{MINTDB} run -- echo through | cat"]
    assert subprocess.run(piped, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout == "through\n"


def test_the_command_reads_our_stdin(run: Run) -> None:
    assert run("run", "--", "cat", input="handed down").stdout == "handed down"


def test_an_error_of_mintdbs_own_has_no_traceback_and_an_exit_code_of_its_own(run: Run) -> None:
    done = run("run", "--schema", "sql:nowhere.sql", "--", "true")
    assert done.returncode == 3
    assert done.stderr.startswith("mintdb: schema source 'sql:nowhere.sql' was not found\n  looked at ")
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_gone_has_no_settings(run: Run, project: Path) -> None:
    gone = project / "gone"
    done = run("run", "--", "true", preexec_fn=lambda: (gone.mkdir(), os.chdir(gone), gone.rmdir()))
    assert (done.returncode, done.stderr) == (
        3,
        """\
mintdb: the current folder does not exist any more
  1. change to one that does:  cd "$HOME"
""",
    )


def test_what_makes_a_database_does_not_go_with_watch(run: Run) -> None:
    for option in ("--keep", "--name=orchard"):
        done = run("run", "--watch", option, "--", "true")
        assert done.returncode == 2
        assert "Error: --watch makes no database: of the other options only --report goes with it" in done.stderr


def test_a_report_that_is_not_written_is_told(run: Run, project: Path) -> None:
    (project / "file").touch()
    post = "import os, urllib.request as r; r.urlopen(os.environ['MINTDB_PUT_BACK_URL'], b'')"
    done = run("run", "--report", "file/x.json", "--", PYTHON, "-c", post)
    assert "mintdb: the report file/x.json could not be written: File exists\n" in done.stderr
    done = run("run", "--report", "x.json", "--", "true")
    assert done.stderr == "mintdb: no report is written: no test has ended that mintdb knows of\n"


def test_two_runs_of_one_name_wait_for_each_other(start: Start, run: Run) -> None:
    first = start("run", "--name", "orchard", "--", "sh", "-c", "echo ready; read _", stdin=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"
    second = start("run", "--name", "orchard", "--", "sh", "-c", "echo $PGDATABASE")
    assert second.stderr is not None
    said = second.stderr.readline()
    assert re.fullmatch(
        r"mintdb: waiting up to 300 s for database name 'orchard', held by mintdb run \w{7} \(process \d+\)\n", said
    ), said
    assert f"(process {first.pid})" in said
    assert second.poll() is None
    first.communicate("\n")
    assert second.communicate(timeout=PATIENCE)[0] == "orchard\n"
    assert second.returncode == 0
    assert "orchard" not in databases()


def test_waiting_for_a_name_ends_after_name_timeout(start: Start, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start("run", "--name", "orchard", "--", PYTHON, "-c", WAITS)
    assert first.stdout is not None
    first.stdout.readline()
    monkeypatch.setenv("MINTDB_NAME_TIMEOUT", "1")
    done = run("run", "--name", "orchard", "--", "true")
    assert done.returncode == 3
    assert "database name 'orchard' is taken, held by mintdb run" in done.stderr
    first.terminate()
    first.wait(PATIENCE)
    wait_for(lambda: "orchard" not in databases(), "the first run's database is dropped")


def test_a_kept_database_can_be_opened_until_mintdb_down(run: Run) -> None:
    import psycopg

    create = "import psycopg; psycopg.connect('', autocommit=True).execute('create table apples ()')"
    done = run("run", "--keep", "--", PYTHON, "-c", create)
    url = done.stderr.strip().rpartition("kept ")[2]
    run("run", "--", "true")  # the next run reaps what nobody owns
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from apples").fetchone() == (0,)
    assert run("down").returncode == 0
    assert live_states() == []
    run("run", "--", "true")
    assert databases() == set()


def test_the_exit_code_comes_back_though_the_server_was_stopped_meanwhile(start: Start, run: Run) -> None:
    running = start("run", "--", "sh", "-c", "echo ready; read _; exit 5", stdin=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    assert run("down", "--force").returncode == 0
    said = running.communicate("\n")[1]
    assert running.returncode == 5
    assert re.search(r"mintdb: could not clean up after the command: the server at \S+ went away under way\n", said)


def test_a_name_that_mintdb_did_not_make_is_refused(run: Run) -> None:
    import psycopg

    with psycopg.connect(run("up").stdout.strip(), autocommit=True) as connection:
        connection.execute("create database precious")
        try:
            done = run("run", "--name", "precious", "--", "true")
            assert done.returncode == 3
            assert "database 'precious' exists on postgresql://" in done.stderr
            assert "and mintdb did not make it" in done.stderr
        finally:
            connection.execute("drop database precious")
    run("down")
