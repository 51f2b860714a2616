"""What people read when a setting, a marker or a URL is wrong, word for word, each from the real failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.frameworks.suites import QUIET

from mintdb.address import BadUrl, UnknownUrlForm, parse_url
from mintdb.errors import SettingsError
from mintdb.settings import (
    DATABASE_KEYS,
    ENGINES,
    RUN_KEYS,
    BadSetting,
    BadSettingsFile,
    EngineMismatch,
    MirrorHasMore,
    NotOfThisEngine,
    ProtectedEnvironment,
    ProtectedServer,
    UnknownDatabase,
    UnknownEnvironment,
    UnknownSetting,
    UnknownVariable,
    UnsetVariable,
    load,
)
from mintdb.settings.facts import OF_BOTH

SCHEMES = "it does not begin with postgresql:, postgres:, mysql:, mariadb:, sqlite:, snowflake:"


def message_of(kind: type[SettingsError], project: Path, toml: str = "", **more: object) -> str:
    """What reading a project's settings says."""
    if toml:
        (project / "mintdb.toml").write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load(project, environ=more.pop("environ", {}), **more)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path


# settings


def test_an_unknown_setting_of_the_run(project: Path) -> None:
    assert (
        message_of(UnknownSetting, project, 'isolaton = "clone"')
        == f"""\
unknown setting 'isolaton' in {project}/mintdb.toml; did you mean 'isolation'?
  1. the settings known here: {", ".join((*RUN_KEYS, "databases", "environments"))}"""
    )


def test_an_unknown_setting_that_is_like_no_other(project: Path) -> None:
    assert message_of(UnknownSetting, project, "qqq = 1").splitlines()[0] == (
        f"unknown setting 'qqq' in {project}/mintdb.toml"
    )


def test_an_unknown_setting_of_a_database(project: Path) -> None:
    assert (
        message_of(UnknownSetting, project, '[databases.shop]\nshema = "sql:db/"')
        == f"""\
unknown setting 'shema' in [databases.shop] of {project}/mintdb.toml; did you mean 'schema'?
  1. the settings known here: {", ".join((*DATABASE_KEYS, *OF_BOTH))}"""
    )


def test_an_isolation_that_there_is_not(project: Path) -> None:
    assert (
        message_of(BadSetting, project, command_line={"isolation": "truncate"})
        == """\
setting 'isolation' in command line is 'truncate', which cannot be used
  1. give it one of rewind, clone, transaction, none"""
    )


def test_a_time_that_is_no_number(project: Path) -> None:
    assert (
        message_of(BadSetting, project, environ={"MINTDB_SETTLE": "soon"})
        == """\
setting 'settle' in variable MINTDB_SETTLE is 'soon', which cannot be used
  1. give it a number of seconds, 0 or more"""
    )


def test_a_time_below_zero(project: Path) -> None:
    assert (
        message_of(BadSetting, project, "linger = -1")
        == f"""\
setting 'linger' in {project}/mintdb.toml is -1, which cannot be used
  1. give it a number of seconds, 0 or more"""
    )


def test_an_engine_that_there_is_not(project: Path) -> None:
    assert (
        message_of(BadSetting, project, '[databases.default]\nengine = "oracle"')
        == f"""\
setting 'engine' in [databases.default] of {project}/mintdb.toml is 'oracle', which cannot be used
  1. give it one of {", ".join(ENGINES)}"""
    )


@pytest.mark.parametrize("value", [3, "A-B C", {"DATABASE-URL": "libpq"}], ids=str)
def test_an_export_that_is_neither_a_name_nor_a_table(project: Path, value: object) -> None:
    written = str(value).replace(": ", " = ") if isinstance(value, dict) else repr(value)
    assert (
        message_of(BadSetting, project, f"[databases.default]\nexport = {written}")
        == f"""\
setting 'export' in [databases.default] of {project}/mintdb.toml is {value!r}, which cannot be used
  1. give it a variable name, or a table such as {{ DATABASE_URL = "libpq", ASYNC_URL = "postgresql+asyncpg" }}"""
    )


def test_server_settings_that_are_no_table(project: Path) -> None:
    assert (
        message_of(BadSetting, project, '[databases.default]\nserver_settings = "work_mem=1MB"')
        == f"""\
setting 'server_settings' in [databases.default] of {project}/mintdb.toml is 'work_mem=1MB', which cannot be used
  1. give it a table of server parameters"""
    )


