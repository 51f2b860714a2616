"""A recorded exchange as a text that people can read, change and compare: SQL, with what was answered in comments.

-- mintdb recording 1 of snowflake.connector
--> connect {"account": "acme", "database": "SHOP"}

select id, total from orders where customer = %s
--> params ["Ann"]
--> columns ["ID", "TOTAL"]
--> row [1, {"decimal": "9.50"}]
--> rowcount 1
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from mintdb.facts import dataclass
from mintdb.script.answers import Answer, Asked
from mintdb.script.errors import BadRecording

HEAD = re.compile(r"-- mintdb recording 1 of ([\w.]+)")
MARK = "--> "
SECRET = re.compile(r"pass|pwd|token|secret|key", re.IGNORECASE)

# Values that JSON has no form for: how each is written, and read again.
WRITERS: Mapping[type, Callable[[Any], Any]] = {  # Any: JSON
    Decimal: lambda value: {"decimal": str(value)},
    datetime: lambda value: {"datetime": value.isoformat()},
    date: lambda value: {"date": value.isoformat()},
    time: lambda value: {"time": value.isoformat()},
    bytes: lambda value: {"bytes": value.hex()},
    bytearray: lambda value: {"bytes": value.hex()},
    UUID: lambda value: {"uuid": str(value)},
    tuple: lambda value: {"tuple": [_to_json(item) for item in value]},
    list: lambda value: [_to_json(item) for item in value],
    dict: lambda value: {"dict": {key: _to_json(item) for key, item in value.items()}},
}
READERS: Mapping[str, Callable[[Any], Any]] = {  # Any: JSON
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "bytes": bytes.fromhex,
    "uuid": UUID,
    "tuple": lambda value: tuple(_from_json(item) for item in value),
    "dict": lambda value: {key: _from_json(item) for key, item in value.items()},
}


@dataclass(frozen=True)
class Failure:
    """An error of the driver, as far as a file can keep it."""

    kind: str
    arguments: Mapping[str, Any]  # Any: JSON


@dataclass
class Exchange:
    """Everything that was asked and answered, in order."""

    driver: str
    connects: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    answered: list[tuple[Asked, Answer | Failure]] = field(default_factory=list)

    def write(self, file: Path) -> None:
        """Write it. Nothing that looks like a secret is in it."""
        lines = [f"-- mintdb recording 1 of {self.driver}"]
        lines += [f"{MARK}connect {json.dumps(_without_secrets(c), default=str)}" for c in self.connects]
        for asked, answer in self.answered:
            lines += ["", *_statement_lines(asked), *_answer_lines(answer)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(file: Path) -> Exchange:
    """Read a recording. Raises BadRecording, naming the line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecording(file=str(file), line=1, why=error) from None
    head = HEAD.fullmatch(lines[0]) if lines else None
    if head is None:
        raise BadRecording(file=str(file), line=1, why="it does not begin with '-- mintdb recording 1 of DRIVER'")
    exchange = Exchange(head[1])
    for number, statement, facts in _blocks(lines[1:]):
        try:
            _add(exchange, statement, facts)
        except (ValueError, KeyError, TypeError) as error:
            raise BadRecording(file=str(file), line=number, why=f"{type(error).__name__}: {error}") from None
    return exchange


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
    """Each statement with the facts below it, and the line on which it begins; the first one is of connects."""
    statement: list[str] = []
    facts: list[tuple[str, str]] = []
    begins = 2
    for number, line in enumerate(lines, 2):
        if line.startswith(MARK):
            name, _, value = line.removeprefix(MARK).partition(" ")
            facts.append((name, value))
        elif facts:
            yield begins, "\n".join(statement), facts
            statement, facts, begins = [line] if line else [], [], number + (not line)
        elif line or statement:
            begins = begins if statement else number
            statement.append(line)
    if facts or statement:
        yield begins, "\n".join(statement), facts


def _add(exchange: Exchange, statement: str, facts: Sequence[tuple[str, str]]) -> None:
    values = [(name, _from_json(json.loads(value))) for name, value in facts]
    if not statement:
        exchange.connects += [value for name, value in values if name == "connect"]
        return
    found = dict(values)
    asked = Asked(statement, found.get("params"), many=found.get("many", False))
    if "error" in found:
        exchange.answered.append((asked, Failure(found["error"].pop("class"), found["error"])))
        return
    rows = [tuple(value) for name, value in values if name == "row"]
    exchange.answered.append((asked, Answer(found.get("columns"), rows, found["rowcount"])))


def _statement_lines(asked: Asked) -> list[str]:
    # A line of the statement that looks like one of ours is moved by a space, which changes no statement.
    lines = [f" {line}" if line.startswith(MARK) else line for line in asked.statement.strip().splitlines()]
    params = [] if asked.params is None else [f"{MARK}params {_dumped(asked.params)}"]
    return [*lines, *params, *([f"{MARK}many true"] if asked.many else [])]


def _answer_lines(answer: Answer | Failure) -> list[str]:
    if isinstance(answer, Failure):
        return [f"{MARK}error {_dumped_plainly({'class': answer.kind, **answer.arguments})}"]
    columns = [] if answer.columns is None else [f"{MARK}columns {_dumped(list(answer.columns))}"]
    rows = [f"{MARK}row {_dumped(list(row))}" for row in answer.rows]
    return [*columns, *rows, f"{MARK}rowcount {answer.count}"]


def _dumped(value: Any) -> str:  # Any: see Row
    return json.dumps(_to_json(value), ensure_ascii=False)


def _dumped_plainly(value: Any) -> str:  # Any: JSON
    return json.dumps(value, ensure_ascii=False, default=str)


def _to_json(value: Any) -> Any:  # Any: see Row
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for kind in type(value).__mro__:
        if kind in WRITERS:
            return WRITERS[kind](value)
    return str(value)


def _from_json(value: Any) -> Any:  # Any: JSON
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in READERS:
        name, content = next(iter(value.items()))
        return READERS[name](content)
    return value


def _without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:  # Any: connect's
    return {name: value for name, value in arguments.items() if not SECRET.search(name)}
