"""What Play makes of files that surprise, on a real server; the folders are those of a foreign application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mintdb
from mintdb.schemas.evolutions.errors import EvolutionFailed, InconsistentDatabase
from tests.evolutions.conftest import Query, Write

CASE = Path(__file__).parents[3] / "shared" / "cases" / "E_play_evolutions" / "conf" / "evolutions"
FOREIGN = pytest.mark.skipif(not CASE.is_dir(), reason="the foreign application's folder is not here")
Tables = Callable[[], list[str]]


@FOREIGN
def test_the_usual_folder(url: str, query: Query, tables: Tables) -> None:
    with mintdb.evolutions(CASE / "default", url=url):
        assert query("select bar from foos") == [("semi;colon",)]
        assert query("update foos set bar = bar returning baz") == [(1,)]
    assert tables() == []


@FOREIGN
def test_the_folder_of_edges(url: str, query: Query, tables: Tables, caplog: pytest.LogCaptureFixture) -> None:
    with mintdb.evolutions(CASE / "edge", url=url):
        # The byte order mark of the second file is taken away, and mentioned: Play itself would lose its ups.
        assert tables() == ["e1", "e2", "e3", "e4", "e5"]
        assert query("select count(*) from e5") == [(1,)]
        assert query("select id from play_evolutions order by id") == [(n,) for n in range(1, 8)]
    assert tables() == ["e3"]
    assert "byte order mark" in caplog.text
    assert "9.sql is not read: there is no 8.sql" in caplog.text


@FOREIGN
def test_the_broken_folder(url: str, query: Query, tables: Tables) -> None:
    with pytest.raises(EvolutionFailed), mintdb.evolutions(CASE / "broken", url=url):
        pass
    assert tables() == ["b1", "b2"]
    assert query("select id, state from play_evolutions order by id") == [(1, "applied"), (2, "applying_up")]
    for _ in range(2):
        with pytest.raises(InconsistentDatabase, match="Database 'broken' is in an inconsistent state!"):
            mintdb.evolutions(CASE / "broken", url=url).__enter__()


def test_a_missing_section_is_empty_and_what_it_made_stays(write: Write, url: str, tables: Tables) -> None:
    folder = write(n1=("", ""))
    (folder / "1.sql").write_text("create table never (id int);\n#!Ups\ncreate table stays (id int);\n")
    with mintdb.evolutions(folder, url=url):
        pass
    assert tables() == ["stays"]
