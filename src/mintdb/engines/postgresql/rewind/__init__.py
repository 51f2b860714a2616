"""Put a clone back to its newest mark, exactly, in about a millisecond."""

from mintdb.engines.postgresql.rewind.catalogs import DATABASE
from mintdb.engines.postgresql.rewind.facts import CannotRewind, MarkTaken, PutBack, Trail
from mintdb.engines.postgresql.rewind.rewinder import Rewinder
from mintdb.engines.postgresql.rewind.wal import Look, Question

__all__ = ["DATABASE", "CannotRewind", "Look", "MarkTaken", "PutBack", "Question", "Rewinder", "Trail"]
