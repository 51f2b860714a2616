"""What is raised about connections."""

from __future__ import annotations

from mintdb.errors import MintdbError


class ConnectionBudgetExceeded(MintdbError):
    """An opener waited for a free place and found none."""

    text = """\
{held} connections are open and {limit} are allowed: none was given back within {timeout:g} s
{holders}
  1. close what is not needed any more, at the lines above
  2. or let pools close what is given back:  keep_idle = false
  3. or allow more:  max_connections = {limit}  (wait longer:  connection_timeout = {timeout:g})"""
