"""What statements mean for a transaction that is never committed: savepoints, writes, what only a commit would do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mintdb.facts import dataclass

STARTS = re.compile(r"\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*(\w+)(?:\s+(\w+))?", re.DOTALL)
NEVER_ARRIVES = "a notification is sent, and a channel joined, by a commit, which never comes"
ENDS_IT = "it would end the test's one transaction, and what was written so far would stay, or be gone"
REASONS = {
    "notify": NEVER_ARRIVES,
    "listen": NEVER_ARRIVES,
    "commit": ENDS_IT,
    "end": ENDS_IT,
    "abort": ENDS_IT,
    "rollback": ENDS_IT,
    "begin": ENDS_IT,
    "start": ENDS_IT,
    "prepare transaction": ENDS_IT,
}
# What a commit checks; the savepoint puts back which constraints are deferred, and what still waits to be checked.
BEFORE_CHECK = "savepoint mintdb_check"
CHECK = "set constraints all immediate"
END_OF_CHECK = ("rollback to savepoint mintdb_check", "release savepoint mintdb_check")
# The first savepoint of the one transaction: at its end it is still there, or the transaction is another one.
OUTER = "savepoint mintdb_outer"
BACK_TO_OUTER = "rollback to savepoint mintdb_outer"
NOTIFIES = re.compile(r"\bpg_notify\s*\(", re.IGNORECASE)
SAVEPOINTS = re.compile(
    r"\s*(?:(?P<set>savepoint)"
    r"|(?P<release>release)(?:\s+savepoint)?"
    r"|(?P<rollback>rollback)(?:\s+(?:work|transaction))?\s+to(?:\s+savepoint)?)"
    r"\s+\"?(?P<name>\w+)",
    re.IGNORECASE,
)
BEGINS = re.compile(r"\s*(?:begin|start\s+transaction)\b", re.IGNORECASE)
# Statements that write, whatever else they say. What a function does that a SELECT calls is not seen.
WRITES = {"insert", "update", "delete", "merge", "truncate", "copy", "create", "alter", "drop", "call", "replace"}


@dataclass(frozen=True)
class Step:
    """What a statement does: "set", "release" or "rollback" to a savepoint; "write"; or nothing that matters here."""

    kind: str
    name: str = ""  # the savepoint's


def find_step(statement: str) -> Step:
    """What a statement does to the savepoints of its connection, or on top of them."""
    if found := SAVEPOINTS.match(statement):
        return Step(_kind_of(found), found["name"])
    first = STARTS.match(statement)
    return Step("write" if first and first[1].lower() in WRITES else "")


def begins(statement: str) -> bool:
    """Whether it begins a transaction."""
    return BEGINS.match(statement) is not None


def parts_of(text: str) -> Iterable[str]:
    """The statements of a text that may hold several, as a PostgreSQL driver sends them without parameters."""
    if ";" not in text.rstrip().removesuffix(";"):
        return [text]
    from mintdb.schemas.sql_split import MetaCommandFound, TextAfterCopy, split

    try:
        return [statement.text for statement in split(text)]
    except (MetaCommandFound, TextAfterCopy):  # it is for psql, and the server will say so
        return [text]


def find_why_not(statement: str) -> tuple[str, str] | None:
    """What of a statement needs a real commit, and why; None if nothing does.

    What a function or trigger does inside the server is not seen.
    """
    if NOTIFIES.search(statement):
        return "pg_notify()", NEVER_ARRIVES
    found = STARTS.match(statement)
    if found is None or SAVEPOINTS.match(statement):
        return None
    first, second = (found[1].lower(), (found[2] or "").lower())
    for words in (f"{first} {second}", first):
        if words in REASONS:
            return words.upper(), REASONS[words]
    return None


def _kind_of(found: re.Match[str]) -> str:
    return next(kind for kind in ("set", "release", "rollback") if found[kind])
