"""Put what a PostgreSQL server answered into the words of a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

SHOWN_LINES = 8
# What the wheel's server was built without: pgcrypto, uuid-ossp, PostGIS; ICU; libxml.
NOT_BUILT_IN = re.compile(r"extension .* is not available|could not open extension control|ICU is not|unsupported XML")
WAYS_OUT = (
    "  install PostgreSQL with it from your system's packages, and name it:  MINTDB_BINARIES=/usr/lib/postgresql/…/bin",
    "  or name a server that has it:  --mintdb-url postgresql://user:password@host/database",
)
OF_THE_SERVER = re.compile(r'(?P<kind>role|database) "(?P<name>.+)" already exists')
TAKEN = {
    "role": (
        "  a role belongs to the whole server: an earlier build has made it, or another project",
        '  name it in the settings, and leave it out of the schema:  roles = ["{name}"]',
        "  or create it only where it is missing:"
        '  do $$ begin create role "{name}"; exception when duplicate_object then null; end $$;',
    ),
    "database": (
        "  a database belongs to the whole server: an earlier build has made it, or another project",
        "  leave it out of the schema",
        '  or, if nobody but an earlier build has made it, drop it by hand once:  drop database "{name}";',
    ),
}


def describe_server_error(error: psycopg.Error) -> str:
    """What the server said, with its detail and hint where it gave them, and a way out of what mintdb brings about."""
    more = (("detail", error.diag.message_detail), ("hint", error.diag.message_hint))
    lines = [f"  {name}: {text}" for name, text in more if text]
    said = error.diag.message_primary or str(error).strip()
    return "\n".join([said, *lines, *_ways_out(said)])


def _ways_out(said: str) -> list[str]:
    if NOT_BUILT_IN.match(said):
        return list(WAYS_OUT)
    taken = OF_THE_SERVER.fullmatch(said)
    return [line.format(name=taken["name"]) for line in TAKEN[taken["kind"]]] if taken else []


def get_code(error: psycopg.Error) -> str:
    """The SQLSTATE, or a word where the error did not come from the server."""
    return error.diag.sqlstate or "unknown"


def shorten(text: str, *, lines: int = SHOWN_LINES) -> str:
    """The first lines of a statement, marked as such for a message."""
    shown = text.strip().splitlines()
    more = [f"… {len(shown) - lines} more lines"] if len(shown) > lines else []
    return "\n".join(f"  | {line}".rstrip() for line in [*shown[:lines], *more])
