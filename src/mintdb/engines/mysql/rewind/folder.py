"""Whether definitions came or went in a database's folder: DDL of a session without log may leave no other trace.

ALTER TABLE, CREATE VIEW and CREATE TRIGGER put a file there, and so set the folder's time. A clock that ticks every
4 ms does not tell what came before our own last change from what came after it, so the time that is waited for to
change is one that no clock tells.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NEVER = (0, 0)  # nanoseconds since 1970: of the last access, and of the last change


class Folder:
    """The folder in which a server of ours keeps one database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.remember()

    def remember(self) -> None:
        """What is in it now is what it should be. Where its time is not ours to set, the clock's has to do."""
        with contextlib.suppress(OSError):
            os.utime(self._path, ns=NEVER)
        self._changed = self._read()

    def was_touched(self) -> bool:
        """Whether a file came or went since; also where the folder itself is gone."""
        now = self._read()
        return now is None or now != self._changed

    def _read(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return None
