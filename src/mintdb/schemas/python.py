"""`python:MODULE:CALLABLE`: let the user's own function fill the database, and show its own line when it fails."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, TypeGuard

from mintdb.address import Address
from mintdb.facts import dataclass
from mintdb.schemas.errors import ArgumentsError, CallFailedError, NotCallableError, TooEarlyError
from mintdb.schemas.modules import Named, describe, find_culprit, importing_from, parse_name
from mintdb.schemas.python_sources import read_sources
from mintdb.schemas.redirection import redirected

FORM = "python:package.module:function"
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
Filler = Callable[..., object]


@dataclass(frozen=True)
class PythonCallable:
    """A function that gets the database's libpq URL, or nothing: DATABASE_URL, and what is exported, name it too.

    A coroutine function is run to its end. The URL names the template that is being built, not the database that tests
    get: an engine that the application made at import points elsewhere, so the function has to make its own.
    """

    description: str
    named: Named

    def fingerprint(self) -> Iterable[bytes]:
        """The name and the sources; `read_sources` has the rule. The module is not imported."""
        with importing_from(self.named.root):
            yield self.description.encode()
            yield from read_sources(self.named.module)

    def build(self, database: Address) -> None:
        """Import the module and call the function once."""
        url = database.url_for("libpq")
        with importing_from(self.named.root):
            function = self._load()
            with redirected(database) as of_tests:
                self._call(function, url, of_tests)

    def _load(self) -> Filler:
        found = self.named.load()
        if not _is_callable(found):
            raise NotCallableError(setting=self.description, kind=f"{type(found).__name__} {found!r}")
        return found

    def _call(self, function: Filler, url: str, of_tests: Collection[str]) -> None:
        arguments = self._arguments(function, url)
        try:
            result = function(*arguments)
            if inspect.isawaitable(result):
                run_to_end(result)
        except (Exception, SystemExit) as error:
            where, told = find_culprit(error, self.named.root), describe(error)
            is_early = any(f"database {quote}{name}{quote}" in told for name in of_tests for quote in "\"'")
            kind = TooEarlyError if is_early else CallFailedError
            raise kind(setting=self.description, error=told, where=where) from error

    def _arguments(self, function: Filler, url: str) -> list[str]:
        signature = _signature(function)
        if signature is None:
            return [url]
        arguments = [url] if _takes_one(signature) else []
        try:
            signature.bind(*arguments)
        except TypeError:
            raise ArgumentsError(setting=self.description, signature=str(signature)) from None
        return arguments


def get_source(argument: str, *, setting: str, root: Path) -> PythonCallable:
    """The source for `python:ARGUMENT`. Raises SourceNameError."""
    return PythonCallable(setting, parse_name(argument, setting=setting, root=root, form=FORM))


def _is_callable(found: object) -> TypeGuard[Filler]:
    return callable(found)


def _signature(function: Filler) -> Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # written in C, without a text signature
        return None


def _takes_one(signature: Signature) -> bool:
    return any(parameter.kind in POSITIONAL for parameter in signature.parameters.values())


def run_to_end(awaitable: Awaitable[Any]) -> None:  # Any: the result is not used
    """Await something, in a loop of its own; in a thread where a loop runs already."""

    async def wait() -> None:
        await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(wait())
    else:
        _run_in_thread(lambda: asyncio.run(wait()))


def _run_in_thread(action: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failures.append(error)

    thread = threading.Thread(target=run, name="mintdb schema")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
