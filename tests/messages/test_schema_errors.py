"""What people read when a schema source fails, word for word, each from the real failure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mintdb.schemas import errors, get_source
from mintdb.schemas.evolutions.errors import EvolutionError, EvolutionSyntaxError, SubstitutionError


def message_of(setting: str, root: Path) -> str:
    """What using a source says before it needs a server."""
    with pytest.raises(errors.SchemaError) as caught:
        list(get_source(setting, root=root).fingerprint())
    return str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project's root with one of everything that is wrong."""
    (tmp_path / "empty").mkdir()
    files = {
        "mint_broken.py": "import nothing_like_this\n",
        "mint_models.py": "from sqlalchemy import MetaData\nmetadata = MetaData()\nmetadaten = 3\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    yield tmp_path
    for name in ("mint_broken", "mint_models"):
        sys.modules.pop(name, None)


def test_unknown_source(root: Path) -> None:
    assert (
        message_of("metdata:app:Base", root)
        == """\
schema source 'metdata:app:Base' is not known: there is no 'metdata'
  1. did you mean 'metadata:'?
  2. known: none, sql:, python:, metadata:, alembic:, django:, dump:, evolutions:, source:"""
    )


def test_path_without_a_kind(root: Path) -> None:
    assert (
        message_of("db/schema.sql", root)
        == """\
schema source 'db/schema.sql' is not known: there is no 'db/schema.sql'
  1. did you mean 'sql:db/schema.sql'?
  2. known: none, sql:, python:, metadata:, alembic:, django:, dump:, evolutions:, source:"""
    )


def test_path_missing(root: Path) -> None:
    assert (
        message_of("sql:nowhere.sql", root)
        == f"""\
schema source 'sql:nowhere.sql' was not found
  looked at {root}/nowhere.sql
  1. a relative path begins at the folder of the settings file"""
    )


def test_empty_folder(root: Path) -> None:
    assert (
        message_of("sql:empty", root)
        == f"""\
schema source 'sql:empty' has no *.sql files
  looked at {root}/empty, not below it
  1. name a folder with files, or `schema = "none"` for an empty database"""
    )


def test_name_without_an_object(root: Path) -> None:
    assert (
        message_of("python:tables.create", root)
        == """\
schema source 'python:tables.create' names no module and object
  1. write it as python:package.module:function"""
    )


def test_module_missing(root: Path) -> None:
    assert (
        message_of("metadata:mint_nowhere.models:Base", root)
        == f"""\
schema source 'metadata:mint_nowhere.models:Base': there is no module 'mint_nowhere'
  looked below {root} and on sys.path
  1. is it importable from there?  python -c 'import mint_nowhere'"""
    )


def test_module_failed(root: Path) -> None:
    assert (
        message_of("metadata:mint_broken:Base", root)
        == """\
schema source 'metadata:mint_broken:Base': importing 'mint_broken' failed
  ModuleNotFoundError: No module named 'nothing_like_this'
  mint_broken.py:1 in <module>
    import nothing_like_this"""
    )


def test_attribute_missing(root: Path) -> None:
    assert (
        message_of("metadata:mint_models:metadat", root)
        == """\
schema source 'metadata:mint_models:metadat': 'mint_models' has no 'metadat'
  1. nearest: metadata, metadaten, MetaData"""
    )


def test_not_metadata(root: Path) -> None:
    assert (
        message_of("metadata:mint_models:metadaten", root)
        == """\
schema source 'metadata:mint_models:metadaten' is int, not a SQLAlchemy MetaData
  1. name the MetaData, or what has it as `.metadata`: a declarative base, Flask-SQLAlchemy's db, SQLModel"""
    )


def test_empty_metadata(root: Path) -> None:
    assert (
        message_of("metadata:mint_models:metadata", root)
        == """\
schema source 'metadata:mint_models:metadata' has no tables
  the models register when their modules are imported, and importing 'mint_models' imported none
  1. import them there, or name a module that does"""
    )


def test_library_missing(root: Path) -> None:
    # A module that is None in sys.modules is one that Python does not find.
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from pathlib import Path; from mintdb.schemas import get_source\n"
        "try: get_source('metadata:app:Base', root=Path())\n"
        "except Exception as error: print(error, end='')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert (
        run.stdout
        == """\
schema source 'metadata:app:Base' needs sqlalchemy, which is not installed
  1. pip install 'mintdb[sqlalchemy]'"""
    )


