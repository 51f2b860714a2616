"""Run `alembic upgrade` in a process of its own, and refuse to let it touch any database but the one it is for.

An env.py reads its URL from wherever its application does, often from a module that was imported long before; it also
sets up logging, and may start an event loop. None of that reaches the process in which tests run. This module is what
runs there: `python -m mintdb.schemas.alembic_runner`, with its orders on standard input and its answer on the last line
of its standard output.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from mintdb.facts import dataclass
from mintdb.schemas.modules import describe, find_culprit

ANSWER = "mintdb-answer: "


@dataclass(frozen=True)
class Order:
    """What to run; `url` is the database's in the form that env.py's engine wants."""

    ini: str
    revision: str
    url: str
    database: str
    root: str


@dataclass(frozen=True)
class Answer:
    """How it went. `kind` is done, heads, revision, elsewhere or failed."""

    kind: str
    error: str = ""
    where: str = ""
    heads: tuple[str, ...] = ()


class Elsewhere(Exception):
    """env.py connects to another database."""


def run(order: Order) -> Answer:
    """Upgrade; every failure is an answer."""
    try:
        return _upgrade(order)
    except Elsewhere as error:
        return Answer("elsewhere", str(error), find_culprit(error, Path(order.root)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 (it becomes the answer)
        return Answer("failed", describe(error), find_culprit(error, Path(order.root)))


def _upgrade(order: Order) -> Answer:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config(order.ini)
    config.set_main_option("sqlalchemy.url", order.url.replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    heads = tuple(scripts.get_heads())
    if order.revision == "head" and len(heads) > 1:
        return Answer("heads", heads=heads)
    try:
        scripts.get_revisions(order.revision)
    except CommandError as error:
        return Answer("revision", str(error), heads=heads)
    _guard(order.database)
    command.upgrade(config, order.revision)
    return Answer("done", heads=heads)


def _guard(database: str) -> None:
    """Let SQLAlchemy connect to `database` only: an env.py with a URL of its own may name a real one."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "do_connect")
    def refuse(dialect: object, record: object, arguments: tuple[object, ...], options: dict[str, object]) -> None:
        name = options.get("dbname", options.get("database")) or next(iter(arguments), None)  # a file comes first
        if name != database:
            raise Elsewhere(f"{name!r} on {options.get('host', 'this machine')}")


def main() -> None:
    """Read an order, print an answer."""
    answer = run(Order(**json.load(sys.stdin)))
    print(f"\n{ANSWER}{json.dumps(asdict(answer))}", flush=True)


if __name__ == "__main__":
    main()
