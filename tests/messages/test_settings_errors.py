"""What people read when a setting, a marker or a URL is wrong, word for word, each from the real failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mintdb.address import BadUrl, UnknownUrlForm, parse_url
from mintdb.errors import SettingsError
from mintdb.settings import (
    DATABASE_KEYS,
    ENGINES,
    RUN_KEYS,
    BadSetting,
    BadSettingsFile,
    UnknownDatabase,
    UnknownSetting,
    load,
)

SCHEMES = "it does not begin with postgresql:, postgres:, mysql:, mariadb:, sqlite:"


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
  1. the settings known here: {", ".join(DATABASE_KEYS)}"""
    )


def test_an_isolation_that_there_is_not(project: Path) -> None:
    assert (
        message_of(BadSetting, project, command_line={"isolation": "truncate"})
        == """\
setting 'isolation' in command line is 'truncate', which cannot be used
  1. give it one of rewind, clone, none"""
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


def test_an_export_that_is_neither_a_name_nor_a_table(project: Path) -> None:
    assert (
        message_of(BadSetting, project, "[databases.default]\nexport = 3")
        == f"""\
setting 'export' in [databases.default] of {project}/mintdb.toml is 3, which cannot be used
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


# the marker

MISLEADING = ("MINTDB_", "PYTEST", "DATABASE_URL")
KEPT = ("MINTDB_CACHE_DIR", "MINTDB_LINGER")


def refused(project: Path, marker: str) -> list[str]:
    """What pytest says of a suite with such a marker, and that it runs no test of it."""
    (project / "mintdb.toml").write_text("[databases.default]\n")
    (project / "test_it.py").write_text(f"import pytest\n\n\n{marker}\ndef test_it():\n    raise AssertionError\n")
    quiet = ["-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:randomly", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *quiet],
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


def test_a_marker_with_a_wrong_isolation(project: Path, server_home: Path) -> None:
    assert refused(project, '@pytest.mark.mintdb(isolation="truncate")') == [
        "ERROR: setting 'isolation' in the marker of test_it.py::test_it is 'truncate', which cannot be used",
        "  1. give it one of rewind, clone, none",
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
  1. use one of libpq, sqlalchemy, jdbc, postgresql+DRIVER"""
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
