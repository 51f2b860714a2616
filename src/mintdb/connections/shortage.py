"""Say who holds the connections, below the error of a pool that has run dry or of a server that is full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from mintdb import clock
from mintdb.connections.facts import NOWHERE, Entry, Owner, Place
from mintdb.connections.ledger import ledger

PLACES_SHOWN = 20
TESTS_SHOWN = 3
# How servers refuse one more: PostgreSQL in English, before it asks for a language; MariaDB and MySQL with error 1040.
FULL = (
    *("too many clients already", "remaining connection slots are reserved", "too many connections for "),
    *("Too many connections", "'max_user_connections'"),
)


def explain_dry_pool(error: BaseException, owner: Owner | None) -> None:
    """Note below an error of a pool that has none left who has taken its connections; nothing where nobody has."""
    out = [entry for entry in ledger.open_entries() if entry.owner is owner and entry.taking is not None]
    if owner is not None and out:
        _note(error, "who has this pool's connections" + (f", made {owner.site}:" if owner.site else ":"), out)


def explain_full_server(error: BaseException, place: Place = NOWHERE) -> None:
    """Note below a server's refusal who has its connections in this process; nothing below any other error.

    `place` is where the refused one was to lead; NOWHERE: not known.
    """
    if not any(words in str(error) for words in FULL):
        return
    *_, port, _ = place
    held = [entry for entry in ledger.open_entries() if entry.port and port in (0, entry.port)]
    if held:
        _note(error, "who has this server's connections, in this process:", held)


def _note(error: BaseException, title: str, held: Sequence[Entry]) -> None:
    note = f"{title}\n{holders(held, clock.monotonic())}"
    if note not in getattr(error, "__notes__", ()):  # it may pass by more than once
        error.add_note(note)


def holders(held: Iterable[Entry], now: float) -> str:
    """Who holds connections: a line for each line of source, the most frequent first."""
    by_place: dict[str, list[Entry]] = defaultdict(list)
    for entry in held:
        by_place[_place(entry)].append(entry)
    groups = sorted(by_place.items(), key=lambda group: len(group[1]), reverse=True)
    lines = [
        f"  {len(entries):3} × {place}{_by(entries)}, {_age(entries, now)}{_in_tests(entries)}"
        for place, entries in groups[:PLACES_SHOWN]
    ]
    if len(groups) > PLACES_SHOWN:
        lines.append(f"  … and {len(groups) - PLACES_SHOWN} other places")
    return "\n".join(lines)


def _place(entry: Entry) -> str:
    if entry.taking is not None and (taken := entry.taking.site):
        return f"taken {taken}"
    site = entry.site or (entry.owner.site if entry.owner else None)
    return str(site) if site else f"{entry.driver.name}, opened before it could be seen"


def _by(entries: Sequence[Entry]) -> str:
    threads = {(entry.taking or entry).thread for entry in entries} - {"MainThread"}
    if len(threads) > 1:
        return f", {len(threads)} threads"
    return f', thread "{threads.pop()}"' if threads else ""


def _age(entries: Sequence[Entry], now: float) -> str:
    are_out = all(entry.taking for entry in entries)
    oldest = max(now - (entry.taking.moment if entry.taking else entry.opened) for entry in entries)
    return f"{'out' if are_out else 'open'} for {'up to ' if len(entries) > 1 else ''}{oldest:.1f} s"


def _in_tests(entries: Sequence[Entry]) -> str:
    """The tests that took or opened them, where that is known."""
    openings = [(entry.taking or entry).opening for entry in entries]
    tests = list(dict.fromkeys(opening.test for opening in openings if opening and opening.test))
    if not tests:
        return ""
    more = f" and {len(tests) - TESTS_SHOWN} more" if len(tests) > TESTS_SHOWN else ""
    return f", in {', '.join(tests[:TESTS_SHOWN])}{more}"
