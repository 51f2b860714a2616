"""PostgreSQL: embedded (a server of ours) or external (a server that a URL names)."""
