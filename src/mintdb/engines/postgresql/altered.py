"""Tell that `alter system` was used, and undo it once that disturbs nobody: by itself it would outlive the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString

from mintdb.engines.postgresql.maintenance import Maintenance

FILE = "postgresql.auto.conf"
# A run that lives may have a test that did it on purpose, a moment ago: then it stays.
IS_OF_THE_PAST: LiteralString = """
select coalesce(extract(epoch from min(backend_start)) > %s, false)
   and exists (select from pg_file_settings where sourcefile like '%%/postgresql.auto.conf')
  from pg_stat_activity where application_name ~ %s
"""
RUNS = r"^mintdb run \w+ \("  # as Maintenance names the sessions of runs; a keeper's owner is two words


def undo_what_is_of_the_past(maintenance: Maintenance, data: Path) -> None:
    """Undo `alter system`, where it was used before the eldest run that is there now had begun."""
    try:
        used_at = (data / FILE).stat().st_mtime  # pg_stat_file tells no fractions of a second
    except OSError:
        return  # it never was
    if maintenance.row(IS_OF_THE_PAST, used_at, RUNS)[0]:
        maintenance.run("alter system reset all")
        maintenance.run("select pg_reload_conf()")


def forget(data: Path) -> None:
    """Let a server that starts on `data` know nothing of what `alter system` said to the one before."""
    (data / FILE).unlink(missing_ok=True)


class Watched:
    """An embedded server's settings, watched from its folder: a look takes some microseconds, and no trip."""

    def __init__(self, data: Path) -> None:
        self._file = data / FILE
        self._changed_at = 0
        self._lines: Sequence[str] = ()
        self.look()

    def look(self) -> Sequence[str]:
        """What was changed since the last look, as contract.Restored names it."""
        before, self._lines = self._lines, self._read()
        return () if self._lines == before else ("settings of the server",)

    def _read(self) -> Sequence[str]:
        try:
            if (changed_at := self._file.stat().st_mtime_ns) == self._changed_at:
                return self._lines
            self._changed_at = changed_at
            return tuple(line for line in self._file.read_text().splitlines() if not line.startswith("#"))
        except OSError:  # nobody has used it yet, or files are being faked
            return self._lines
