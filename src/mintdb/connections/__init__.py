"""Every connection opened in this process: who opened it, where, and what became of it."""
