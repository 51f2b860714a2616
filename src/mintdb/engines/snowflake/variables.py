"""Session variables in a statement: `$name` stands for its value, but not within quotes, comments or `$$ … $$`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

# What is left as it is, then what is replaced. A quote is doubled or escaped within a string.
TOKEN = re.compile(
    r"""
      (?P<kept>'(?:[^'\\]|\\.|'')*' | "(?:[^"]|"")*" | \$\$.*?\$\$ | --[^\n]* | //[^\n]* | /\*.*?\*/ | \w[\w$]*)
    | \$(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def inline(sql: str, values: Mapping[str, str], missing: Callable[[str], Exception]) -> str:
    """The statement with each variable's value; `missing(name)` makes the error for one that was never set."""
    if "$" not in sql:
        return sql
    known = {name.upper(): value for name, value in values.items()}

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return found[0]
        if name.upper() not in known:
            raise missing(name)
        return known[name.upper()]

    return TOKEN.sub(replace, sql)
