"""A scripted double of a DB-API driver: what each statement answers is written down, and what was asked is checked."""

from __future__ import annotations

from mintdb.script.recording import record, replay
from mintdb.script.script import Line, Script, scripted

__all__ = ["Line", "Script", "record", "replay", "scripted"]
