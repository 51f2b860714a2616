"""What statements mean for a transaction that is never committed: savepoints, and what only a commit would do."""

from __future__ import annotations

import re

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
OWN = "mintdb_check"
# What a commit checks; the savepoint puts back which constraints are deferred, and what still waits to be checked.
CHECK = (f"savepoint {OWN}", "set constraints all immediate")
END_OF_CHECK = (f"rollback to savepoint {OWN}", f"release savepoint {OWN}")
SAVEPOINT = re.compile(r"\s*savepoint\s+\"?(\w+)", re.IGNORECASE)
NOTIFIES = re.compile(r"\bpg_notify\s*\(", re.IGNORECASE)


def find_savepoint(statement: str) -> str | None:
    """The name of the savepoint that a statement sets; None for another statement, and for a savepoint of our own."""
    found = SAVEPOINT.match(statement)
    return found[1] if found and found[1] != OWN else None


def find_why_not(statement: str) -> tuple[str, str] | None:
    """What of a statement needs a real commit, and why; None if nothing does.

    What a function or trigger does inside the server is not seen.
    """
    if NOTIFIES.search(statement):
        return "pg_notify()", NEVER_ARRIVES
    found = STARTS.match(statement)
    if found is None:
        return None
    first, second = (found[1].lower(), (found[2] or "").lower())
    if first == "rollback" and re.search(r"\bto\b", statement, re.IGNORECASE):
        return None
    for words in (f"{first} {second}", first):
        if words in REASONS:
            return words.upper(), REASONS[words]
    return None
