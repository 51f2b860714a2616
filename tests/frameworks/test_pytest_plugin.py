"""The pytest plugin as a user meets it: settings, fixtures, marker, options, what is printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from mintdb.engines.places import find_places
from tests.frameworks.suites import QUIET, Suite

APP = """
import os
import psycopg

URL = os.environ["DATABASE_URL"]

def add(owner):
    with psycopg.connect(URL) as connection:
        return connection.execute("insert into account (owner) values (%s) returning id", [owner]).fetchone()[0]

def count():
    with psycopg.connect(URL) as connection:
        return connection.execute("select count(*) from account").fetchone()[0]
"""


def test_a_suite_that_only_sets_schema_and_export_is_put_back_after_every_test(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_app="""
            import app
            import pytest

            @pytest.mark.parametrize("n", range(20))
            def test_the_first_id_is_one(n):
                assert app.count() == 0
                assert app.add("ann") == 1
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 20}, ran.output
    assert "20 rewound" in ran.output


def test_each_xdist_worker_has_a_clone_of_its_own(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_app="""
            import app
            import pytest

            @pytest.mark.parametrize("n", range(40))
            def test_alone(n):
                assert app.add("ann") == 1
                assert app.count() == 1

            @pytest.mark.parametrize("configured", [False, True])
            def test_a_pytest_in_the_same_process_is_no_worker(pytester, configured):
                if configured:
                    pytester.makepyprojecttoml('[tool.mintdb.databases.default]\\nexport = "DATABASE_URL"')
                inner = "import app, os; app.psycopg.connect(os.environ['DATABASE_URL']).close()" if configured else ""
                pytester.makepyfile(f"def test_inner():\\n    {inner or 'pass'}")
                pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1)
                assert app.add("ann") == 1
        """,
    )
    ran = suite.run("-n", "2", "-p", "pytester")
    assert ran.outcomes == {"passed": 42}, ran.output
    assert "42 put back" in ran.output
    assert "which mintdb did not make" not in ran.output
    ready = r"^mintdb: default: postgresql [\d.]+ ready in gw[01] in [\d.]+ s, template (?:built|reused)$"
    assert 1 <= len(re.findall(ready, ran.output, re.MULTILINE)) <= 2, ran.output


def test_collecting_starts_nothing(suite: Suite) -> None:
    suite.write(app=APP, test_app="import app\n\ndef test_it(): app.count()\n")
    before = _postmasters()
    ran = suite.run("--collect-only", "-q")
    assert ran.code == 0, ran.output
    assert _postmasters() == before
    assert "1 test collected" in ran.output
    assert suite.run("-k", "nothing").code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert _postmasters() == before


def test_without_configuration_the_plugin_does_nothing_until_a_fixture_is_asked_for(suite: Suite) -> None:
    suite.write(
        **{
            "pyproject.toml": "[tool.pytest.ini_options]\n",
            "test_bare": """
                import os, sys

                def test_nothing_is_exported():
                    assert "DATABASE_URL" not in os.environ
                    assert "psycopg" not in sys.modules

                def test_an_empty_database(mintdb):
                    with mintdb.connect() as connection:
                        query = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
                        assert connection.execute(query).fetchone() == (0,)
            """,
        }
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 2}, ran.output


def test_the_fixture_gives_the_exported_database_in_every_form(suite: Suite) -> None:
    suite.write(
        test_forms="""
            import os

            def test_forms(mintdb):
                assert mintdb.url == os.environ["DATABASE_URL"]
                assert mintdb.url_for("postgresql+psycopg") == os.environ["SQLALCHEMY_URL"]
                assert mintdb.url_for("jdbc").startswith("jdbc:postgresql://127.0.0.1:")
                assert mintdb.params["dbname"] == mintdb.address.database
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 1}, ran.output


def test_further_leases_are_databases_of_their_own(suite: Suite) -> None:
    suite.write(
        test_two="""
            def test_two(mintdb, mintdb_lease):
                other, third = mintdb_lease(), mintdb_lease("default")
                assert len({mintdb.url, other.url, third.url}) == 3
                with mintdb.connect() as connection:
                    connection.execute("insert into account (owner) values ('ann')")
                for lease in (other, third):
                    with lease.connect() as connection:
                        assert connection.execute("select count(*) from account").fetchone() == (0,)
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 1}, ran.output