def test_databases_that_are_no_tables(project: Path) -> None:
    assert (
        message_of(BadSetting, project, 'databases = "shop"')
        == f"""\
setting 'databases' in {project}/mintdb.toml is 'shop', which cannot be used
  1. give it one table for each database"""
    )
    assert (
        message_of(BadSetting, project, 'databases.shop = "sql:db/"')
        == f"""\
setting 'shop' in {project}/mintdb.toml is 'sql:db/', which cannot be used
  1. give it a table"""
    )


def test_an_empty_schema(project: Path) -> None:
    assert (
        message_of(BadSetting, project, '[databases.default]\nschema = ""')
        == f"""\
setting 'schema' in [databases.default] of {project}/mintdb.toml is '', which cannot be used
  1. give it a text"""
    )


def test_a_settings_file_that_is_not_toml(project: Path) -> None:
    assert (
        message_of(BadSettingsFile, project, "[databases.default\n")
        == f"""\
cannot read the settings in {project}/mintdb.toml
  Expected ']' at the end of a table declaration (at line 1, column 19)
  1. mend the file: it must be TOML, in UTF-8"""
    )


def test_a_settings_file_that_is_not_utf_8(project: Path) -> None:
    (project / "mintdb.toml").write_bytes(b'project = "caf\xe9"')
    assert (
        message_of(BadSettingsFile, project)
        == f"""\
cannot read the settings in {project}/mintdb.toml
  'utf-8' codec can't decode byte 0xe9 in position 14: invalid continuation byte
  1. mend the file: it must be TOML, in UTF-8"""
    )


def test_a_database_that_is_not_configured(project: Path) -> None:
    (project / "mintdb.toml").write_text("[databases.shop]\n[databases.stock]\n")
    with pytest.raises(UnknownDatabase) as caught:
        load(project, environ={}).get_database("shopp")
    assert (
        str(caught.value)
        == """\
no database 'shopp' is configured; did you mean 'shop'?
  1. the configured databases: shop, stock
  2. or add it:  [tool.mintdb.databases.shopp]"""
    )


# environments, variables, mirrors

ENVIRONMENTS = """
[databases.default]
url = "postgresql://me:secret@db/shop"
[environments.dev]
[environments.production]
protected = true
databases.default.url = "postgresql://me:secret@prod/shop"
"""


def test_an_environment_that_there_is_not(project: Path) -> None:
    assert (
        message_of(UnknownEnvironment, project, ENVIRONMENTS, environ={"MINTDB_ENV": "prodution"})
        == """\
no environment 'prodution' is configured; did you mean 'production'?
  asked for  by variable MINTDB_ENV
  1. the configured environments: dev, production
  2. or add it:  [tool.mintdb.environments.prodution]"""
    )


def test_environments_of_a_wrong_form(project: Path) -> None:
    assert message_of(BadSetting, project, "environments = 3").endswith("1. give it one table for each environment")
    assert message_of(BadSetting, project, "environments.ci = 3").endswith("1. give it a table")
    assert message_of(UnknownSetting, project, "[environments.ci]\nprotect = true").splitlines()[0] == (
        f"unknown setting 'protect' in [environments.ci] of {project}/mintdb.toml; did you mean 'protected'?"
    )
    wrong = "[environments.ci.databases.shop]\nshema = 'sql:db/'"
    assert message_of(UnknownSetting, project, wrong, environ={"MINTDB_ENV": "ci"}).splitlines()[0] == (
        f"unknown setting 'shema' in [environments.ci.databases.shop] of {project}/mintdb.toml; did you mean 'schema'?"
    )


def test_an_argument_that_is_no_setting(project: Path) -> None:
    assert message_of(UnknownSetting, project, call={"shema": "sql:db/"}).splitlines()[0] == (
        "unknown setting 'shema' in call; did you mean 'schema'?"
    )


def test_a_protected_environment(project: Path) -> None:
    (project / "mintdb.toml").write_text(ENVIRONMENTS)
    with pytest.raises(ProtectedEnvironment) as caught:
        load(project, environ={}, command_line={"env": "production"}).refuse_protected()
    assert (
        str(caught.value)
        == """\
environment 'production' is protected: mintdb does not touch its databases
  chosen     by command line
  1. choose another one:  --mintdb-env NAME, or MINTDB_ENV=NAME
  2. see where each setting comes from:  mintdb env"""
    )


