"""`mintdb template verify` finds what a fingerprint does not see, and leaves nothing of its own behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import Run

SEED = """
import sqlite3, psycopg
from pathlib import Path

def fill(url):
    open = psycopg.connect if url.startswith("postgresql") else lambda url: sqlite3.connect(url.partition("///")[2])
    connection = open(url)
    connection.execute(f"insert into t (word) values ('{Path('word.txt').read_text()}')")
    connection.commit()
    connection.close()
"""


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_a_template_that_would_be_built_differently_now(run: Run, project: Path, engine: str) -> None:
    role = "role = 'app'\n" if engine == "postgresql" else ""
    (project / "mintdb.toml").write_text(
        f"[databases.default]\nengine = '{engine}'\nschema = 'sql:schema.sql'\nseed = 'python:seed:fill'\n{role}"
        "[databases.again]\nmirror = 'default'\n"
    )
    (project / "schema.sql").write_text("create table t (id integer primary key, word text);")
    (project / "seed.py").write_text(SEED.replace("(word) values (", "values (1, "))
    (project / "word.txt").write_text("one")
    first = run("template", "verify")
    assert (first.returncode, "no template was cached" in first.stdout) == (0, True), first.stdout + first.stderr
    again = run("template", "verify")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("is what is built now") == 1
    (project / "word.txt").write_text("two")  # which no fingerprint covers
    differs = run("template", "verify")
    assert differs.returncode == 1, differs.stdout + differs.stderr
    changed = [line for line in differs.stdout.splitlines() if line[:1] in "+-" and line[1:2] not in "+-"]
    assert ["one" in changed[0], "two" in changed[1], len(changed)] == [True, True, 2]
    assert "mintdb template build --fresh" in differs.stdout
    assert "verify" not in run("template", "list").stdout
