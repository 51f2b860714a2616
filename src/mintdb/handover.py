"""Hand the databases of `mintdb run` over to the Python tests that it starts, so that they are put back one by one.

The first test process takes the databases over as they are. Who comes later (xdist's workers, a pytest inside
a test) gets clones of its own, under the same settings and in the same variables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mintdb.facts import dataclass

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
    root: str = ""  # where relative paths in those begin
    project: str = ""  # whose template it is
    mirrors: Mapping[str, str] = field(default_factory=dict)  # the URLs of databases that mirror it, by name
    application: str | None = None  # the distribution that is tested
    taken: bool = False
    beside: Sequence[Handover] = ()  # the other databases that were made; this one is the main one

    @property
    def all(self) -> Sequence[Handover]:
        """Each database that was made, the main one first."""
        return [self, *self.beside]

    def find(self, alias: str) -> Handover | None:
        """What was handed over under a name, a mirror's included."""
        return next((each for each in self.all if each.find_url(alias)), None)

    def find_url(self, alias: str) -> str | None:
        """The URL of the database, under its own name or as a mirror; None if it is another one."""
        return self.url if alias == self.alias else self.mirrors.get(alias)

    def to_environment(self) -> dict[str, str]:
        """The variable that tells it to child processes."""
        return {VARIABLE: json.dumps(asdict(self))}

    def as_taken(self) -> Handover:
        """What whoever took it over tells its own children."""
        return replace(self, taken=True)


def with_handed_over(settings: Settings, handover: Handover) -> Settings:
    """The settings with the databases that were handed over, where the file says nothing of them.

    A folder without settings of its own shares the project's templates, too.
    """
    from mintdb.settings import DatabaseSettings

    for each in reversed(handover.all):
        root = Path(each.root) if each.root else None
        settings = settings.with_database(DatabaseSettings(each.alias, **each.settings, root=root))
    return settings if settings.file or not handover.project else replace(settings, project=handover.project)


def watch_alone(settings: Settings) -> Settings:
    """The settings of a process that only watches: no database is configured, and nothing is put back."""
    return replace(settings, isolation="none", databases=MappingProxyType({}))


def wants_watch(environ: Mapping[str, str]) -> bool:
    """Whether a process is to watch its connections, and no pytest does so already."""
    return WATCH in environ and environ[WATCH] != TAKEN


def find_handover(environ: Mapping[str, str]) -> Handover | None:
    """What `mintdb run` has left for its children, if this is one of them."""
    text = environ.get(VARIABLE)
    if not text:
        return None
    told = json.loads(text)
    beside = [Handover(**each) for each in told.pop("beside")]
    return Handover(**told, beside=beside)
