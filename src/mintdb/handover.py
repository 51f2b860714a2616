"""Hand the database of `mintdb run` over to the Python tests that it starts, so that they are put back one by one.

The first test process takes the database over as it is. Who comes later (xdist's workers, a pytest inside a test) gets
a clone of its own, under the same settings and in the same variables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mintdb.settings import Settings

VARIABLE = "MINTDB_HANDOVER"
WATCH = "MINTDB_WATCH"  # set: connections are watched, and nothing is created, whatever the settings say
TAKEN = "pytest"  # its value below a pytest, which watches by itself


@dataclass(frozen=True)
class Handover:
    """What a test process needs to lease the database that its starter has made, or one like it."""

    alias: str
    name: str  # of the database
    template: str
    url: str  # of the database, with its password, as the command finds it in DATABASE_URL
    own_url: str  # as mintdb itself reaches the same server
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the database, where given  # Any: keyword arguments
    mirrors: Mapping[str, str] = field(default_factory=dict)  # the URLs of databases that mirror it, by name
    taken: bool = False

    def find_url(self, alias: str) -> str | None:
        """The URL of the database, under its own name or as a mirror; None if it is another one."""
        return self.url if alias == self.alias else self.mirrors.get(alias)

    def to_environment(self) -> dict[str, str]:
        """The variable that tells it to child processes."""
        return {VARIABLE: json.dumps(asdict(self))}

    def as_taken(self) -> Handover:
        """What whoever took it over tells its own children."""
        return replace(self, taken=True)


def watch_alone(settings: Settings) -> Settings:
    """The settings of a process that only watches: no database is configured, and nothing is put back."""
    return replace(settings, isolation="none", databases=MappingProxyType({}))


def wants_watch(environ: Mapping[str, str]) -> bool:
    """Whether a process is to watch its connections, and no pytest does so already."""
    return WATCH in environ and environ[WATCH] != TAKEN


def find_handover(environ: Mapping[str, str]) -> Handover | None:
    """What `mintdb run` has left for its children, if this is one of them."""
    text = environ.get(VARIABLE)
    return Handover(**json.loads(text)) if text else None
