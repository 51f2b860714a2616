"""What holds for every schema source alike: a broken one seals nothing, workers build it once, its rewind is exact."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests.frameworks.suites import Suite
from tests.property.rewind_workloads import dump

import mintdb
from mintdb.contract import Way
from mintdb.engines.postgresql.binaries import find_binaries
from mintdb.errors import SchemaError
from mintdb.schemas import get_source

DDL = """\
create table parent (id serial primary key, name text not null);
create table child (id serial primary key, parent_id int references parent on delete cascade, n int);
insert into parent (name) select 'p' || g from generate_series(1, 5) g;
insert into child (parent_id, n) select g, g from generate_series(1, 5) g;
create table built as select clock_timestamp()::text as at;
"""
FILES = {
    "db/1.sql": DDL,
    "conf/1.sql": f"-- !Ups\n{DDL}\n-- !Downs\ndrop table child, parent, built;\n",
    "tables.py": f"""
        import psycopg

        DDL = {DDL!r}


        def create(url):
            with psycopg.connect(url) as connection:
                connection.execute(DDL)


        class Migrations:
            def fingerprint(self):
                return [DDL.encode()]

            def build(self, database):
                create(database.url)
        """,
    "models.py": f"""
        import sqlalchemy as sa

        metadata = sa.MetaData()
        sa.Table("anchor", metadata, sa.Column("id", sa.Integer, primary_key=True))
        sa.event.listen(metadata, "after_create", sa.DDL({DDL!r}))
        """,
    "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n",
    "migrations/env.py": """
        from alembic import context
        from sqlalchemy import create_engine

        with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "migrations/versions/1.py": f"""
        from alembic import op

        revision, down_revision = "1", None


        def upgrade():
            op.execute({DDL!r})
        """,
    "web.py": "SECRET_KEY = 'x'\nINSTALLED_APPS = ['shop']\n"
    "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'x'}}\n",
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": f"""
        from django.db import migrations


        class Migration(migrations.Migration):
            operations = [migrations.RunSQL({DDL!r})]
        """,
}
SOURCES = {
    "sql": "sql:db",
    "evolutions": "evolutions:conf",
    "python": "python:tables:create",
    "source": "source:tables:Migrations",
    "metadata": "metadata:models:metadata",
    "alembic": "alembic:alembic.ini",
    "django": "django",
    "plain": "dump:plain.sql",
    "custom": "dump:custom.dump",
    "directory": "dump:folder",
}
# The statement that breaks each, and where the message has to say that it is.
BROKEN = "insert into parent (name) select"
WHERE = {
    "sql": "db/1.sql:3",
    "evolutions": "conf/1.sql:4",
    "python": "tables.py:",
    "source": "tables.py:",
    "metadata": "relation",
    "alembic": "1.py",
    "django": "shop.0001_initial",
    "plain": "plain.sql:",
    "custom": "dump:custom.dump",
    "directory": "dump:folder",
}


@pytest.fixture(scope="module")
def project(server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same tables in every kind of source."""
    root = tmp_path_factory.mktemp("sources")
    write(root, FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "web")
        with mintdb.open(root, schema="sql:db") as mint, mint.lease() as lease:
            dump_to(root, lease.url)
        yield root


def write(root: Path, files: dict[str, str], *, broken: bool = False) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        content = textwrap.dedent(text)
        file.write_text(content.replace(BROKEN, BROKEN.replace("parent", "nowhere")) if broken else content)


def dump_to(root: Path, url: str) -> None:
    program = find_binaries().program("pg_dump")
    for kind, name in {"plain": "plain.sql", "custom": "custom.dump", "directory": "folder"}.items():
        subprocess.run([program, "--format", kind, "--file", root / name, url], check=True)


TESTS = """
    import json
    import os
    from pathlib import Path

    import psycopg
    ALIASES = {aliases}


    def test_the_tables_are_those_of_one_build():
        found = {{}}
        for alias in ALIASES:
            with psycopg.connect(os.environ["URL_" + alias.upper()]) as connection:
                found[alias] = connection.execute("select at from built").fetchone()[0]
        Path(f"{{os.environ['PYTEST_XDIST_WORKER']}}.json").write_text(json.dumps(found))
"""


