"""Who is connected to the databases that mintdb made, on every server that can be found from here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from mintdb import clock
from mintdb.address import Address, parse_url
from mintdb.cli import say
from mintdb.connections.foreign import traced
from mintdb.connections.live import LIVE, Seen, read_all
from mintdb.contract import Observer, Observing, Session
from mintdb.engines import WITH_SERVERS, find_observing
from mintdb.errors import MintdbError, ServerError, SettingsError
from mintdb.facts import dataclass
from mintdb.settings import DEFAULT, load

STOPPING = 5.0  # seconds: longer than a server of ours takes to stop
Answer = TypeVar("Answer")


class NoServer(SettingsError):
    """A server was to be looked at, and the engine has none. Facts: engine."""

    text = """\
{engine} has no server that could be asked who is connected, or what mintdb keeps there
  1. what a run left open is told at its end, and by:  mintdb explain"""


@dataclass(frozen=True)
class Row:
    """One connection, as the server and its own process tell of it."""

    database: str
    session: Session
    seen: Seen | None = None

    @property
    def seconds(self) -> float | None:
        """In its transaction, else in its state."""
        return self.session.seconds_in_transaction or self.session.seconds_in_state


def ask_all(url: str | None, question: Callable[[Observer], Iterable[Answer]]) -> list[Answer]:
    """What each server answers, in turn; one that cannot be reached is told, one that is stopping is passed by.

    They are the embedded ones, and that of `url` or else those that the settings name. Raises NoServer, and
    ProtectedEnvironment or ProtectedServer before anything is connected to.
    """
    external, answers = _external(url), list[Answer]()
    for embedded in filter(None, map(find_observing, WITH_SERVERS)):
        for address in embedded.find_running():
            answers += _ask(
                embedded, address, question, is_stopping=partial(stops_soon, address, embedded.find_running)
            )
    for address in external:
        if observing := find_observing(address.engine):
            answers += _ask(observing, address, question, is_stopping=lambda: False)
    return answers


def rows_on(server: Observer) -> list[Row]:
    """Every connection to what mintdb made on a server, database by database."""
    from mintdb.engines.places import find_cache

    present = server.sessions()
    seen = read_all(find_cache() / LIVE)  # after the server was asked: what was opened in between is told of by now
    return [
        Row(database, traced(session), seen.get((server.port, session.backend_pid)))
        for database, sessions in present.items()
        for session in sessions
    ]


def stops_soon(server: object, find_running: Callable[[], Sequence[object]]) -> bool:
    """Whether a server that was found running, and does not answer, is gone within STOPPING seconds."""
    deadline = clock.monotonic() + STOPPING
    while is_there := server in find_running():
        if clock.monotonic() > deadline:
            break
        clock.sleep(0.02)
    return not is_there


def _ask(
    observing: Observing,
    address: Address,
    question: Callable[[Observer], Iterable[Answer]],
    *,
    is_stopping: Callable[[], bool],
) -> list[Answer]:
    try:
        observer = observing.observe(address)
    except MintdbError as error:
        if not is_stopping():
            say(str(error))
        return []
    if observer is None:
        return []
    with closing(observer):
        try:
            return list(question(observer))
        except ServerError:
            if not is_stopping():
                raise
            return []


def _external(url: str | None) -> list[Address]:
    settings = load()
    if url:
        settings.refuse_protected_server(url, alias=DEFAULT)
        if (address := parse_url(url)).engine not in WITH_SERVERS:
            raise NoServer(engine=address.engine)
        return [address]
    named = [(alias, database) for alias, database in settings.databases.items() if database.url]
    for alias, _ in named:
        settings.refuse_protected(alias)
    urls = dict.fromkeys(database.url for _, database in named if database.engine in WITH_SERVERS)
    return [parse_url(found) for found in urls if found]
