"""Environments: what their tables change, which engine then counts, and what nobody of ours may touch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mintdb.mint import Mint
from mintdb.settings import ProtectedEnvironment, ProtectedServer, Settings, UnknownDatabase, UnknownSetting, load
from mintdb.settings.expansion import NAMES, OTHERS, PREFIX

ROOT = Path(__file__).parents[2]
FILE = """
env = "dev"
settle = 3
[databases.default]
url = "postgresql://me@base:5433/shop"
schema = "sql:db/"
extensions = ["hstore"]
[databases.replica]
mirror = "default"
export = "REPLICA_URL"

[environments.dev]
settle = 7
databases.default.engine = "sqlite"
[environments.ci]
databases.default.url = "${CI_URL}"
databases.default.seed = "sql:seed.sql"
[environments.split]
databases.replica.url = "postgresql://me@second/shop"
databases.audit.schema = "sql:audit/"
[environments.production]
protected = true
databases.default.url = "postgresql://me@prod/shop"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mintdb.toml").write_text(FILE)
    return tmp_path


def in_environment(project: Path, name: str | None = None, **variables: str) -> Settings:
    """The settings under an environment that a variable names; None: the file's own."""
    return load(project, environ=variables | ({"MINTDB_ENV": name} if name else {}))


def test_an_environments_table_goes_before_the_rest_of_the_file(project: Path) -> None:
    settings = in_environment(project)
    assert (settings.env, settings.settle) == ("dev", 7)
    assert in_environment(project, "split").settle == 3
    assert settings.get_database("default").schema == "sql:db/"


def test_call_and_command_line_and_variable_choose_in_that_order(project: Path) -> None:
    environ = {"MINTDB_ENV": "ci", "CI_URL": "postgresql://h/d"}
    assert load(project, environ=environ).env == "ci"
    assert load(project, environ=environ, command_line={"env": "split"}).env == "split"
    assert load(project, environ=environ, command_line={"env": "split"}, call={"env": "dev"}).env == "dev"


def test_an_environments_engine_leaves_behind_what_belonged_to_another(project: Path) -> None:
    database = in_environment(project, "dev").get_database("default")
    assert (database.engine, database.url, database.extensions) == ("sqlite", None, ())


def test_a_url_says_its_engine(project: Path) -> None:
    database = in_environment(project, "ci", CI_URL="mysql://h/d").get_database("default")
    assert (database.engine, database.url, database.extensions) == ("mysql", "mysql://h/d", ())
    assert database.seed == ("sql:seed.sql",)
    database = in_environment(project, "ci", CI_URL="postgresql://h/d").get_database("default")
    assert (database.engine, database.extensions) == ("postgresql", ("hstore",))


def test_a_variable_that_no_chosen_table_needs_may_be_unset(project: Path) -> None:
    assert in_environment(project, "split").get_database("default").url == "postgresql://me@base:5433/shop"
    url = load(project, environ={}, command_line={"env": "ci", "url": "postgresql://h/d"}).get_database("default").url
    assert url == "postgresql://h/d"


def test_an_engine_on_the_command_line_leaves_the_files_url_behind(project: Path) -> None:
    assert load(project, environ={"MINTDB_ENGINE": "mysql"}).get_database("default").url is None
    assert in_environment(project, "split", MINTDB_ENGINE="postgresql").get_database("default").url is not None


def test_a_mirror_is_what_it_mirrors_under_another_name(project: Path) -> None:
    settings = in_environment(project, "dev")
    mirror = settings.get_database("replica")
    assert (mirror.engine, mirror.schema, dict(mirror.export)) == ("sqlite", "sql:db/", {"REPLICA_URL": "libpq"})
    assert (settings.leased, settings.home_of("replica")) == (["default"], "default")


def test_an_environment_may_make_a_mirror_a_database_of_its_own_and_add_more(project: Path) -> None:
    settings = in_environment(project, "split")
    assert settings.leased == ["default", "replica", "audit"]
    assert settings.get_database("replica").mirror is None
    with pytest.raises(UnknownDatabase):
        in_environment(project, "dev").get_database("audit")


def test_a_role_that_somebody_connects_as_is_made(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text(
        "[databases.default]\nroles = ['owner']\nrole = 'app'\n"
        "[databases.reports]\nmirror = 'default'\nrole = 'reader'\n"
    )
    settings = load(tmp_path, environ={})
    assert [settings.get_database(alias).roles for alias in ("default", "reports")] == [("owner", "app", "reader")] * 2


def test_lists_may_come_from_a_variable(project: Path) -> None:
    database = in_environment(project, "split", MINTDB_EXTENSIONS="vector, hstore").get_database("default")
    assert database.extensions == ("vector", "hstore")


def test_nothing_of_ours_touches_a_protected_environment(project: Path) -> None:
    mint = Mint(in_environment(project, "production"))
    for touch in (mint.reserve, mint.open, mint.lease, mint.exports):
        with pytest.raises(ProtectedEnvironment):
            touch()


def test_nor_its_server_by_another_way(project: Path) -> None:
    settings = load(project, environ={}, command_line={"env": "split", "url": "postgresql://other@PROD:5432/any"})
    with pytest.raises(ProtectedServer):
        Mint(settings).reserve()


def test_a_protected_environment_cannot_be_opened_from_outside_the_file(project: Path) -> None:
    with pytest.raises(UnknownSetting):
        load(project, environ={}, call={"env": "production", "protected": False})


def test_every_variable_that_the_code_reads_is_known(project: Path) -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    read = set(re.findall(r'"(MINTDB_[A-Z_]+)"', source))
    assert read <= {*NAMES, *(f"{PREFIX}{other}" for other in OTHERS)}


@pytest.mark.parametrize("variable", ["MINTDB_VERSION", "MINTDB_TEST_PASSWORD", "MINTDB_ENVIRONMENTS_OF_OURS"])
def test_a_variable_that_nobody_has_mistyped_is_somebody_elses(project: Path, variable: str) -> None:
    in_environment(project, **{variable: "x"})


def test_a_variable_that_the_file_refers_to_is_the_files(project: Path) -> None:
    (project / "mintdb.toml").write_text("[databases.default]\nurl = '${MINTDB_URI}'\n")
    assert in_environment(project, MINTDB_URI="postgresql://h/d").get_database("default").url == "postgresql://h/d"
