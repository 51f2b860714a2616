"""Say a fact in one line; what is not known is left out, and no password is shown."""

from __future__ import annotations

from mintdb.address import redact
from mintdb.contract import Session

QUERY_LENGTH = 120  # characters of a query: one line of a wide terminal


def count_of(what: str, number: int) -> str:
    """`1 test`, `2 tests`."""
    return f"{number} {what}{'s' * (number != 1)}"


def describe(session: Session) -> str:
    """A session: who, what it is doing, what it last ran."""
    parts = [f"backend {session.backend_pid}"] if session.backend_pid not in (0, session.process) else []
    if session.process:
        parts.append(f"process {session.process}" + (f" ({session.command_line})" if session.command_line else ""))
    if session.application:
        parts.append(session.application)
    if session.state:
        age = f" for {session.seconds_in_state:.1f} s" if session.seconds_in_state is not None else ""
        parts.append(session.state + age)
    if session.opened:
        parts.append(f"opened {session.opened}")
    if session.query:
        parts.append("last ran " + " ".join(session.query.split())[:QUERY_LENGTH])
    return redact(", ".join(parts))  # a command line may hold a URL
