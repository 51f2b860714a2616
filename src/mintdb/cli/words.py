"""How the command line says figures."""

from __future__ import annotations


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"
