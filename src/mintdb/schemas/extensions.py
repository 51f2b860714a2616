"""Create PostgreSQL extensions before a schema needs them, and say where a missing one is to be had."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.facts import dataclass
from mintdb.schemas.errors import ExtensionMissingError


@dataclass(frozen=True)
class WithExtensions:
    """A schema source, and the extensions that are there before it begins."""

    extensions: Sequence[str]
    source: SchemaSource

    @property
    def description(self) -> str:
        """The schema's own; extensions alone, where it is empty."""
        return self.source.description or f"extensions {', '.join(self.extensions)}"

    def fingerprint(self) -> Iterable[bytes]:
        """The extensions' names, whose order does not matter, and the schema."""
        yield "\0".join(sorted(self.extensions)).encode()
        yield from self.source.fingerprint()

    def build(self, database: Address) -> None:
        """Create the extensions, those that they need too, then the schema. Raises ExtensionMissingError first."""
        with psycopg.connect(database.url, autocommit=True) as connection:
            for extension in self.extensions:
                create(connection, extension)
        self.source.build(database)


def create(connection: psycopg.Connection, extension: str) -> None:
    """Create one extension. Raises ExtensionMissingError where the server does not have it."""
    statement = sql.SQL("create extension if not exists {} cascade").format(sql.Identifier(extension))
    try:
        connection.execute(statement)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        known = [name for (name,) in connection.execute("select name from pg_available_extensions order by name")]
        close = difflib.get_close_matches(extension, known, n=1, cutoff=0.8)
        raise ExtensionMissingError(
            extension=extension,
            nearest=f"; did you mean {close[0]!r}?" if close else "",
            version=connection.info.server_version // 10000,
            known=", ".join(known),
        ) from None