def test_a_test_may_ask_for_a_clone_of_its_own(suite: Suite) -> None:
    suite.write(
        test_clone="""
            import os
            import pytest

            @pytest.mark.mintdb(isolation="clone")
            def test_clone(mintdb):
                assert mintdb.url != os.environ["DATABASE_URL"]
                with mintdb.connect() as connection:
                    connection.execute("drop table entry")
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 1}, ran.output
    assert "1 on a clone of its own" in ran.output


def test_clones_for_all_tests_leave_the_one_at_the_exported_url_in_mint_condition(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_app="""
            import app
            import pytest

            @pytest.mark.parametrize("attempt", range(2))
            def test_the_application_has_not_heard_of_clones(attempt):
                assert app.add("ann") == 1
        """,
    )
    ran = suite.run("--mintdb-isolation", "clone")
    assert ran.outcomes == {"passed": 2}, ran.output


def test_isolation_none_puts_nothing_back(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_app="""
            import app

            def test_first():
                assert app.add("ann") == 1

            def test_second():
                assert app.count() == 1
        """,
    )
    ran = suite.run("--mintdb-isolation", "none")
    assert ran.outcomes == {"passed": 2}, ran.output
    assert "2 not put back" in ran.output


def test_fresh_builds_the_template_once_for_all_workers(suite: Suite) -> None:
    suite.write(
        app=APP,
        **{
            "schema.sql": "create table account (id serial primary key, owner text);\nselect pg_sleep(0.5);\n",
            "test_app": """
                import app
                import pytest

                @pytest.mark.parametrize("n", range(4))
                def test_it(n):
                    assert app.add("ann") == 1
            """,
        },
    )
    assert suite.run().outcomes == {"passed": 4}
    reused = suite.run()
    assert "template reused" in reused.output
    fresh = suite.run("--mintdb-fresh")
    assert "template built" in fresh.output
    assert suite.run("--mintdb-fresh", "-n", "2").outcomes == {"passed": 4}


def test_a_pytest_inside_a_test_has_a_clone_of_its_own(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_outer=f"""
            import app, os, subprocess, sys

            def test_outer():
                app.add("outer")
                run = [sys.executable, "-m", "pytest", "-q", *{QUIET}, "inner.py"]
                inner = subprocess.run(run, capture_output=True, text=True)
                assert inner.returncode == 0, inner.stdout
                assert app.count() == 1
        """,
        inner="""
            import app

            def test_inner():
                assert app.count() == 0
                app.add("inner")
        """,
    )
    ran = suite.run("test_outer.py")
    assert ran.outcomes == {"passed": 1}, ran.output


def test_below_run_a_pytest_in_another_folder_has_a_clone_of_the_same_template(suite: Suite) -> None:
    suite.write(
        test_outer=f"""
            import subprocess, sys

            INNER = "import os, psycopg; COUNT = 'select count(*) from currency'\\n"
            TEST = "def test(): assert psycopg.connect(os.environ['DATABASE_URL']).execute(COUNT).fetchone() == (3,)"

            def test_outer(tmp_path):
                (tmp_path / "pytest.ini").write_text("[pytest]")
                (tmp_path / "test_inner.py").write_text(INNER + TEST)
                run = [sys.executable, "-m", "pytest", "-q", *{QUIET}]
                inner = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
                assert inner.returncode == 0, inner.stdout + inner.stderr
                assert "template reused" in inner.stdout
        """,
    )
    pytest_below_run = [sys.executable, "-m", "mintdb.cli", "run", "--", sys.executable, "-m", "pytest", *QUIET]
    ran = subprocess.run(pytest_below_run, cwd=suite.folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_an_unknown_marker_argument_names_the_nearest(suite: Suite) -> None:
    suite.write(
        test_marker="""
            import pytest

            @pytest.mark.mintdb(isolaton="clone")
            def test_it(mintdb): ...
        """,
    )
    ran = suite.run()
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "has no argument 'isolaton'; did you mean 'isolation'?" in ran.output
    among_workers = suite.run("-n", "1")
    assert among_workers.code == pytest.ExitCode.USAGE_ERROR
    assert among_workers.output.endswith(NO_SUCH_ARGUMENT), among_workers.output
    assert among_workers.output.count("isolaton") == 1
    assert "INTERNALERROR" not in among_workers.output


NO_SUCH_ARGUMENT = """
ERROR: test_marker.py::test_it: @pytest.mark.mintdb has no argument 'isolaton'; did you mean 'isolation'?
  1. its arguments are database, isolation, leaks and rewind_examples

"""


def test_a_name_that_no_worker_can_have_is_refused_before_one_is_started(suite: Suite) -> None:
    suite.environment |= {"MINTDB_NAME": "shop", "MINTDB_URL": "postgresql://me:secret@127.0.0.1:1/postgres"}
    ran = suite.write(test_it="def test_it(): ...\n").run("-n", "2")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert ran.output.splitlines()[0].endswith(
        "worker gw0 cannot have the fixed database name on postgresql://me:***@127.0.0.1:1/postgres:"
        " all workers would share one database"
    ), ran.output
    assert len(ran.output.splitlines()) < 8, ran.output


def test_a_lease_that_fails_fails_its_test_alone_and_in_a_few_words(suite: Suite) -> None:
    suite.environment["MINTDB_PROJECT"] = "shaky"  # of other suites' templates on the server there are many
    suite.write(
        test_leases="""
            import logging, os, pytest, time
            import psycopg

            def rename(connection, old, new):
                while True:
                    try:
                        return connection.execute(f'alter database "{old}" rename to "{new}"')
                    except psycopg.errors.ObjectInUse:  # the keeper copies it
                        time.sleep(0.05)

            @pytest.fixture(scope="module", autouse=True)
            def gone():
                with psycopg.connect(os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres", autocommit=True) as c:
                    find = "select datname from pg_database where datistemplate and datname ~ '^mint_shaky'"
                    (name,) = c.execute(find).fetchone()
                    rename(c, name, "hidden")
                    yield
                    rename(c, "hidden", name)

            @pytest.mark.parametrize("attempt", range(3))  # the keeper had made some clones ahead
            def test_on_a_clone(attempt, caplog):
                logging.getLogger().warning("reached")
        """
    )
    ran = suite.run("--mintdb-isolation", "clone")
    told = re.findall(r"^_+ (ERROR at \w+) of .*\n(.*)\n", ran.output, re.MULTILINE)
    assert told, ran.output
    for where, words in told:
        assert where == "ERROR at setup"
        assert re.fullmatch(r"template mint_shaky_\w+_template has gone from \S+ while this run needs it", words)
    assert "KeyError" not in ran.output


def test_a_schema_error_stops_the_run_with_file_and_line_and_leaves_no_database(suite: Suite) -> None:
    suite.write(
        **{
            "schema.sql": "create table a (id int);\ncreate table a (id int);\n",
            "test_it": "def test_it(): ...\n",
        }
    )
    ran = suite.run("-n", "2")
    assert ran.code == pytest.ExitCode.USAGE_ERROR, ran.output
    assert ran.output.count("schema.sql:2 failed") == 1, ran.output
    assert 'relation "a" already exists' in ran.output
    assert "INTERNALERROR" not in ran.output


def test_loading_the_plugin_imports_no_third_party_module() -> None:
    code = (
        "import sys, json, pytest; before = set(sys.modules); import mintdb.pytest_plugin, mintdb.pytest_plugin.run;"
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(json.loads(output)) - set(sys.stdlib_module_names) == {"mintdb"}


def _postmasters() -> set[str]:
    """Those of this session: other people's come and go."""
    live = str(find_places().live)
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return {line for line in listed.splitlines() if f"/postgres -D {live}" in line}