def test_four_workers_build_each_source_once(project: Path) -> None:
    aliases = [*SOURCES] if "MINTDB_SOAK" in os.environ else ["sql", "alembic", "django"]
    tables = [
        f'[tool.mintdb.databases.{alias}]\nschema = "{SOURCES[alias]}"\nexport = "URL_{alias.upper()}"\n'
        for alias in aliases
    ]
    suite = Suite(project).write(**{"pyproject.toml": "\n".join(tables), "test_once": TESTS.format(aliases=aliases)})
    ran = suite.run("-q", "-n", "4", "--dist", "each", "--mintdb-fresh")
    (project / "pyproject.toml").unlink()
    assert ran.code == 0, ran.output
    seen = [json.loads(file.read_text()) for file in project.glob("gw*.json")]
    assert len(seen) == 4
    for alias in aliases:
        assert len({found[alias] for found in seen}) == 1, alias


@pytest.mark.parametrize("alias", SOURCES)
def test_random_workloads_on_its_schema_are_put_back_exactly(project: Path, alias: str) -> None:
    ways = set()
    with mintdb.open(project, schema=SOURCES[alias]) as mint:
        with mint.lease() as lease:
            before = dump(lease.url)
        for seed in range(3):
            with mint.lease() as lease:
                work(lease.url, random.Random(seed))
                assert dump(lease.url) != before
            ways.add(lease.release().way)
            with mint.lease() as lease:
                assert dump(lease.url) == before, f"seed {seed}"
    assert ways == {Way.REWIND}


def work(url: str, chance: random.Random) -> None:
    """Some inserts, updates and deletes, committed or not, on the tables that every source makes."""
    with psycopg.connect(url) as connection:
        connection.execute("insert into parent (name) values ('new')")
        connection.commit()
        for _ in range(8):
            n = chance.randint(1, 6)
            statement = chance.choice(
                [
                    "insert into child (parent_id, n) select max(id), {} from parent",
                    "update child set n = n + {}",
                    "update parent set name = name || {}::text where id < 4",
                    "delete from parent where id = {}",
                    "delete from child where n > {}",
                ]
            )
            connection.execute(sql.SQL(statement).format(n))
            chance.choice([connection.commit, connection.rollback])()


@pytest.mark.parametrize("alias", SOURCES)
def test_a_broken_source_says_where_and_seals_nothing(
    project: Path, alias: str, tmp_path: Path, own_modules: None
) -> None:
    write(tmp_path, FILES, broken=alias not in ("plain", "custom", "directory"))
    if alias == "plain":
        text = (project / "plain.sql").read_text()
        (tmp_path / "plain.sql").write_text(text.replace("COPY public.child", "COPY public.nowhere"))
    elif alias in ("custom", "directory"):
        write(tmp_path, {"custom.dump": "PGDMP nowhere", "folder/toc.dat": "PGDMP nowhere"})
    with mintdb.open(tmp_path, schema=SOURCES[alias], project="broken") as mint:
        with pytest.raises(SchemaError) as caught:
            mint.lease()
        left = "select datname from pg_database where datname like 'mint\\_broken%'"
        with mintdb.open(tmp_path, schema="none", project="other") as other, other.lease() as lease:
            assert lease.connect().execute(left).fetchall() == []
    assert WHERE[alias] in str(caught.value)


@pytest.fixture
def own_modules() -> Iterator[None]:
    """The next import of the project's modules finds those of another folder."""
    names = ("tables", "models", "web", "shop")

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]

    forget()
    yield
    forget()


