"""Record what an application and its database say to each other, and let the file answer in the database's place."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mintdb.script.answers import Answer, Asked
from mintdb.script.doubles import ScriptedConnection
from mintdb.script.drivers import SNOWFLAKE, Driver, find_driver
from mintdb.script.exchange import Exchange, Failure, read
from mintdb.script.script import Script
from mintdb.snowflake import Asked as Connect
from mintdb.snowflake import answering
from mintdb.snowflake.door import answer_past, find_past
from mintdb.snowflake.everywhere import replaced

KEPT_OF_ERROR = ("msg", "errno", "sqlstate")  # what a Snowflake error is made of


@contextmanager
def record(file: str | os.PathLike[str], *, driver: str = SNOWFLAKE) -> Iterator[Exchange]:
    """Write every statement of the block, and its answer, to `file` when the block has ended without an error.

    The application works with its real connections, or with emulated ones, and sees what they answer; of a result
    every row is fetched at once. Passwords, tokens and keys of connect are not written. Raises NotADriver.
    """
    found = find_driver(driver)
    recorder = _Recorder(found)
    answered = answering(recorder) if found.is_snowflake else replaced(found.module.connect, recorder.wrap_connect())
    with answered:
        yield recorder.exchange
    recorder.exchange.write(Path(file))


def replay(file: str | os.PathLike[str]) -> Script:
    """A script with what a recording has. Raises BadRecording and NotADriver."""
    exchange = read(Path(file))
    driver = find_driver(exchange.driver)
    script = Script(driver)
    lines: dict[tuple[str, str], Any] = {}  # Any: Line
    for asked, answer in exchange.answered:
        key = (asked.statement, repr(asked.params))
        line = lines.get(key) or script.on(asked.statement, asked.params)
        lines[key] = line.answer(_as_answer(answer, driver))
    return script


class _Recorder:
    """Stands between the application and its connections. It fulfils snowflake.Answerer."""

    def __init__(self, driver: Driver) -> None:
        self.exchange = Exchange(driver.name)
        self._driver = driver

    def find(self, asked: Connect) -> str | None:
        """See snowflake.Answerer: whoever would answer without the recorder."""
        return find_past(self, asked)

    def connect(self, asked: Connect) -> object:
        """See snowflake.Answerer."""
        return self._wrapped(answer_past(self, asked), asked.arguments)

    def wrap_connect(self) -> Callable[..., object]:
        """What stands in the place of the driver's connect."""
        original = self._driver.module.connect

        def connect(*positional: Any, **arguments: Any) -> object:  # Any: whatever the application passes
            return self._wrapped(original(*positional, **arguments), arguments)

        return connect

    def _wrapped(self, real: Any, arguments: Mapping[str, Any]) -> object:  # Any: a connection of the driver
        self.exchange.connects.append(dict(arguments))
        return ScriptedConnection(self._driver, _Tap(real, self._driver, self.exchange), arguments)


class _Tap:
    """One real connection and what was said over it. It fulfils doubles.Desk."""

    def __init__(self, real: Any, driver: Driver, exchange: Exchange) -> None:  # Any: a connection of the driver
        self._real = real
        self._driver = driver
        self._exchange = exchange

    def answer(self, asked: Asked) -> Answer:
        """See doubles.Desk."""
        try:
            answer = self._ask(asked)
        except self._driver.error as error:
            failure = Failure(type(error).__name__, _facts_of(error, self._driver))
            self._exchange.answered.append((asked, failure))
            return Answer(error=error)
        self._exchange.answered.append((asked, answer))
        return answer

    def end(self, how: str) -> None:
        """See doubles.Desk."""
        getattr(self._real, how)()

    def _ask(self, asked: Asked) -> Answer:
        cursor = self._real.cursor()
        run = cursor.executemany if asked.many else cursor.execute
        run(asked.statement, *([] if asked.params is None else [asked.params]))
        if cursor.description is None:
            return Answer(rowcount=cursor.rowcount)
        return Answer([column[0] for column in cursor.description], cursor.fetchall(), cursor.rowcount)


def _facts_of(error: Exception, driver: Driver) -> dict[str, Any]:  # Any: JSON
    if not driver.is_snowflake:
        return {"args": [str(argument) for argument in error.args]}
    said = {"msg": getattr(error, "raw_msg", None) or str(error)}
    return {**said, **{name: getattr(error, name, None) for name in KEPT_OF_ERROR[1:]}}


def _as_answer(answer: Answer | Failure, driver: Driver) -> Answer:
    if isinstance(answer, Answer):
        return answer
    kind: Any = getattr(driver.module, answer.kind, driver.error)  # Any: an error class of the driver
    if not driver.is_snowflake:
        return Answer(error=kind(*answer.arguments.get("args", ())))
    known = inspect.signature(kind).parameters
    return Answer(error=kind(**{name: value for name, value in answer.arguments.items() if name in known}))