def test_encoding() -> None:
    error = errors.EncodingError(file="db/1.sql", line=3, byte="0xe9", guess="latin1")
    assert (
        str(error)
        == """\
db/1.sql:3 is not UTF-8: byte 0xe9
  1. convert it:  iconv -f latin1 -t utf-8 db/1.sql"""
    )


def test_meta_command() -> None:
    error = errors.MetaCommandError(file="db/1.sql", line=3, command="\\i")
    assert (
        str(error)
        == """\
db/1.sql:3 has the psql command \\i, which the server does not know
  1. put its effect into SQL; a folder's files run in order, so \\i is not needed"""
    )


def test_copy_line() -> None:
    assert (
        str(errors.CopyLineError(file="db/1.sql", line=3))
        == """\
db/1.sql:3 goes on after COPY … FROM stdin
  1. begin the data in the next line, and end it with a line of \\."""
    )


def test_statement() -> None:
    error = errors.StatementError(
        file="db/1.sql",
        line=3,
        at=4,
        message='relation "nowhere" does not exist',
        code="42P01",
        statement="  | select *\n  | from nowhere",
    )
    assert (
        str(error)
        == """\
db/1.sql:3 failed: relation "nowhere" does not exist
  at line 4, SQLSTATE 42P01
  | select *
  | from nowhere"""
    )


def test_open_transaction() -> None:
    assert (
        str(errors.OpenTransactionError(file="db/1.sql", line=3))
        == """\
db/1.sql:3 begins a transaction that the file never ends, so all of it would be lost
  1. add COMMIT, or leave out BEGIN"""
    )


def test_not_callable() -> None:
    assert (
        str(errors.NotCallableError(setting="python:tables:create", kind="int 3"))
        == """\
schema source 'python:tables:create' is int 3, which cannot be called
  1. name a function that takes the database's URL, or nothing"""
    )


def test_arguments() -> None:
    assert (
        str(errors.ArgumentsError(setting="python:tables:create", signature="(url, schema)"))
        == """\
schema source 'python:tables:create' takes (url, schema), but gets one argument at most: the database's URL
  1. give the others defaults, or wrap it"""
    )


def test_call_failed() -> None:
    error = errors.CallFailedError(
        setting="python:tables:create",
        error="ZeroDivisionError: division by zero",
        where="tables.py:3 in create\n    1 / 0",
    )
    assert (
        str(error)
        == """\
schema source 'python:tables:create' failed
  ZeroDivisionError: division by zero
  tables.py:3 in create
    1 / 0"""
    )


def test_a_source_that_asks_for_what_is_made_from_it() -> None:
    error = errors.TooEarlyError(
        setting="python:shop.db:init",
        error='OperationalError: FATAL:  database "mint_shop_main" does not exist',
        where="shop/db.py:9 in init\n    Base.metadata.create_all(engine)",
    )
    assert (
        str(error)
        == """\
schema source 'python:shop.db:init' asked for the database that tests get, which is made from what it builds
  OperationalError: FATAL:  database "mint_shop_main" does not exist
  shop/db.py:9 in init
    Base.metadata.create_all(engine)
  what was made at import, an engine say, leads there: while the template is built, DATABASE_URL leads to it
  1. let the function take the URL, and connect by it:  def create(url): …
  2. or make in the function what connects:  create_engine(os.environ["DATABASE_URL"])"""
    )


def test_create_all() -> None:
    error = errors.CreateAllError(
        setting="metadata:app:Base",
        message='type "vector" does not exist',
        code="SQLSTATE 42704",
        statement="  | CREATE TABLE a (v vector)",
    )
    assert (
        str(error)
        == """\
schema source 'metadata:app:Base': create_all failed: type "vector" does not exist
  SQLSTATE 42704
  | CREATE TABLE a (v vector)"""
    )


