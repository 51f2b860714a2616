"""Whether routines or events came or went: DDL of a session without log, again, which is in no file of the database.

They are rows of the server's own Aria tables, and Aria's log is written to whenever one of these is: that costs one
look at a file's date. Only where it has changed, which may be anybody's doing, are this database's looked at.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from mintdb.engines.mysql.session import Session, literal

LOG_NAME = "aria_log."
TICK = 20_000_000  # nanoseconds; dates of files are those of the kernel's last tick, 4 ms or 10 ms apart
ROUTINES = (
    "name, type, param_list, returns, body, definer, comment, sql_mode, security_type, sql_data_access,"
    " is_deterministic, aggregate"
)
EVENTS = (
    "name, body, definer, execute_at, interval_value, interval_field, starts, ends, status, on_completion, sql_mode,"
    " comment, time_zone"
)
STATE = f"""
select (select sum(crc32(concat_ws('/', {ROUTINES}))) from mysql.proc where db = {{here}}),
       (select sum(crc32(concat_ws('/', {EVENTS}))) from mysql.event where db = {{here}})
"""

Stamp = tuple[int, int, int]


class Programs:
    """The routines and events of one database of a MariaDB server of ours."""

    def __init__(self, session: Session, database: str, data: Path) -> None:
        """`data` is the server's data folder."""
        self._session = session
        self._statement = STATE.format(here=literal(database))
        self._data = data
        self.remember()

    def remember(self) -> None:
        """They are now what they should be."""
        self._stamp = self._read_stamp()
        self._state = self._read()

    def were_touched(self) -> bool:
        """Whether they are others than they should be."""
        stamp = self._read_stamp()
        if stamp is not None and stamp == self._stamp:
            return False
        if self._read() != self._state:
            return True
        self._stamp = stamp
        return False

    def _read(self) -> tuple[object, ...]:
        return tuple(self._session.row(self._statement))

    def _read_stamp(self) -> Stamp | None:
        """Inode, size and date of Aria's newest log; None where it is elsewhere, or a write may leave the date."""
        newest = max((name for name in os.listdir(self._data) if name.startswith(LOG_NAME)), default=None)
        if newest is None:
            return None
        status = os.stat(self._data / newest)
        if time.time_ns() - status.st_mtime_ns < TICK:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
