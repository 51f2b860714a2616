"""Whether a statement is the one that was scripted: exactly, by a pattern, or but for spaces and letters' case."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Quoted texts and names are kept as they are.
PART = re.compile(r"""('(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|\$\$.*?\$\$)|--[^\n]*|/\*.*?\*/|\s+|[^'"\s]""", re.DOTALL)
AROUND = re.compile(r" ?([(),;=<>]) ?")

Wanted = str | re.Pattern[str]


def normalise(sql: str) -> str:
    """A statement without comments and needless spaces, in small letters outside quotes, and without its semicolon."""
    kept: list[str] = []
    for found in PART.finditer(sql):
        text = found[0]
        if found[1] is not None:
            kept.append(text)
        elif (text.startswith(("--", "/*")) and len(text) > 1) or text.isspace():
            kept.append(" ")
        else:
            kept.append(text.lower())
    return _squeezed(kept).rstrip("; ")


def _squeezed(parts: list[str]) -> str:
    """One space for many, and none around punctuation; quoted parts are left out of that."""
    result = ""
    plain = ""
    for part in [*parts, None]:
        if part is not None and len(part) == 1:
            plain += part
            continue
        result += AROUND.sub(r"\1", re.sub(" +", " ", plain))
        plain = ""
        result += part or ""
    return result.strip()


def matches(wanted: Wanted, sql: str, *, exactly: bool) -> bool:
    """Whether an executed statement is the wanted one. A pattern has to match all of it."""
    if isinstance(wanted, re.Pattern):
        return wanted.fullmatch(sql.strip().rstrip(";")) is not None
    return wanted == sql if exactly else normalise(wanted) == normalise(sql)


def find_nearest(sql: str, wanted: Iterable[Wanted]) -> str | None:
    """The scripted statement that is most like an executed one, or None."""
    texts = {normalise(w) if isinstance(w, str) else w.pattern: w for w in wanted}
    close = difflib.get_close_matches(normalise(sql), list(texts), n=1, cutoff=0.0)
    return shown(texts[close[0]]) if close else None


def shown(wanted: Wanted) -> str:
    """A scripted statement for a message, in one line."""
    return " ".join(wanted.split()) if isinstance(wanted, str) else f"re.compile({wanted.pattern!r})"
