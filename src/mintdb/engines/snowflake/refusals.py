"""Errors of the connector's own classes, so that an application's `except` finds what it would find in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from fakesnow.dialect import syntax_error
from snowflake.connector.errors import Error, IntegrityError, InterfaceError, ProgrammingError
from sqlglot.errors import ParseError, TokenError

from mintdb.engines.snowflake.errors import NotEmulated

UNSUPPORTED = 2  # errno of "Unsupported feature", with this state
UNSUPPORTED_STATE = "0A000"
DIVISION = "Division by zero"
NOT_NULL = "NOT NULL constraint failed"
ABORTED = "Current transaction is aborted"
FAILURES = (ValueError, AssertionError, LookupError, AttributeError, RecursionError)
ENFORCED = "; Snowflake would not enforce this, the emulation does"


def not_emulated(what: str, why: str) -> ProgrammingError:
    """A refusal."""
    refusal = NotEmulated(what=what, why=why)
    error = ProgrammingError(msg=str(refusal), errno=UNSUPPORTED, sqlstate=UNSUPPORTED_STATE)
    error.__cause__ = refusal
    return error


def closed_cursor() -> InterfaceError:
    """What the real cursor raises when it is executed after its close."""
    return InterfaceError(msg="Cursor is closed in execute.", errno=252006)


def too_long(value: str) -> ProgrammingError:
    """What Snowflake says of a text that is longer than its column."""
    return ProgrammingError(msg=f"String '{value}' is too long and would be truncated", errno=100078, sqlstate="22000")


def too_many_statements(count: int, expected: int) -> ProgrammingError:
    """What Snowflake says of several statements in one execute."""
    said = f"Actual statement count {count} did not match the desired statement count {expected}."
    return ProgrammingError(msg=said, errno=8, sqlstate=UNSUPPORTED_STATE)


def nowhere_to_create(*, has_database: bool) -> ProgrammingError:
    """What Snowflake says of a CREATE in a session without a current database, or without a current schema."""
    what, how, errno = ("schema", "USE SCHEMA", 90106) if has_database else ("database", "USE DATABASE", 90105)
    said = f"Cannot perform CREATE. This session does not have a current {what}. Call '{how}', or use a qualified name."
    return ProgrammingError(msg=said, errno=errno, sqlstate="22000")


def no_variable(name: str) -> ProgrammingError:
    """What Snowflake says of a session variable that was never set."""
    return ProgrammingError(
        msg=f"SQL compilation error: error line 1 at position 0\nSession variable '${name.upper()}' does not exist",
        errno=1506,
        sqlstate="02000",
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of DuckDB and of the parser into the connector's own."""
    try:
        yield
    except Error:
        raise
    except (ParseError, TokenError) as error:
        raise syntax_error(error) if isinstance(error, ParseError) else _syntax(error) from None
    except NotImplementedError as error:
        raise not_emulated("this statement", str(error)) from error
    except duckdb.Error as error:
        raise as_snowflake(error) from error
    except FAILURES as error:  # sqlglot's, of an expression that it cannot write for DuckDB, or fakesnow's own
        raise not_emulated("this statement", f"the emulation cannot ({type(error).__name__}: {error})") from error


def as_snowflake(error: duckdb.Error) -> Error:
    """An error of DuckDB, as the connector would raise it."""
    said = str(error)
    if DIVISION in said:
        return ProgrammingError(msg=DIVISION, errno=100051, sqlstate="22012")
    if isinstance(error, duckdb.ConstraintException):
        if NOT_NULL in said:
            return ProgrammingError(msg="NULL result in a non-nullable column", errno=100072, sqlstate="22000")
        return IntegrityError(msg=said + ENFORCED, errno=100072, sqlstate="23001")
    if ABORTED in said:
        said = "the transaction was ended by an earlier error: a failing statement ends it here, not in Snowflake"
        return ProgrammingError(msg=said, errno=-1, sqlstate="25P02")
    return ProgrammingError(msg=said, errno=2043 if isinstance(error, duckdb.BinderException) else 1, sqlstate="42000")


def _syntax(error: Exception) -> ProgrammingError:
    return ProgrammingError(msg=f"SQL compilation error:\n{error}", errno=1003, sqlstate="42000")
