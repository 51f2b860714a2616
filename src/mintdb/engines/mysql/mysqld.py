"""Start and stop one server process, MariaDB's or MySQL's, on a prepared data folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from mintdb.engines import starting
from mintdb.engines.account import Account
from mintdb.engines.mysql.binaries import PROGRAMS, Binaries
from mintdb.engines.mysql.datafolder import SUPERUSER
from mintdb.engines.mysql.errors import PortInUse, ServerDidNotStart
from mintdb.engines.processes import runs_program, wait_until_gone
from mintdb.engines.starting import Stillborn, read_log, tail
from mintdb.facts import dataclass

KNOCK_TIMEOUT = 60.0  # seconds; a server that has begun to start takes 0.1 on an idle machine, more after a crash
STOP_TIMEOUT = 20.0  # seconds; 0.2 usually
INIT = "init.sql"
# Run before anybody is let in, at every start. One statement a line.
LOGIN = """\
set sql_log_bin = 0;
create or replace user '{user}'@'127.0.0.1' identified by '{password}';
grant all privileges on *.* to '{user}'@'127.0.0.1' with grant option;
create or replace user '{user}'@'localhost' identified by '{password}';
grant all privileges on *.* to '{user}'@'localhost' with grant option;
delete from mysql.global_priv where user = '{user}' and host not in ('127.0.0.1', 'localhost');
flush privileges;
"""
LOGIN_OF_MYSQL = """\
set sql_log_bin = 0;
create user if not exists '{user}'@'127.0.0.1';
alter user '{user}'@'127.0.0.1' identified by '{password}';
grant all privileges on *.* to '{user}'@'127.0.0.1' with grant option;
alter user '{user}'@'localhost' identified by '{password}';
"""


@dataclass(frozen=True)
class StartOptions:
    """Where a server listens and what it is told."""

    data: Path
    socket: Path
    port: int
    arguments: list[str]
    password: str
    log: Path
    init: str = ""  # statements, one a line, for when it has its login


def start(binaries: Binaries, options: StartOptions, account: Account) -> int:
    """Start the server in a session of its own and return its pid once it accepts connections.

    Raises PortInUse or ServerDidNotStart, with the log's last lines; then no process is left.
    """
    places = [f"--datadir={options.data}", f"--socket={options.socket}", f"--port={options.port}"]
    # A server removes every #sql… file in its folder for temporary ones when it starts: another's, too, in /tmp.
    places.append(f"--tmpdir={options.socket.parent}")
    files = [f"--pid-file={options.data / 'pid'}", f"--init-file={_write_login(binaries, options, account)}"]
    try:
        pid = starting.start(
            [str(binaries.server), "--no-defaults", *options.arguments, *places, *files],
            log=options.log,
            account=account,
            is_ready=lambda pid: is_ready(options.socket),
        )
    except Stillborn as error:
        raise _did_not_start(options, str(error)) from None
    (options.data / INIT).unlink(missing_ok=True)
    return pid


def stop(pid: int) -> None:
    """Stop the server; returns when the process is gone. A process that is no server is left alone."""
    if not is_server(pid):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_until_gone(pid, STOP_TIMEOUT):
            return


def is_server(pid: int) -> bool:
    """Whether the process is a server's: after a crash another program may have the number."""
    return any(runs_program(pid, program) for program in PROGRAMS)


def is_ready(path: Path) -> bool:
    """Whether a server greets whoever knocks at its socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(KNOCK_TIMEOUT)
        knock.connect(str(path))
        return bool(knock.recv(1))
    return False


def _write_login(binaries: Binaries, options: StartOptions, account: Account) -> Path:
    file, login = options.data / INIT, LOGIN if binaries.is_mariadb else LOGIN_OF_MYSQL
    with os.fdopen(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as init:
        init.write(login.format(user=SUPERUSER, password=options.password) + options.init)
    account.own(file)
    return file


def _did_not_start(options: StartOptions, why: str) -> ServerDidNotStart | PortInUse:
    lines = read_log(options.log)
    if any("Bind on TCP/IP port" in line or "Do you already have another server" in line for line in lines):
        return PortInUse(port=options.port)
    return ServerDidNotStart(why=why, log=options.log, tail=tail(lines))
