"""`write_pandas` on an emulated connection, under whatever name an application has bound it to."""

from __future__ import annotations

from contextlib import ExitStack
from functools import wraps
from importlib import import_module
from typing import Any

from mintdb.engines.snowflake.refusals import translated
from mintdb.engines.snowflake.sessions import EmulatedConnection
from mintdb.snowflake.everywhere import Function, replaced

ANSWERED = "answered_by_mintdb"
_kept = ExitStack()  # for as long as the process lives


def answer_write_pandas() -> None:
    """Lead write_pandas to the emulation where its connection is emulated. Again is free."""
    original = import_module("snowflake.connector.pandas_tools").write_pandas
    if not hasattr(original, ANSWERED):
        _kept.enter_context(replaced(original, _answering(original)))


def _answering(original: Function) -> Function:
    @wraps(original)
    def write_pandas(conn: Any, *args: Any, **options: Any) -> Any:  # Any: the connector's
        if issubclass(type(conn), EmulatedConnection):
            return _write(conn, *args, **options)
        return original(conn, *args, **options)

    setattr(write_pandas, ANSWERED, True)
    return write_pandas


def _write(connection: Any, *args: Any, **options: Any) -> Any:  # Any: the connector's
    from fakesnow.pandas_tools import write_pandas

    connection.check_open()
    with connection.account_of.statement(connection), translated(), connection._duck_conn.reading_python_names():
        connection.has_written = True
        return write_pandas(connection, *args, **options)