def test_a_protected_environments_server(project: Path) -> None:
    (project / "mintdb.toml").write_text(ENVIRONMENTS)
    with pytest.raises(ProtectedServer) as caught:
        load(project, environ={"MINTDB_URL": "postgresql://you:secret@prod:5432/test"}).refuse_protected()
    assert (
        str(caught.value)
        == """\
database 'default' is on the server of the protected environment 'production': mintdb does not touch it
  its URL    postgresql://you:***@prod:5432/test
  1. name another server, or take the URL away: mintdb then runs a server of its own
  2. see where each setting comes from:  mintdb env"""
    )


@pytest.mark.parametrize(("environ", "state"), [({}, "not set"), ({"CI_URL": ""}, "empty")])
def test_a_variable_that_is_not_there(project: Path, environ: dict[str, str], state: str) -> None:
    assert (
        message_of(UnsetVariable, project, "[databases.default]\nurl = '${CI_URL}'", environ=environ)
        == f"""\
setting 'url' in [databases.default] of {project}/mintdb.toml needs the variable CI_URL, which is {state}
  1. set it:  export CI_URL=…
  2. or choose another environment:  --mintdb-env NAME"""
    )


@pytest.mark.parametrize(
    ("variable", "near"),
    [("MINTDB_LEAK", "MINTDB_LEAKS"), ("MINTDB_ISOLATON", "MINTDB_ISOLATION"), ("mintdb_url", "MINTDB_URL")],
)
def test_a_misspelt_variable(project: Path, variable: str, near: str) -> None:
    assert (
        message_of(UnknownVariable, project, environ={variable: "x"})
        == f"""\
unknown variable {variable} in the environment; did you mean {near}?
  1. rename it, or take it away:  unset {variable}"""
    )


def test_a_url_and_an_engine_that_do_not_fit(project: Path) -> None:
    toml = "[databases.default]\nengine = 'postgresql'\nurl = 'mysql://me:secret@db/shop'"
    assert (
        message_of(EngineMismatch, project, toml)
        == f"""\
mysql://me:***@db/shop is a mysql URL, but the engine is postgresql
  given in   [databases.default] of {project}/mintdb.toml
  1. write  engine = "mysql"  beside the url, or leave the engine out: the URL says it
  2. or mend the URL"""
    )


def test_a_setting_that_only_postgresql_has(project: Path) -> None:
    assert (
        message_of(NotOfThisEngine, project, "[databases.default]\nengine = 'sqlite'\nroles = ['app']")
        == f"""\
setting 'roles' is PostgreSQL's, but the engine of database 'default' is sqlite
  given in   [databases.default] of {project}/mintdb.toml
  1. take it out
  2. or move it to where the engine is postgresql: an environment's table, say"""
    )


def test_a_mirror_with_a_schema_of_its_own(project: Path) -> None:
    toml = "[databases.default]\n[databases.replica]\nmirror = 'default'\nschema = 'sql:db/'"
    assert (
        message_of(MirrorHasMore, project, toml)
        == f"""\
database 'replica' mirrors 'default', so it can have no 'schema' of its own
  given in   [databases.replica] of {project}/mintdb.toml
  1. take 'schema' out, or give it to 'default'
  2. or take `mirror` out: 'replica' is then a database of its own"""
    )


def test_a_mirror_of_nothing_and_of_a_mirror(project: Path) -> None:
    toml = "[databases.default]\n[databases.one]\nmirror = 'defualt'"
    assert message_of(UnknownDatabase, project, toml).splitlines()[0] == (
        "no database 'defualt' is configured; did you mean 'default'?"
    )
    toml = "[databases.default]\n[databases.one]\nmirror = 'default'\n[databases.two]\nmirror = 'one'"
    assert (
        message_of(BadSetting, project, toml)
        == f"""\
setting 'mirror' in [databases.two] of {project}/mintdb.toml is 'one', which cannot be used
  1. give it the name of a database that is no mirror itself"""
    )


def test_a_list_that_is_none(project: Path) -> None:
    assert message_of(BadSetting, project, "[databases.default]\nroles = 3").endswith("1. give it a list of texts")
    assert message_of(BadSetting, project, "[databases.default]\nseed = ['sql:a', 3]").endswith("1. give it a text")


# the marker

MISLEADING = ("MINTDB_", "PYTEST", "DATABASE_URL")
KEPT = ("MINTDB_CACHE_DIR", "MINTDB_LINGER")


