"""Keep what the first survey of a template's clone found, so that no later clone is surveyed again."""

from __future__ import annotations

import hashlib

from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.rewind.relations import FILL, MAP, READ

LAYOUT = hashlib.sha256((MAP + FILL + READ).encode()).hexdigest()[:12]  # another mintdb's map would not be understood


def find(maintenance: Maintenance, template: str) -> bytes:
    """The map of `template`; empty where there is none yet. A template of the same name may have been built since."""
    found = maintenance.rows("select map from surveys where template = %s and layout = %s", template, LAYOUT)
    return bytes(found[0][0]) if found else b""


def keep(maintenance: Maintenance, template: str, found: bytes) -> None:
    """Note the map of `template`, until that is dropped."""
    maintenance.run(
        "insert into surveys select name, %s, %s from databases where name = %s"
        " on conflict (template) do update set layout = excluded.layout, map = excluded.map",
        LAYOUT,
        found,
        template,
    )
