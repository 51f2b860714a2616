"""Show rows under heads: with rich where it is installed and somebody looks, in plain columns elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

LAST_COLUMN = 20  # characters that the last column has at least, however narrow the terminal


def show(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; only its last column is cut to the terminal's width, and only on a terminal."""
    if sys.stdout.isatty() and _show_rich(heads, rows):
        return
    print(plain(heads, rows, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


def plain(heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """The table as text. The last column takes what is left of `width`."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    left = None if width is None else max(LAST_COLUMN, width - sum(widths[:-1]) - 2 * (len(widths) - 1))
    return "\n".join(_line(row, widths, left) for row in (heads, *rows))


def _line(row: Sequence[str], widths: Sequence[int], left: int | None) -> str:
    last = row[-1] if left is None or len(row[-1]) <= left else row[-1][: left - 1] + "…"
    cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
    return "  ".join([*cells, last]).rstrip()


def _show_rich(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
    return True
