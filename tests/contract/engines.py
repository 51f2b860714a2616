"""The engines that the contract's claims are tried on, and what each of them cannot do: said here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from mintdb.engines.mysql.binaries import find_binaries
from mintdb.engines.mysql.errors import BinariesNotFound
from tests.engines.mysql.debian_mysql import find_mysql, why_not


def _always() -> str | None:
    return None


@dataclass(frozen=True)
class Kind:
    """One engine, or one product that it stands for: the contract's schema in its SQL, and its limits."""

    name: str
    schema: str
    driver: str  # SQLAlchemy's, blocking
    limits: Mapping[str, str] = field(default_factory=dict)  # name of a test in this folder -> what is so instead
    missing: Callable[[], str | None] = _always  # why it cannot run here, and the remedy
    of: str = ""  # the engine, where the name is a product's
    binaries: Callable[[], str | None] = _always  # the folder of the product's programs, where it has to be named

    @property
    def engine(self) -> str:
        return self.of or self.name

    @property
    def settings(self) -> dict[str, str]:
        return {"engine": self.engine, "schema": "sql:schema.sql"}

    def limit(self, claim: str) -> str | None:
        """What is so instead of a claim."""
        return self.limits.get(claim)


POSTGRESQL = Kind(
    "postgresql",
    """
    create table account (id int generated always as identity primary key,
                          owner text not null unique, balance int not null default 0);
    create table entry (id int generated always as identity primary key,
                        account_id int not null references account on delete cascade, amount int not null);
    create view rich as select owner from account where balance >= 100;
    insert into account (owner, balance) values ('Ann', 100), ('Bob', 0);
    """,
    driver="psycopg",
)

SQLITE = Kind(
    "sqlite",
    """
    create table account (id integer primary key autoincrement,
                          owner text not null unique, balance int not null default 0);
    create table entry (id integer primary key autoincrement,
                        account_id int not null references account on delete cascade, amount int not null);
    create view rich as select owner from account where balance >= 100;
    insert into account (owner, balance) values ('Ann', 100), ('Bob', 0);
    """,
    driver="pysqlite",
    limits={
        "test_an_idle_connection_of_another_process_goes_on_and_is_seen": (
            "a connection of another process is seen while it holds a lock, and goes on; an idle one is not seen"
        )
    },
)


def _no_mariadb() -> str | None:
    try:
        is_there = find_binaries().is_mariadb
    except BinariesNotFound:
        is_there = False
    return None if is_there else "no MariaDB server here:  apt-get install mariadb-server"


MARIADB = Kind(
    "mariadb",
    """
    create table account (id int auto_increment primary key,
                          owner varchar(40) not null unique, balance int not null default 0);
    create table entry (id int auto_increment primary key, account_id int not null, amount int not null,
                        foreign key (account_id) references account (id) on delete cascade);
    create view rich as select owner from account where balance >= 100;
    insert into account (owner, balance) values ('Ann', 100), ('Bob', 0);
    """,
    driver="pymysql",
    limits={
        "test_a_mark_beneath_another_can_go_first": (
            "a mark holds whole tables: it goes after those upon it that wrote to the same ones"
        )
    },
    missing=_no_mariadb,
    of="mysql",
)
MYSQL = replace(MARIADB, name="mysql", missing=why_not, binaries=find_mysql)


def _no_emulation() -> str | None:
    return None if find_spec("fakesnow") else "no emulation here:  python -m pip install 'mintdb[snowflake]'"


OF_OTHER_PROCESSES = (
    "test_another_process_commits_and_is_put_back",
    "test_a_transaction_of_another_process_is_named_and_never_reaches_the_next_test",
    "test_an_idle_connection_of_another_process_goes_on_and_is_seen",
)
NO_DIALECT = "SQLAlchemy reaches it by snowflake-sqlalchemy, which is not among mintdb's own requirements"

SNOWFLAKE = Kind(
    "snowflake",
    """
    create table account (id int autoincrement, owner varchar(40) not null unique, balance int not null default 0);
    create table entry (id int autoincrement, account_id int not null, amount int not null);
    create view rich as select owner from account where balance >= 100;
    insert into account (owner, balance) values ('Ann', 100), ('Bob', 0);
    """,
    driver="connector",
    limits={
        **dict.fromkeys(OF_OTHER_PROCESSES, "an emulated account lives in one process"),
        "test_a_mark_beneath_another_can_go_first": "a mark is a set of files: it goes after those upon it",
        "test_a_lease_that_is_kept_can_be_looked_at": "what is kept is a folder of DuckDB files",
        "test_sqlalchemy_is_led_there_by_its_own_form_of_url": NO_DIALECT,
        "test_tables_come_from_scripts_models_functions_evolutions_and_alembic": "its tables come from SQL files",
    },
    missing=_no_emulation,
)

KINDS = (POSTGRESQL, SQLITE, MARIADB, MYSQL, SNOWFLAKE)
