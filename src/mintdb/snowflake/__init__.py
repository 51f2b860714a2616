"""Answer every Snowflake connect of this process, whatever name it was bound to, and let none reach the network."""

from __future__ import annotations

from mintdb.snowflake.asked import Asked
from mintdb.snowflake.door import Answerer, answering, is_shut, reopen, shut
from mintdb.snowflake.errors import ConnectorMissing, NetworkRefused

__all__ = ["Answerer", "Asked", "ConnectorMissing", "NetworkRefused", "answering", "is_shut", "reopen", "shut"]
