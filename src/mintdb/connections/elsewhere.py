"""Tell of a database that a test used and mintdb did not make: which, who connected to it, and what to look at."""

from __future__ import annotations

from mintdb.connections.facts import Entry

NOT_MEANT = """\
  1. if that is not meant: read the URL from the variable that `export` names, when mintdb has set it
     (a module loaded with -p is too early for it, and a .env file may override it)"""


def find_place(entry: Entry) -> str:
    """The database as a person reads it."""
    return f"{entry.database!r} on {entry.host or 'localhost'}" + (f":{entry.port}" if entry.port else "")


def explain_elsewhere(entry: Entry, *, test: str) -> str:
    """What there is to say of the first connection to such a database. A line that is not known is left out."""
    lines = [f"the tests also connected to database {find_place(entry)}, which mintdb did not make, nor puts back"]
    if entry.site:
        lines.append(f"  opened   {entry.site}, in {test}")
    if entry.owner and entry.owner.site:
        lines.append(f"  pool     {entry.owner.site}, {entry.owner.kind}")
    return "\n".join([*lines, NOT_MEANT])
