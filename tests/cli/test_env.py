"""`mintdb env` shows what each setting is and where it came from, and touches nothing."""

from __future__ import annotations

from pathlib import Path

from programs import Run

FILE = """
settle = 3
[databases.default]
schema = "sql:db/"
[databases.replica]
mirror = "default"
[environments.production]
protected = true
databases.default.url = "postgresql://me:${PASSWORD}@prod/shop"
databases.default.server_settings = { work_mem = "1MB" }
"""


def rows(shown: str) -> dict[str, list[str]]:
    """Value and origin of each setting, by its name."""
    lines = [line.split("  ") for line in shown.splitlines()]
    return {name: [word.strip() for word in words if word] for name, *words in lines if words}


def test_each_setting_has_its_value_and_its_origin(run: Run, project: Path) -> None:
    (project / "mintdb.toml").write_text(FILE)
    done = run("env", env={"PATH": "", "MINTDB_LEAKS": "error", "MINTDB_FOO": "1", "HOME": str(project)})
    assert done.returncode == 0, done.stderr
    shown, file = rows(done.stdout), f"{project}/mintdb.toml"
    assert shown["environment"] == ["none; there is also production"]
    assert shown["settle"] == ["3.0", file]
    assert shown["leaks"] == ['"error"', "variable MINTDB_LEAKS"]
    assert shown["linger"] == ["30.0", "default"]
    assert shown["default.schema"] == ['"sql:db/"', f"[databases.default] of {file}"]
    assert shown["replica.schema"] == ['"sql:db/"', "database default"]
    assert done.stdout.splitlines()[-1] == "variable MINTDB_FOO is not read by mintdb"


def test_a_protected_environment_may_be_looked_at_and_shows_no_password(run: Run, project: Path) -> None:
    (project / "mintdb.toml").write_text(FILE)
    done = run("env", "--env", "production", env={"PATH": "", "PASSWORD": "topsecret", "HOME": str(project)})
    shown = rows(done.stdout)
    assert shown["environment"] == ["production, protected"]
    assert shown["env"] == ['"production"', "command line"]
    assert shown["default.url"][0] == '"postgresql://me:***@prod/shop"'
    assert "topsecret" not in done.stdout


def test_what_writes_refuses_a_protected_environment(run: Run, project: Path) -> None:
    (project / "mintdb.toml").write_text(FILE)
    for command in (["run", "--", "true"], ["doctor"], ["template", "build"]):
        done = run(*command, env={"PATH": "/bin:/usr/bin", "MINTDB_ENV": "production", "PASSWORD": "x"})
        assert done.returncode == 3, command
        assert "environment 'production' is protected" in done.stderr, command
