"""Where the code is, noted for about 100 ns a frame and put into words only when someone reads it."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from types import CodeType, FrameType

DEPTH = 48  # under an ORM the application's own frame was number 18 to 19; a web framework adds about as many

Frames = tuple[tuple[CodeType, int], ...]
"""Innermost first: code and instruction offset. Never frame objects: those would keep every local alive."""


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
    """The stack without its `skip` innermost frames, `take` itself not counted."""
    frame: FrameType | None = sys._getframe(skip + 1)
    frames: list[tuple[CodeType, int]] = []
    while frame is not None and len(frames) < DEPTH:
        frames.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    if "greenlet" in sys.modules and len(frames) < DEPTH:
        frames.extend(_frames_of_parents())
    return tuple(frames)


def _frames_of_parents() -> Iterator[tuple[CodeType, int]]:
    """A greenlet's stack ends where it was switched to: who switched is on its parent's."""
    current = sys.modules["greenlet"].getcurrent().parent
    while current is not None:
        frame: FrameType | None = current.gr_frame
        while frame is not None:
            yield frame.f_code, frame.f_lasti
            frame = frame.f_back
        current = current.parent


def sites(frames: Frames) -> list[Site]:
    """The whole stack, innermost first."""
    return [_site(code, instruction) for code, instruction in frames]


def app_sites(frames: Frames) -> list[Site]:
    """The frames that are neither of the standard library, nor of an installed package, nor of mintdb."""
    within = takewhile(lambda frame: not _is_event_loop(frame[0]), frames)
    return [_site(code, instruction) for code, instruction in within if is_app(code.co_filename)]


def find_app_site(frames: Frames) -> Site | None:
    """The innermost frame of the application: the line that a person can change.

    None where a task was started by a library: what lies beyond the event loop is only who started the loop.
    """
    for code, instruction in frames:
        if _is_event_loop(code):
            return None
        if is_app(code.co_filename):
            return _site(code, instruction)
    return None


def _is_event_loop(code: CodeType) -> bool:
    return code.co_filename.endswith(_LOOP_FILES)


_LOOP_FILES = tuple(os.path.join("asyncio", name) for name in ("events.py", "base_events.py", "runners.py"))


def _site(code: CodeType, instruction: int) -> Site:
    return Site(code.co_filename, _line(code, instruction), code.co_name)


def _line(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


@lru_cache(maxsize=4096)
def is_app(file: str) -> bool:
    """Whether a source file is the application's (its tests included)."""
    if file.startswith("<") or "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(_library_folders())


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