def refused(project: Path, marker: str) -> list[str]:
    """What pytest says of a suite with such a marker, and that it runs no test of it."""
    (project / "mintdb.toml").write_text("[databases.default]\n")
    (project / "test_it.py").write_text(f"import pytest\n\n\n{marker}\ndef test_it():\n    raise AssertionError\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *QUIET],
        cwd=project,
        env={name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(MISLEADING)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "1 failed" not in done.stdout
    return [line for line in done.stderr.splitlines() if line]


def test_an_unknown_marker_argument(project: Path, server_home: Path) -> None:
    assert refused(project, '@pytest.mark.mintdb(isolate="clone")')[0] == (
        "ERROR: test_it.py::test_it: @pytest.mark.mintdb has no argument 'isolate'; did you mean 'isolation'?"
    )


def test_a_marker_with_too_many_arguments(project: Path, server_home: Path) -> None:
    arguments = ", ".join(["'default'", *["None"] * 5, "'more'"])
    said = refused(project, f"@pytest.mark.mintdb({arguments})")
    assert said[0].startswith("ERROR: test_it.py::test_it: @pytest.mark.mintdb has no argument ")


def test_a_marker_with_an_unknown_database(project: Path, server_home: Path) -> None:
    assert refused(project, '@pytest.mark.mintdb("defautl")') == [
        "ERROR: no database 'defautl' is configured; did you mean 'default'?",
        "  1. the configured databases: default",
        "  2. or add it:  [tool.mintdb.databases.defautl]",
    ]


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [("isolation", "truncate", "one of rewind, clone, transaction, none"), ("rewind_examples", "no", "True or False")],
)
def test_a_marker_with_a_wrong_value(
    project: Path, server_home: Path, argument: str, value: str, expected: str
) -> None:
    assert refused(project, f"@pytest.mark.mintdb({argument}={value!r})") == [
        f"ERROR: setting {argument!r} in the marker of test_it.py::test_it is {value!r}, which cannot be used",
        f"  1. give it {expected}",
    ]


# URLs


@pytest.mark.parametrize(
    ("url", "shown", "why"),
    [
        (
            "oracle://me:secret@db/shop",
            "oracle://me:***@db/shop",
            SCHEMES,
        ),
        ("shop", "shop", SCHEMES),
        (
            "postgresql://me:secret@db1,db2/shop",
            "postgresql://me:***@db1,db2/shop",
            "it names several hosts; mintdb needs one server",
        ),
        (
            "postgresql://me:secret@db:port/shop",
            "postgresql://me:***@db:port/shop",
            "Port could not be cast to integer value as 'port'",
        ),
        ("postgresql://db:99999/shop", "postgresql://db:99999/shop", "Port out of range 0-65535"),
        (
            "postgresql:///?service=shop&password=secret",
            "postgresql:///?service=shop&password=***",
            "it names the service 'shop'; mintdb needs what that stands for",
        ),
        (
            "oracle://db/shop?password=secret&sslpassword=secret",
            "oracle://db/shop?password=***&sslpassword=***",
            SCHEMES,
        ),
    ],
)
def test_a_url_that_cannot_be_understood(url: str, shown: str, why: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_url(url)
    assert (
        str(caught.value)
        == f"""\
cannot use the database URL {shown}
  {why}
  1. write it as  postgresql://user:password@host:port/database?sslmode=require"""
    )


def test_a_url_form_of_another_engine() -> None:
    with pytest.raises(UnknownUrlForm) as caught:
        parse_url("postgresql://db/shop").url_for("mysql+pymysql")
    assert (
        str(caught.value)
        == """\
there is no URL of the form 'mysql+pymysql' here: the database is postgresql
  1. use one of libpq, sqlalchemy, jdbc, postgresql+DRIVER, SCHEME://, host, port, user, password, database"""
    )


def test_a_url_form_whose_driver_cannot_be_told_the_options() -> None:
    with pytest.raises(UnknownUrlForm) as caught:
        parse_url("postgresql://db/shop?sslmode=require&sslcert=/c.pem").url_for("postgresql+pg8000")
    assert (
        str(caught.value)
        == """\
there is no URL of the form 'postgresql+pg8000' here: pg8000 cannot be given sslcert, sslmode in a URL
  1. use one of libpq, postgresql+psycopg, postgresql+psycopg2, postgresql+asyncpg"""
    )
