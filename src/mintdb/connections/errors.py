"""What is raised about connections."""

from __future__ import annotations

from mintdb.errors import MintdbError, ServerError


class ConnectionBudgetExceeded(MintdbError):
    """An opener waited for a free place and found none."""

    text = """\
{held} connections are open and {limit} are allowed: none was given back within {timeout:g} s
{holders}
  1. close what is not needed any more, at the lines above
  2. or, where pools hold them idle, let these close what is given back:  keep_idle = false
  3. or allow more:  max_connections = {more}  (wait longer:  connection_timeout = {timeout:g})"""


class TooManyProcesses(ServerError):
    """A server allows fewer connections than a run's workers need. Facts: allowed, processes, own, fit."""

    text = """\
the server allows {allowed} connections, too few for {processes} workers: mintdb itself needs {own} for each of them
  1. run fewer:  -n {fit}
  2. or let the server allow more:  max_connections in postgresql.conf
  3. or use an embedded server: leave the url out"""
