"""Show what takes long: a bar on a terminal that can have one, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mintdb.cli import say
from mintdb.cli.signals import signals_blocked

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """As long as it lasts, `announce` says what is being done. Nothing is drawn until something is announced."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def announce(self, line: str) -> None:
        """Say what is beginning now."""
        if self._bar is None:
            self._bar = _make_bar()
        if self._bar is None:
            say(line)
            return
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(line, total=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _make_bar() -> Bar | None:
    """A started bar, or None where rich is not installed or nobody looks."""
    if not sys.stderr.isatty():
        return None
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    columns = TextColumn("mintdb: {task.description}"), BarColumn(), TimeElapsedColumn()
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    with signals_blocked():
        bar.start()
    return bar
