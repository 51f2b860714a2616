"""Names of the databases that mintdb makes: at most 63 bytes, and a name says whose it is and what it is for."""

from __future__ import annotations

import re
import secrets
import zlib
from enum import StrEnum
from functools import lru_cache

from mintdb.facts import dataclass

NAME_LIMIT = 63  # bytes: PostgreSQL's NAMEDATALEN - 1; MySQL allows 64 characters
PROJECT_LIMIT = 20
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
RUN_LENGTH = 7  # 36 ** 7 = 78,364,164,096 runs before two are expected to meet


class Role(StrEnum):
    """What a database is for."""

    TEMPLATE = "template"  # sealed
    BUILDING = "building"  # a template that is not finished
    CLONE = "clone"  # leased by a run
    WARM = "warm"  # a clone that nobody has leased yet
    TRASH = "trash"  # to be dropped


@dataclass(frozen=True)
class DatabaseName:
    """A name taken apart. `owner` is the run that holds it: while that run lives, nobody else touches it."""

    role: Role
    project: str = ""
    fingerprint: str = ""
    owner: str = ""
    worker: str = ""

    def __str__(self) -> str:
        parts = {
            Role.TEMPLATE: ("mint", self.project, self.fingerprint, "template"),
            Role.BUILDING: ("mint", self.project, self.fingerprint, self.owner, "building"),
            Role.CLONE: ("mint", self.project, self.owner, self.worker),
            Role.WARM: ("mint", self.project, self.fingerprint, self.worker, "warm"),
            Role.TRASH: ("mint", self.worker, "trash"),
        }[self.role]
        return "_".join(parts)


PATTERNS = {
    Role.TEMPLATE: r"mint_(?P<project>[a-z0-9]+)_(?P<fingerprint>[0-9a-f]{12})_template",
    Role.BUILDING: r"mint_(?P<project>[a-z0-9]+)_(?P<fingerprint>[0-9a-f]{12})_(?P<owner>[0-9a-z]{7})_building",
    Role.WARM: r"mint_(?P<project>[a-z0-9]+)_(?P<fingerprint>[0-9a-f]{12})_(?P<worker>[0-9a-z]+)_warm",
    Role.TRASH: r"mint_(?P<worker>[0-9a-z]+)_trash",
    Role.CLONE: r"mint_(?P<project>[a-z0-9]+)_(?P<owner>[0-9a-z]{7})_(?P<worker>[a-z0-9]+(?:_[0-9]+)?)",
}


@lru_cache(1024)
def find_role(name: str) -> DatabaseName | None:
    """Take a name apart; None if mintdb does not make names like it."""
    if len(name) > NAME_LIMIT:
        return None
    for role, pattern in PATTERNS.items():
        if found := re.fullmatch(pattern, name):
            return DatabaseName(role, **found.groupdict())
    return None


def slug(text: str, *, limit: int = PROJECT_LIMIT) -> str:
    """A project's or worker's name as it stands in a database's name: lower-case letters and digits only."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())[:limit] or "x"


def distinct(alias: str) -> str:
    """A configured database's name as it stands in a clone's name: two that look alike as slugs stay apart."""
    plain = slug(alias)
    return plain if plain == alias else f"{plain[:12]}{zlib.crc32(alias.encode()):08x}"


def new_token(length: int = RUN_LENGTH) -> str:
    """A random word that names one run."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
