"""The environment that a run is in: which settings it changes, and whether it is protected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mintdb.address import find_server
from mintdb.facts import dataclass
from mintdb.settings.errors import BadSetting, UnknownEnvironment, nearest, refuse_unknown
from mintdb.settings.expansion import find_expanded
from mintdb.settings.facts import EMPTY, RUN_KEYS
from mintdb.settings.layers import Given
from mintdb.settings.values import check_truth

KEYS = (*(key for key in RUN_KEYS if key != "env"), "protected", "databases")


@dataclass(frozen=True)
class Environments:
    """The table `environments` of a settings file."""

    tables: Mapping[str, Mapping[str, Any]]  # Any: as the user wrote them
    where: str

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.tables)

    def place(self, name: str) -> str:
        """What messages call an environment's table."""
        return f"[environments.{name}] of {self.where}"

    def get(self, chosen: Given | None) -> Mapping[str, Any]:
        """The table of the environment that was chosen. Raises UnknownEnvironment."""
        if chosen is None:
            return EMPTY
        if chosen.value not in self.tables:
            raise UnknownEnvironment(
                name=chosen.value,
                where=chosen.origin,
                nearest=nearest(str(chosen.value), self.names),
                known=", ".join(self.names) or "none",
            )
        return self.tables[chosen.value]

    def is_protected(self, name: str) -> bool:
        """Whether mintdb may not touch its databases. Raises BadSetting."""
        return check_truth("protected", self.tables[name].get("protected", False), self.place(name))

    def protected_servers(self, environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, int]]]:
        """Each protected environment with host and port of a server that it names, where its variables are set."""
        for name in filter(self.is_protected, self.names):
            for database in self.tables[name].get("databases", {}).values():
                url = find_expanded(database.get("url"), environ) if isinstance(database, Mapping) else None
                if url and (server := find_server(url)):
                    yield name, server


def read_environments(tables: object, where: str) -> Environments:
    """Check the table's form. Raises BadSetting and UnknownSetting."""
    if not isinstance(tables, dict):
        raise BadSetting(setting="environments", where=where, value=tables, expected="one table for each environment")
    environments = Environments(tables, where)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise BadSetting(setting=name, where=where, value=table, expected="a table")
        refuse_unknown(table, KEYS, environments.place(name))
    return environments
