"""What a run says when it ends."""

from __future__ import annotations

from mintdb.report.ending import finish
from mintdb.report.files import check
from mintdb.report.summary import Summary

__all__ = ["Summary", "check", "finish"]
