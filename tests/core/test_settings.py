"""Where a value comes from: call, command line, MINTDB_* variable, settings file, default, in that order."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from mintdb.errors import SettingsError
from mintdb.settings import load

LAYERS = ("call", "command_line", "environ", "file")


def load_from(folder: Path, layers: tuple[str, ...], key: str, value: str) -> object:
    """Load settings where each of `layers` gives the key a value of its own, and return the settings."""
    values = {layer: f"{value}{LAYERS.index(layer)}" for layer in layers}
    table = "" if key in ("binaries", "project") else ".databases.default"
    (folder / "pyproject.toml").write_text(
        f"[tool.mintdb{table}]\n{key} = '{values['file']}'\n" if "file" in values else ""
    )
    return load(
        folder,
        call={key: values["call"]} if "call" in values else {},
        command_line={key: values.get("command_line")},
        environ={f"MINTDB_{key.upper()}": values["environ"]} if "environ" in values else {},
    )


@pytest.mark.parametrize("layers", [c for n in range(1, 5) for c in combinations(LAYERS, n)], ids="+".join)
def test_the_first_layer_that_speaks_wins(tmp_path: Path, layers: tuple[str, ...]) -> None:
    settings = load_from(tmp_path, layers, "binaries", "/b")
    assert settings.binaries == f"/b{LAYERS.index(layers[0])}"
    database = load_from(tmp_path, layers, "schema", "sql:s").get_database("default")
    assert database.schema == f"sql:s{LAYERS.index(layers[0])}"


def test_without_any_there_are_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, environ={})
    assert not settings.configured
    assert settings.project == tmp_path.name
    assert (settings.isolation, settings.leaks, settings.settle) == ("rewind", "warn", 1.0)
    assert settings.get_database("default").url is None


def test_the_nearest_file_upward_is_taken(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.mintdb]\nsettle = 7\n[project]\nname = 'outer'\n")
    assert load(inner, environ={}).settle == 7
    assert load(inner, environ={}).root == tmp_path
    assert load(inner, environ={}).project == "outer"
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\n# speaks of mintdb only here\n")
    assert load(inner, environ={}).settle == 7
    (tmp_path / "a" / "mintdb.toml").write_text("settle = 8\n")
    assert load(inner, environ={}).settle == 8


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, environ={"MINTDB_LEAKS": ""}).leaks == "warn"


def test_a_variable_configures_the_default_database_only(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text("[databases.default]\n[databases.other]\nschema = 'sql:o'\n")
    settings = load(tmp_path, environ={"MINTDB_SCHEMA": "sql:d"})
    assert settings.get_database("default").schema == "sql:d"
    assert settings.get_database("other").schema == "sql:o"


def test_leaks_are_of_the_run_and_in_a_file_of_a_database(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text("leaks = 'error'\n[databases.default]\n[databases.old]\nleaks = 'ignore'\n")
    settings = load(tmp_path, environ={})
    assert [settings.leaks_of(alias) for alias in ("default", "old", "nowhere")] == ["error", "ignore", "error"]
    settings = load(tmp_path, command_line={"leaks": "warn"}, environ={})
    assert [settings.leaks_of(alias) for alias in ("default", "old")] == ["warn", "warn"]
    (tmp_path / "mintdb.toml").write_text("")
    assert not load(tmp_path, environ={"MINTDB_LEAKS": "error"}).configured


def test_each_value_knows_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text("settle = 3\n[databases.default]\nschema = 'sql:x'\n")
    origins = load(tmp_path, command_line={"leaks": "error"}, environ={"MINTDB_LINGER": "5"}).origins
    assert origins["leaks"] == "command line"
    assert origins["linger"] == "variable MINTDB_LINGER"
    assert origins["settle"] == str(tmp_path / "mintdb.toml")
    assert "mintdb.toml" in origins["default.schema"]


def test_a_text_may_name_variables(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text("[databases.default]\nurl = 'postgresql://me:${SECRET_OF_CI}@h/d'\n")
    assert load(tmp_path, environ={"SECRET_OF_CI": "pw"}).get_database("default").url == "postgresql://me:pw@h/d"


@pytest.mark.parametrize("value", ["-1", "soon", "nan", "inf", True])
def test_seconds_are_finite_numbers(tmp_path: Path, value: object) -> None:
    with pytest.raises(SettingsError):
        load(tmp_path, call={"settle": value}, environ={})
