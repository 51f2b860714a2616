"""Put what a PostgreSQL server answered into the words of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

SHOWN_LINES = 8


def describe_server_error(error: psycopg.Error) -> str:
    """What the server said, with its detail and hint where it gave them."""
    more = (("detail", error.diag.message_detail), ("hint", error.diag.message_hint))
    lines = [f"  {name}: {text}" for name, text in more if text]
    return "\n".join([error.diag.message_primary or str(error).strip(), *lines])


def get_code(error: psycopg.Error) -> str:
    """The SQLSTATE, or a word where the error did not come from the server."""
    return error.diag.sqlstate or "unknown"


def shorten(text: str, *, lines: int = SHOWN_LINES) -> str:
    """The first lines of a statement, marked as such for a message."""
    shown = text.strip().splitlines()
    more = [f"… {len(shown) - lines} more lines"] if len(shown) > lines else []
    return "\n".join(f"  | {line}".rstrip() for line in [*shown[:lines], *more])
