"""The drivers that SQLAlchemy knows by name in a URL, so that a name that nobody knows is found before a test runs."""

from __future__ import annotations

from importlib.util import find_spec

# https://docs.sqlalchemy.org/en/20/dialects/ and, as psycopg_async, the names of asynchronous variants
DRIVERS = {
    "postgresql": ("psycopg", "psycopg2", "asyncpg", "psycopg_async", "psycopg2cffi", "pg8000"),
    "mysql": ("pymysql", "mysqldb", "asyncmy", "aiomysql", "mysqlconnector", "mariadbconnector", "cymysql", "pyodbc"),
    "sqlite": ("pysqlite", "aiosqlite", "pysqlcipher"),
}

OF_OURS = "mysql+pymysql"


def needs_name(engine: str) -> bool:
    """Whether SQLAlchemy's own choice, mysqlclient, is missing, where mintdb's, PyMySQL, is installed in any case."""
    return engine == "mysql" and find_spec("MySQLdb") is None


def is_known(engine: str, dialect: str, driver: str) -> bool:
    """Whether SQLAlchemy, or an installed package that adds dialects to it, has the driver."""
    if driver in DRIVERS.get(engine, (driver,)):
        return True
    from importlib.metadata import entry_points  # 20 ms, for a name that is not on the list

    return f"{dialect}.{driver}" in entry_points(group="sqlalchemy.dialects").names


def sqlalchemy_decodes_paths() -> bool:
    """Whether the installed SQLAlchemy reads `%41` in a URL's path as `A`, as others do; before 2.1 it does not."""
    from importlib.metadata import PackageNotFoundError, version  # 20 ms, for a path with such a character

    try:
        return not version("sqlalchemy").startswith(("1.", "2.0."))
    except PackageNotFoundError:
        return True


def find_like(engine: str, driver: str) -> str | None:
    """The known driver whose name is most like this one; None if none is."""
    import difflib  # for a name that nobody knows

    close = difflib.get_close_matches(driver, DRIVERS[engine], n=1)
    return close[0] if close else None
