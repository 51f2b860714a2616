"""Where one database answers, and the URL forms in which that is handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Address:
    """One database of one server; `options` are libpq's URL parameters (TLS and such) and survive into every form."""

    engine: str
    database: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)

    def with_database(self, database: str) -> Address:
        """The same server and login, another database."""
        return replace(self, database=database)
