"""What is said to whoever would have reached a real Snowflake account, or has no connector to be answered."""

from __future__ import annotations

from mintdb.errors import ServerError


class NetworkRefused(ServerError):
    """A Snowflake connect that nothing answers; nothing was sent. Facts: account, why, site."""

    text = """\
refused to connect to the Snowflake account {account!r}: {why}
  asked at {site}
  1. connect within a test or a lease of a database with  engine = "snowflake"
  2. or within  with mintdb.scripted() as script: …
  3. to reach the real account, call  mintdb.snowflake.reopen()  first"""


class ConnectorMissing(ServerError):
    """The Snowflake connector cannot be imported. Facts: why."""

    text = """\
cannot answer Snowflake connections: {why}
  1. python -m pip install 'mintdb[snowflake]'"""
