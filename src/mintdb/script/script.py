"""Which statements are expected, what each answers, and who connects: a pure unit test without any database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from mintdb.connections.stack import find_app_site, take
from mintdb.script.answers import Answer, Asked, of_dicts, of_frame, of_rows
from mintdb.script.doubles import ScriptedConnection
from mintdb.script.drivers import SNOWFLAKE, Driver, find_driver
from mintdb.script.errors import BadAnswer, NeverAsked, ScriptError, UnexpectedStatement, WrongParameters
from mintdb.script.matching import Wanted, find_nearest, matches, shown
from mintdb.snowflake import Asked as Connect
from mintdb.snowflake import answering, shut
from mintdb.snowflake.everywhere import replaced

ANY: Any = ...  # Any: stands for parameters of every type
STATUS = "Statement executed successfully."  # what Snowflake answers where there is nothing else to say


class Line:
    """One scripted statement. Each answer is given once, in order; the last one as often as it is asked for."""

    def __init__(self, driver: Driver, wanted: Wanted, params: Any, *, exactly: bool) -> None:  # Any: see ANY
        self.wanted = wanted
        self.params = params
        self.times = 0  # how often it was executed
        self._driver = driver
        self._exactly = exactly
        self._answers: list[Answer] = []

    def rows(self, rows: Sequence[Sequence[Any]], columns: Sequence[str] | None = None) -> Self:  # Any: values
        """Answer with rows; columns without names are COLUMN1, COLUMN2, …"""
        return self.answer(of_rows(rows, columns))

    def dicts(self, rows: Sequence[Mapping[str, Any]]) -> Self:  # Any: values
        """Answer with rows that are given as dicts. A plain cursor still returns tuples, a DictCursor dicts."""
        return self.answer(of_dicts(rows))

    def frame(self, frame: Any) -> Self:  # Any: a DataFrame
        """Answer with a DataFrame: as it is from fetch_pandas_all, row by row from the other fetches."""
        return self.answer(of_frame(frame))

    def affects(self, count: int) -> Self:
        """Answer as a statement that wrote `count` rows."""
        if self._driver.is_snowflake:
            return self.answer(Answer(["number of rows inserted"], [(count,)], rowcount=count))
        return self.answer(Answer(rowcount=count))

    def fails(self, error: Exception) -> Self:
        """Answer with an error. Raises BadAnswer for one that the driver would never raise."""
        if not isinstance(error, self._driver.error):
            why = f"it is no {self._driver.name}.Error, so no code that catches the driver's errors would meet it"
            raise BadAnswer(what=f"{type(error).__name__}", why=why)
        return self.answer(Answer(error=error))

    def answer(self, answer: Answer) -> Self:
        """Add an answer, in whatever form."""
        self._answers.append(answer)
        return self

    def is_asked_by(self, statement: str) -> bool:
        """Whether it is this statement, whatever its parameters."""
        return matches(self.wanted, statement, exactly=self._exactly)

    def takes(self, params: Any) -> bool:  # Any: see ANY
        """Whether these parameters are the scripted ones; a tuple and a list of the same values are one."""
        return self.params is ANY or _plain(self.params) == _plain(params)

    def next_answer(self) -> Answer:
        """The answer for this time."""
        self.times += 1
        if not self._answers:
            return Answer(["status"], [(STATUS,)]) if self._driver.is_snowflake else Answer(rowcount=-1)
        return self._answers[min(self.times, len(self._answers)) - 1]


class Script:
    """The statements of one test. Within `with script:` every connect of the driver is answered by it.

    At the end of the block it raises what the application may have caught: a statement that was not expected, and
    what was scripted and never executed.
    """

    def __init__(self, driver: Driver) -> None:
        self.connects: list[dict[str, Any]] = []  # Any: the arguments of each connect, as they were given
        self.executed: list[Asked] = []
        self.commits = self.rollbacks = self.closes = 0
        self._driver = driver
        self._lines: list[Line] = []
        self._troubles: list[ScriptError] = []
        self._answering = ExitStack()

    def on(self, statement: Wanted, params: Any = ANY, *, exactly: bool = False) -> Line:  # Any: see ANY
        """Expect a statement: a text that may differ in spaces, case and comments, or a pattern for all of it.

        With `params` only these parameters are answered; with `exactly` the text has to be the same, letter by letter.
        """
        if isinstance(statement, str) and not statement.strip():
            raise BadAnswer(what="an empty statement", why="no driver would send it")
        line = Line(self._driver, statement, params, exactly=exactly)
        self._lines.append(line)
        return line

    def connection(self, **arguments: Any) -> Any:  # Any: stands in for the driver's own class
        """A double of the driver's connection, to be handed to whoever takes one."""
        return ScriptedConnection(self._driver, self, arguments)

    def verify(self) -> None:
        """Raise UnexpectedStatement, WrongParameters or NeverAsked if the application and the script disagree."""
        if self._troubles:
            raise self._troubles[0]
        never = [line for line in self._lines if not line.times]
        if never:
            raise NeverAsked(count=len(never), statements="\n".join(f"  {shown(line.wanted)}" for line in never))

    # What the doubles ask: see doubles.Desk

    def answer(self, asked: Asked) -> Answer:
        """See doubles.Desk."""
        self.executed.append(asked)
        known = [line for line in self._lines if line.is_asked_by(asked.statement)]
        taking = [line for line in known if line.takes(asked.params)]
        if taking:
            return taking[0].next_answer()
        trouble = self._wrong_parameters(asked, known) if known else self._unexpected(asked)
        self._troubles.append(trouble)
        raise trouble

    def end(self, how: str) -> None:
        """See doubles.Desk."""
        counter = {"commit": "commits", "rollback": "rollbacks", "close": "closes"}[how]
        setattr(self, counter, getattr(self, counter) + 1)

    # How connect is answered: see snowflake.Answerer

    def find(self, asked: Connect) -> str:
        """See snowflake.Answerer. A script answers for every account."""
        return "the script"

    def connect(self, asked: Connect) -> object:
        """See snowflake.Answerer."""
        return self._connected(dict(asked.arguments))

    def __enter__(self) -> Self:
        if self._driver.is_snowflake:
            shut()  # and stays shut: what this script does not answer must not reach a real account either
            self._answering.enter_context(answering(self))
        else:
            self._answering.enter_context(replaced(self._driver.module.connect, self._connect))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answering.close()
        if kind is None:
            self.verify()

    def _connect(self, *positional: Any, **arguments: Any) -> object:  # Any: whatever the application passes
        return self._connected({**{str(number): value for number, value in enumerate(positional)}, **arguments})

    def _connected(self, arguments: dict[str, Any]) -> object:  # Any: see _connect
        self.connects.append(arguments)
        return self.connection(**arguments)

    def _unexpected(self, asked: Asked) -> UnexpectedStatement:
        nearest = find_nearest(asked.statement, (line.wanted for line in self._lines))
        return UnexpectedStatement(
            statement=shown(asked.statement),
            params=asked.params,
            nearest=nearest or "nothing is scripted",
            site=_site(),
        )

    def _wrong_parameters(self, asked: Asked, known: Sequence[Line]) -> WrongParameters:
        scripted = " or ".join(repr(line.params) for line in known)
        return WrongParameters(
            statement=shown(asked.statement), asked=repr(asked.params), scripted=scripted, site=_site()
        )


def scripted(driver: str = SNOWFLAKE, *, connection: type | None = None, cursor: type | None = None) -> Script:
    """A script for a DB-API driver, by its module's name. Raises NotADriver.

    The classes that its connect() and cursor() return are known for the usual drivers; name them for others.
    """
    return Script(find_driver(driver, connection, cursor))


def _plain(params: Any) -> Any:  # Any: see ANY
    return [_plain(value) for value in params] if isinstance(params, tuple | list) else params


def _site() -> object:
    return find_app_site(take(skip=3)) or "a line outside the application"
