"""Put a database back to its mark, visiting only what was changed where the server can tell."""

from mintdb.engines.mysql.rewind.rewinder import PutBack, Rewinder

__all__ = ["PutBack", "Rewinder"]
