"""The one place through which every Snowflake connection of the process is made, while it is shut.

`SnowflakeConnection.__new__` is replaced: `connect`, however early it was bound, aliases, partials, subclasses,
`SnowflakeConnection(…)` and SQLAlchemy all lead through it. What comes past it is refused before a socket, or the
native core of connector 5, is touched.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, NoReturn, Protocol

from mintdb.connections import gate
from mintdb.connections.hooks.patch import Function, Patches
from mintdb.connections.stack import find_app_site, take
from mintdb.snowflake.asked import Asked, read
from mintdb.snowflake.errors import ConnectorMissing, NetworkRefused

NOBODY = "nothing answers it now"
ASYNC = "asynchronous connections are not answered"
PAST = "it came past connect"
# Reading connections.toml is native code in connector 5, and stays on this machine.
HARMLESS = "config_"


class Answerer(Protocol):
    """Whoever answers connections."""

    def find(self, asked: Asked) -> str | None:
        """The name of the database that would answer; None: not this one's. Raises MintdbError to refuse."""

    def connect(self, asked: Asked) -> object:
        """The connection. Raises MintdbError."""


_answerers: list[Answerer] = []
_shut: Patches | None = None
_own_connect: Function | None = None
_patched: ContextVar[bool] = ContextVar("mintdb_patched_connect", default=False)
_lock = threading.RLock()


def shut() -> None:
    """From now on no Snowflake connection of this process reaches the network. Again is free.

    Raises ConnectorMissing where `snowflake.connector` cannot be imported.
    """
    global _shut
    with _lock:
        if _shut is None:
            _shut = _replace()


def prepare() -> None:
    """Let every connection be made through the door, shut or not. Raises ConnectorMissing."""
    global _own_connect
    try:
        import snowflake.connector
        from snowflake.connector.connection import SnowflakeConnection
    except ImportError as error:
        raise ConnectorMissing(why=error) from None
    if _own_connect is None:
        _own_connect = snowflake.connector.connect
    _replace_new(SnowflakeConnection)


def reopen() -> None:
    """Let connections that nothing answers reach the real account again."""
    global _shut
    with _lock:
        if _shut is not None:
            _shut.undo()
            _shut = None


def is_shut() -> bool:
    """Whether connections that nothing answers are refused."""
    return _shut is not None


@contextmanager
def answering(answerer: Answerer) -> Iterator[None]:
    """Let `answerer` be asked first for the block. Whether the door is shut is another's to say."""
    prepare()
    _answerers.append(answerer)
    try:
        yield
    finally:
        _answerers.remove(answerer)


def _replace() -> Patches:
    prepare()
    import snowflake.connector
    from snowflake.connector.connection import SnowflakeConnection

    patches = Patches()
    if int(snowflake.connector.__version__.partition(".")[0]) >= 5:
        from snowflake.connector._internal.api_client.bridge import ProtoTransport

        for name in ("handle_message", "handle_message_async"):
            patches.replace(ProtoTransport, name, _refuse_native)
        patches.replace(import_module("snowflake.connector.aio").SnowflakeConnection, "connect", _refuse_async)
    else:
        patches.replace(SnowflakeConnection, "connect", _refuse_method)
    return patches


def _replace_new(kind: Any) -> None:  # Any: a class of the connector, which is not always there to be checked
    """Replaced once and for good: where a `__new__` was set and deleted again, `__init__`'s arguments are refused."""
    if getattr(kind.__new__, "of_mintdb", False):
        return

    def __new__(cls: Any, *positional: Any, **arguments: Any) -> Any:  # Any: see above
        if _shut is None and not _answerers:
            return object.__new__(cls)
        return _answer(cls, arguments)

    __new__.of_mintdb = True  # type: ignore[attr-defined]  # a mark on a function
    kind.__new__ = __new__


def _answer(cls: type, arguments: dict[str, Any]) -> object:  # Any: whatever the application passes
    if (patched := _find_patched()) is not None:
        return _call_patched(patched, arguments)
    asked = read(arguments, cls, skip=2)
    if ".aio" in cls.__module__:
        raise NetworkRefused(account=asked.account, why=ASYNC, site=asked.asked_at)
    return _ask(_answerers[::-1], asked, lambda: object.__new__(cls))  # which Python then initialises


def find_past(answerer: Answerer, asked: Asked) -> str | None:
    """The name of the database that would answer if `answerer` were not there; "real" where the door is open."""
    names = (other.find(asked) for other in _before(answerer))
    return next((name for name in names if name is not None), "real" if _shut is None else None)


def answer_past(answerer: Answerer, asked: Asked) -> object:
    """The connection that there would be if `answerer` were not there: the real one where the door is open."""
    return _ask(_before(answerer), asked, lambda: _connect_really(asked))


def _before(answerer: Answerer) -> list[Answerer]:
    return _answerers[: _answerers.index(answerer)][::-1]


def _ask(answerers: list[Answerer], asked: Asked, really: Callable[[], object]) -> object:
    for answerer in answerers:
        name = answerer.find(asked)
        if name is not None:
            if gate.keeper is not None:
                gate.keeper.wait(lambda found=name: found)  # type: ignore[misc]  # bound now, not later
            return answerer.connect(asked)
    if _shut is not None:
        raise NetworkRefused(account=asked.account, why=NOBODY, site=asked.asked_at)
    return really()


def _connect_really(asked: Asked) -> object:
    kind: Any = asked.kind  # Any: the connector's class, or a subclass of it
    connection = object.__new__(kind)
    connection.__init__(**asked.arguments)
    return connection


def _find_patched() -> Function | None:
    """What a test has put in the place of `snowflake.connector.connect`; None if it is the connector's own.

    A patch at that name does not reach `connect` where it was bound before. Here it does.
    """
    connect: Function | None = getattr(sys.modules.get("snowflake.connector"), "connect", None)
    return None if connect is None or connect is _own_connect or _patched.get() else connect


def _call_patched(connect: Function, arguments: dict[str, Any]) -> object:  # Any: see _answer
    token = _patched.set(True)  # it may well call the connector's own, which leads here again
    try:
        return connect(**arguments)
    finally:
        _patched.reset(token)


def _refuse_native(original: Function) -> Function:
    def refuse(self: object, api: str, method: str, message: bytes) -> Any:  # Any: see Function
        if method.startswith(HARMLESS):
            return original(self, api, method, message)
        _refuse()

    return refuse


def _refuse_async(original: Function) -> Function:
    async def connect(self: Any) -> NoReturn:  # Any: a class of the connector
        _refuse(str(self.config.account or ""), ASYNC)  # the attribute `account` asks the native core

    return connect


def _refuse_method(original: Function) -> Function:
    def connect(self: object, **arguments: Any) -> NoReturn:  # Any: see Function
        _refuse(str(arguments.get("account") or getattr(self, "account", "")))

    return connect


def _refuse(account: str = "", why: str = PAST) -> NoReturn:
    raise NetworkRefused(account=account, why=why, site=find_app_site(take(skip=2)) or "a line outside the application")
