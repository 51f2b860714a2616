"""An emulated account for every test here, put back after each; nothing of the machine's own Snowflake is read."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import mintdb
import mintdb.snowflake
from mintdb import Lease, Mint

if find_spec("fakesnow") is None:  # where the extra `snowflake` is not installed, none of these can be collected
    collect_ignore_glob = ["test_*.py"]
else:  # the two need the connector's 4.8 line, or an older SQLAlchemy: test_other_line runs their tests
    needed = {"snowflake.snowpark": "test_snowpark.py", "snowflake.sqlalchemy": "test_dialect.py"}
    collect_ignore = [file for module, file in needed.items() if find_spec(module) is None]

SECRETS = {
    "SNOWFLAKE_ACCOUNT": "acme-production",
    "SNOWFLAKE_USER": "admin",
    "SNOWFLAKE_PASSWORD": "of-production",
    "SNOWFLAKE_DEFAULT_CONNECTION_NAME": "production",
}


@pytest.fixture(scope="session", autouse=True)
def credentials_of_a_real_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """They stand in the environment of many machines, and must never be used."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        patch.setenv("SNOWFLAKE_HOME", str(tmp_path_factory.mktemp("snowflake-home")))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        mintdb.snowflake.shut()
        yield


@pytest.fixture(scope="module")
def mint(server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mint]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "db.sql").write_text(SCHEMA)
    with mintdb.open(folder, engine="snowflake", name="shop", schema="sql:db.sql") as opened:
        yield opened


@pytest.fixture
def db(mint: Mint) -> Iterator[Lease]:
    with mint.lease() as lease:
        yield lease


@pytest.fixture
def connection(db: Lease) -> Iterator[Any]:
    with db.connect() as opened:
        yield opened


@pytest.fixture
def cursor(connection: Any) -> Any:
    return connection.cursor()


SCHEMA = """
create table customer (id int autoincrement, name varchar(10) not null, joined date);
insert into customer (name, joined) values ('Ann', '2024-01-02'), ('Ben', '2024-03-04');
create table orders (id int, customer int, total number(10,2), note variant);
create view rich as select customer from orders where total > 100;
"""