def test_scripts_missing(root: Path) -> None:
    (root / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    assert (
        message_of("alembic:alembic.ini", root)
        == f"""\
schema source 'alembic:alembic.ini' has no migrations: no env.py in script_location
  looked in {root}/migrations
  1. a relative script_location begins at the folder of the ini, as does %(here)s"""
    )


def test_several_heads() -> None:
    error = errors.SeveralHeadsError(setting="alembic:alembic.ini", heads="bbb2, ccc3", first="bbb2")
    assert (
        str(error)
        == """\
schema source 'alembic:alembic.ini' has several heads: bbb2, ccc3
  1. merge them:  alembic merge heads
  2. or run them all with @heads, or one with @bbb2"""
    )


def test_revision_missing() -> None:
    error = errors.RevisionMissingError(setting="alembic:alembic.ini@zzz", revision="zzz", heads="bbb2")
    assert (
        str(error)
        == """\
schema source 'alembic:alembic.ini@zzz' has no revision 'zzz'
  heads: bbb2
  1. list all:  alembic history"""
    )


def test_migration_failed() -> None:
    error = errors.MigrationFailedError(
        setting="alembic:alembic.ini",
        error="ZeroDivisionError: division by zero",
        where="migrations/versions/3.py:5 in upgrade\n    1 / 0",
    )
    assert (
        str(error)
        == """\
schema source 'alembic:alembic.ini' failed
  ZeroDivisionError: division by zero
  migrations/versions/3.py:5 in upgrade
    1 / 0"""
    )


def test_migration_elsewhere() -> None:
    error = errors.MigrationElsewhereError(
        setting="alembic:alembic.ini",
        database="'shop' on db.example.com",
        where="migrations/env.py:5 in <module>\n    with engine.connect() as connection:",
    )
    assert (
        str(error)
        == """\
schema source 'alembic:alembic.ini' connects to another database, 'shop' on db.example.com; nothing was done there
  migrations/env.py:5 in <module>
    with engine.connect() as connection:
  1. take the URL from config.get_main_option("sqlalchemy.url")
  2. or from a variable that is set as `export`"""
    )


def test_migrated_nothing() -> None:
    assert (
        str(errors.MigratedNothingError(setting="alembic:alembic.ini"))
        == """\
schema source 'alembic:alembic.ini' left the database empty
  1. does env.py run migrations online? mintdb runs no --sql scripts
  2. does it connect to the URL in sqlalchemy.url?"""
    )


def test_restore_failed() -> None:
    error = errors.RestoreFailedError(
        setting="dump:shop.dump", message="  pg_restore: error: could not read from input file: end of file"
    )
    assert (
        str(error)
        == """\
schema source 'dump:shop.dump' could not be restored
  pg_restore: error: could not read from input file: end of file"""
    )


def test_newer_dump() -> None:
    error = errors.NewerDumpError(
        setting="dump:shop.sql",
        dumped="19.1",
        server="18.6",
        message='  shop.sql:12 failed: unrecognized configuration parameter "x"',
    )
    assert (
        str(error)
        == """\
schema source 'dump:shop.sql' was dumped from PostgreSQL 19.1, and this server is 18.6
  shop.sql:12 failed: unrecognized configuration parameter "x"
  1. use a server of that version, or
  2. dump again with the pg_dump of the older one"""
    )


def test_no_dump(root: Path) -> None:
    assert (
        message_of("dump:empty", root)
        == f"""\
schema source 'dump:empty' is no dump
  looked at {root}/empty
  1. pg_dump writes one: --format plain, custom, tar or directory"""
    )


def test_no_evolutions(root: Path) -> None:
    assert (
        message_of("evolutions:empty", root)
        == f"""\
schema source 'evolutions:empty' has no evolutions: there is no 1.sql
  looked at {root}/empty"""
    )


def test_substitution() -> None:
    assert (
        str(SubstitutionError(place="conf/1.sql", line=3, name="table"))
        == """\
conf/1.sql:3 wants the value of 'table', which nobody has given
  1. give it to mintdb.evolutions as one of `substitutions`, or on the command line:  --define table=VALUE
  2. a schema source has no values: write it out there
  3. or escape it with ! where it is meant literally"""
    )


def test_evolution() -> None:
    error = EvolutionError(
        file="conf/2.sql",
        line=4,
        revision=2,
        message='relation "no_such_table" does not exist',
        code="42P01",
        statement="  | insert into no_such_table values (1)",
    )
    assert (
        str(error)
        == """\
conf/2.sql:4 failed: relation "no_such_table" does not exist
  in the ups of evolution 2, SQLSTATE 42P01
  | insert into no_such_table values (1)"""
    )


def test_evolution_syntax() -> None:
    error = EvolutionSyntaxError(
        file="conf/2.sql",
        line=4,
        revision=2,
        message='unterminated dollar-quoted string at or near "$$ begin"',
        code="42601",
        statement="  | do $$ begin",
    )
    assert (
        str(error)
        == """\
conf/2.sql:4 failed: unterminated dollar-quoted string at or near "$$ begin"
  in the ups of evolution 2, SQLSTATE 42601
  | do $$ begin
  1. write a semicolon inside a function or a string twice: Play ends a statement at every other one"""
    )
