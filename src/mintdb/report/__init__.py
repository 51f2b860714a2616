"""What a run says when it ends."""

from __future__ import annotations

from mintdb.report.summary import Summary

__all__ = ["Summary"]