# What decides each source's template, as files that are written, and a text for the fingerprint of a moment.
DUMPS = {
    "plain.sql": "create table parent (id int);",
    "custom.dump": "PGDMP 1",
    "folder/toc.dat": "PGDMP 1",
    "folder/2.dat": "1",
}
DECIDES: dict[str, dict[str, dict[str, str]]] = {
    "sql": {
        "a statement": {"db/1.sql": f"{DDL}create table more ();"},
        "a file more": {"db/2.sql": "create table more ();"},
    },
    "evolutions": {
        "an up": {"conf/1.sql": f"-- !Ups\n{DDL}create table more ();\n-- !Downs\ndrop table child, parent, built;\n"},
        "a down, which is stored": {"conf/1.sql": f"-- !Ups\n{DDL}\n-- !Downs\ndrop table child;\n"},
        "a revision more": {"conf/2.sql": "-- !Ups\ncreate table more ();\n"},
    },
    "python": {
        "its module": {"tables.py": "def create(url): ..."},
        "what that reads": {"data.sql": "select 1"},
    },
    "source": {"what it says": {"tables.py": FILES["tables.py"].replace(repr(DDL), "'select 1'")}},
    "metadata": {"a column": {"models.py": FILES["models.py"].replace('"id"', '"number"')}},
    "alembic": {
        "a migration": {"migrations/versions/1.py": FILES["migrations/versions/1.py"] + "\n\nmore = 1\n"},
        "a migration more": {"migrations/versions/2.py": "revision, down_revision = '2', '1'"},
        "env.py": {"migrations/env.py": "raise SystemExit"},
        "an option": {"alembic.ini": FILES["alembic.ini"] + "timezone = UTC\n"},
    },
    "django": {
        "a migration": {"shop/migrations/0001_initial.py": FILES["shop/migrations/0001_initial.py"] + "\n\nmore = 1\n"},
        "a migration more": {"shop/migrations/0002_more.py": "class Migration: ..."},
    },
    "plain": {"the file": {"plain.sql": "create table more (id int);"}},
    "custom": {"the file": {"custom.dump": "PGDMP 2"}},
    "directory": {"its data": {"folder/2.dat": "2"}, "its contents": {"folder/toc.dat": "PGDMP 2"}},
}
LITTER = ("1.sql~", "1.py.orig", ".1.sql.swp", ".1.sql", "#1.sql#", "README.md~", "__pycache__/x.cpython-311.pyc")
FOLDERS = ("", "db", "conf", "migrations", "migrations/versions", "shop", "shop/migrations", "folder")
SHOW = """
    import hashlib, json, sys
    from pathlib import Path
    from mintdb.core.templates import _digest
    from mintdb.schemas import get_source

    aliases = json.loads(sys.argv[1])
    print(json.dumps({alias: _digest(get_source(s, root=Path.cwd()).fingerprint()) for alias, s in aliases.items()}))
"""


def fingerprints(root: Path, *aliases: str) -> dict[str, str]:
    """What a process of its own finds in a folder: an application's modules are imported there for the first time."""
    wanted = json.dumps({alias: SOURCES[alias] for alias in aliases or SOURCES})
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHOW), wanted],
        cwd=root,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "web", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is found before anything is changed, in a folder that nobody else uses."""
    root = tmp_path_factory.mktemp("before")
    write(root, {**FILES, **DUMPS})
    return fingerprints(root)


def test_what_decides_no_template_changes_no_fingerprint(tmp_path: Path, before: dict[str, str]) -> None:
    assert len(set(before.values())) == len(SOURCES)
    write(tmp_path, {**FILES, **DUMPS})
    for file in tmp_path.rglob("*"):
        os.utime(file, (1, 1))
    for folder in FOLDERS:
        write(tmp_path / folder, dict.fromkeys(LITTER, "litter"))
        (tmp_path / folder / ".#1.sql").symlink_to("ann@host.4711:1")  # Emacs's lock of a file that is being edited
    assert fingerprints(tmp_path) == before


@pytest.mark.parametrize("turn", range(max(map(len, DECIDES.values()))))
def test_whatever_decides_a_template_changes_its_fingerprint(tmp_path: Path, before: dict[str, str], turn: int) -> None:
    """One thing for each source in each turn."""
    write(tmp_path, {**FILES, **DUMPS})
    changed = {alias: [*ways.items()][turn] for alias, ways in DECIDES.items() if turn < len(ways)}
    for _, files in changed.values():
        write(tmp_path, files)
    after = fingerprints(tmp_path)
    assert {alias for alias in SOURCES if after[alias] != before[alias]} == set(changed)


Write = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize("setting", ["sql:db", "evolutions:db"])
def test_a_file_that_cannot_be_read_is_named(setting: str, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "1.sql").symlink_to(tmp_path / "gone")
    with pytest.raises(SchemaError) as caught:
        list(get_source(setting, root=tmp_path).fingerprint())
    assert (
        str(caught.value)
        == """\
db/1.sql cannot be read: No such file or directory
  1. let the user who runs the tests read it"""
    )
