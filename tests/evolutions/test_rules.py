"""What Play makes of files that surprise, on a real server; byte by byte, as editors of all kinds leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mintdb
from mintdb.schemas.evolutions.errors import EvolutionFailed, InconsistentDatabase
from tests.evolutions.conftest import Query, Write

Tables = Callable[[], list[str]]
Files = Callable[[dict[str, bytes]], Path]

USUAL = {
    "1.sql": b"""\
# The shelves of a library

# --- !Ups

create table shelf (
    id bigserial primary key,
    label text not null
);
insert into shelf (label) values ('poetry;;prose');

# --- !Downs

drop table shelf;
""",
    "2.sql": b"""\
-- How often a shelf was moved

-- !Ups
alter table shelf add column moved int not null default 0;

create function count_move() returns trigger as $$
begin
    new.moved := new.moved + 1;;
    return new;;
end;;
$$ language plpgsql;

create trigger count_move before update on shelf for each row execute function count_move();

-- !Downs
drop trigger count_move on shelf;
drop function count_move();
alter table shelf drop column moved;
""",
}
EDGES = {
    "1.sql": b"#!Ups\ncreate table one (n int);\n#!Downs\ndrop table one;\n",
    "2.sql": b"\xef\xbb\xbf-- !Ups\r\ncreate table two (n int);\r\n-- !Downs\r\ndrop table two;\r\n",
    "3.sql": b"--- !Ups\ncreate table stays (n int);\n",
    "4.sql": b"# --- !Downs\ndrop table four;\n# --- !Ups\ncreate table four (n int);\n",
    "05.sql": b"# --- !Ups\ncreate table five (n int);\n# --- !Ups\ninsert into five values (5);\n"
    b"# --- !Downs\ndrop table five;\n",
    "6.sql": b"create table before_any_marker (n int);\n# --- !Ups\n-- nothing\n;\n\n# --- !Downs",
    "7.sql": b"# --- !Ups\n  # a remark that mentions the !Downs\nselect 1/0;\n-- !Ups again\ncreate table seven ();\n",
    "9.sql": b"# --- !Ups\ncreate table behind_a_gap (n int);\n# --- !Downs\ndrop table behind_a_gap;\n",
}
BROKEN = {
    "1.sql": b"# --- !Ups\ncreate table whole (n int);\n# --- !Downs\ndrop table whole;\n",
    "2.sql": b"# --- !Ups\ncreate table half (n int);\ninsert into gone values (1);\n# --- !Downs\ndrop table half;\n",
}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write a folder of evolutions; returns it."""

    def files(contents: dict[str, bytes]) -> Path:
        folder = tmp_path / "library"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return folder

    return files


def test_a_usual_folder(files: Files, url: str, query: Query, tables: Tables) -> None:
    with mintdb.evolutions(files(USUAL), url=url):
        assert query("select label from shelf") == [("poetry;prose",)]
        assert query("update shelf set label = label returning moved") == [(1,)]
    assert tables() == []


def test_a_folder_of_edges(
    files: Files, url: str, query: Query, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    folder = files(EDGES)
    (folder / "7.sql").write_bytes(EDGES["7.sql"].replace(b"1/0", b"1"))
    with mintdb.evolutions(folder, url=url):
        # The byte order mark of the second file is taken away, and mentioned: Play itself would lose its ups.
        assert tables() == ["five", "four", "one", "seven", "stays", "two"]
        assert query("select n from five") == [(5,)]
        assert query("select id from play_evolutions order by id") == [(n,) for n in range(1, 8)]
    assert tables() == ["seven", "stays"]
    assert query("select count(*) from play_evolutions") == [(0,)]
    assert "byte order mark" in caplog.text
    assert "9.sql is not read: there is no 8.sql" in caplog.text


def test_a_comment_that_mentions_the_downs_begins_them(
    files: Files, url: str, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    with mintdb.evolutions(files({"1.sql": EDGES["7.sql"]}), url=url):
        assert tables() == ["seven"]  # and nothing was divided by zero
    assert "division by zero" in caplog.text


def test_a_broken_folder_stops_this_suite_and_every_later_one(
    files: Files, url: str, query: Query, tables: Tables
) -> None:
    folder = files(BROKEN)
    with pytest.raises(EvolutionFailed), mintdb.evolutions(folder, url=url):
        pass
    assert tables() == ["half", "whole"]
    assert query("select id, state from play_evolutions order by id") == [(1, "applied"), (2, "applying_up")]
    for _ in range(2):
        with pytest.raises(InconsistentDatabase, match="Database 'library' is in an inconsistent state!"):
            mintdb.evolutions(folder, url=url).__enter__()


def test_a_missing_section_is_empty_and_what_it_made_stays(write: Write, url: str, tables: Tables) -> None:
    folder = write(n1=("", ""))
    (folder / "1.sql").write_text("create table never (id int);\n#!Ups\ncreate table stays (id int);\n")
    with mintdb.evolutions(folder, url=url):
        pass
    assert tables() == ["stays"]
