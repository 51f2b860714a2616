"""Where the code is, noted for about 100 ns a frame and put into words only when someone reads it."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import cast

from mintdb.facts import dataclass

DEPTH = 64  # under an ORM the application's own frame was number 18 to 19; a web framework adds about as many

Frames = tuple[CodeType | int, ...]
"""Innermost first: code, instruction offset, code, instruction offset, …

Never frame objects: those would keep every local alive. And flat, since each inner tuple is one more object for the
garbage collector to walk.
"""


@dataclass(frozen=True)
class Site:
    """One line of source."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line} in {self.function}"

    @property
    def place(self) -> str:
        """File and line alone."""
        return f"{shown(self.file)}:{self.line}"


def take(*, skip: int) -> Frames:
    """The stack without its `skip` innermost frames, `take` itself not counted, up to the application's innermost one.

    It ends at the event loop, too: where a task was started by a library, beyond is only who started the loop.
    """
    frame: FrameType | None = sys._getframe(skip + 1)
    frames: list[CodeType | int] = []
    while frame is not None and len(frames) < 2 * DEPTH:
        code = frame.f_code
        frames += code, frame.f_lasti
        last = _LAST.get(code.co_filename)
        if last or (last is None and _is_last(code.co_filename)):
            return tuple(frames)
        frame = frame.f_back
    if "greenlet" in sys.modules:
        _add_parents(frames)
    return tuple(frames)


def _add_parents(frames: list[CodeType | int]) -> None:
    """A greenlet's stack ends where it was switched to: who switched is on its parent's."""
    current = sys.modules["greenlet"].getcurrent().parent
    while current is not None:
        frame: FrameType | None = current.gr_frame
        while frame is not None and len(frames) < 4 * DEPTH:
            frames += frame.f_code, frame.f_lasti
            if _is_last(frame.f_code.co_filename):
                return
            frame = frame.f_back
        current = current.parent


def find_app_site(frames: Frames) -> Site | None:
    """The innermost frame of the application: the line that a person can change.

    It is of neither the standard library, nor an installed package, nor mintdb.
    """
    if not frames:
        return None
    code, at = cast("tuple[CodeType, int]", frames[-2:])
    return Site(code.co_filename, _line(code, at), code.co_name) if _is_app(code.co_filename) else None


def find_app_functions(frames: Frames) -> Sequence[str]:
    """The name of the application's innermost function, and of those within which it is defined."""
    if find_app_site(frames) is None:
        return ()
    return cast(CodeType, frames[-2]).co_qualname.split(".")


def shown_app_site(frames: Frames) -> str:
    """The same as text, empty if there is none; remembered, so that a line that opens many costs the words once."""
    if not frames:
        return ""
    code, at = cast("tuple[CodeType, int]", frames[-2:])
    known = _SHOWN.get((id(code), at))
    if known is None or known[0] is not code:
        known = _SHOWN[id(code), at] = code, str(find_app_site(frames) or "")
    return known[1]


def lies_in_package(frames: Frames, but: Container[str]) -> bool:
    """Whether an installed package lies between the application and what it called; those in `but` are not counted.

    A driver's own pool is: what it opens, it keeps.
    """
    for code, _ in _pairs(frames):
        _, found, below = code.co_filename.replace(os.sep, "/").rpartition("-packages/")
        if found and (below.partition("/")[0].removesuffix(".py") not in but or below.endswith(_POOL_FILES)):
            return True
        if _is_app(code.co_filename):
            return False
    return False


def find_package(frames: Frames) -> str | None:
    """The installed package that the application called; None where it called none, or is not known."""
    found = None
    for code, _ in _pairs(frames):
        _, is_installed, below = code.co_filename.replace(os.sep, "/").rpartition("-packages/")
        found = below.partition("/")[0].removesuffix(".py") if is_installed else found
    return found if find_app_site(frames) else None


def runs(frames: Frames, function: str) -> bool:
    """Whether what the application called went through a function or method: `Engine.begin`."""
    return any(code.co_qualname == function for code, _ in _pairs(frames))


def passes(frames: Frames, file: str) -> bool:
    """Whether what the application called went through that file of a package: `sqlalchemy/orm/session.py`."""
    return any(code.co_filename.replace(os.sep, "/").endswith(f"-packages/{file}") for code, _ in _pairs(frames))


_POOL_FILES = "/pool.py", "/pooling.py"  # of psycopg2, asyncpg, asyncmy, aiomysql; of MySQL's own
_SHOWN: dict[tuple[int, int], tuple[CodeType, str]] = {}  # as many as lead to connections


def _pairs(frames: Frames) -> Iterator[tuple[CodeType, int]]:
    return cast("Iterator[tuple[CodeType, int]]", zip(frames[::2], frames[1::2], strict=True))


_LOOP_FILES = tuple(os.path.join("asyncio", name) for name in ("events.py", "base_events.py", "runners.py"))


def _line(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


def is_app(file: str) -> bool:
    """Whether a source file is the application's (its tests included)."""
    if file.startswith("<"):
        return file.startswith("<doctest ")
    if "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(_library_folders())


_is_app = lru_cache(maxsize=4096)(is_app)


_LAST: dict[str, bool] = {}  # by file; looked up where no call is affordable


def _is_last(file: str) -> bool:
    last = _LAST[file] = is_app(file) or file.endswith(_LOOP_FILES)
    return last


def is_library(file: str) -> bool:
    """Whether a source file is of the standard library."""
    return file.startswith(_standard_library()) and "-packages/" not in file


@lru_cache(maxsize=1)
def _standard_library() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"]}
    return tuple(folder.rstrip(os.sep) + os.sep for folder in {*folders, *map(os.path.realpath, folders)})


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    folders.update(site.getsitepackages())
    folders.add(str(Path(__file__).resolve().parents[1]))  # mintdb itself
    folders.update({os.path.realpath(folder) for folder in folders})
    return tuple(folder.rstrip(os.sep) + os.sep for folder in folders)


def shown(file: str) -> str:
    """A path as people read it: relative where it is below the current folder."""
    here = os.getcwd().rstrip(os.sep) + os.sep
    return file[len(here) :] if file.startswith(here) else file
