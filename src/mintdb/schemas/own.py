"""`source:MODULE:OBJECT`: a schema source of the project's own, for a migration tool that mintdb does not know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from mintdb.address import Address
from mintdb.errors import SchemaError
from mintdb.facts import dataclass
from mintdb.schemas.errors import CallFailedError, NotASourceError
from mintdb.schemas.modules import Named, describe, find_culprit, importing_from, parse_name
from mintdb.schemas.redirection import redirected

FORM = "source:package.module:object"


@runtime_checkable
class Filler(Protocol):
    """What the object needs of contract.SchemaSource: its description is the setting."""

    def fingerprint(self) -> Iterable[bytes]: ...

    def build(self, database: Address) -> None: ...


@dataclass(frozen=True)
class OwnSource:
    """An object with `fingerprint` and `build`, or a class or function without arguments that makes one."""

    description: str
    named: Named

    def fingerprint(self) -> Iterable[bytes]:
        """The object's own. Imports its module."""
        with importing_from(self.named.root):
            source = self._load()
            with self._explained():
                parts = list(source.fingerprint())
        if wrong := next((part for part in parts if not isinstance(part, bytes)), None):
            raise NotASourceError(
                setting=self.description, why=f"its fingerprint has {type(wrong).__name__}, not bytes"
            )
        return parts

    def build(self, database: Address) -> None:
        """The object's own, while the exported variables name the template. Raises CallFailedError and SchemaError."""
        with importing_from(self.named.root):
            source = self._load()
            with redirected(database), self._explained():
                source.build(database)

    def _load(self) -> Filler:
        found = self.named.load()
        if isinstance(found, type) or (callable(found) and not isinstance(found, Filler)):
            with self._explained():
                found = found()
        if not isinstance(found, Filler):
            raise NotASourceError(setting=self.description, why=f"{type(found).__name__} has no fingerprint and build")
        return found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SchemaError:
            raise
        except (Exception, SystemExit) as error:
            where = find_culprit(error, self.named.root)
            raise CallFailedError(setting=self.description, error=describe(error), where=where) from error


def get_source(argument: str, *, setting: str, root: Path) -> OwnSource:
    """The source for `source:ARGUMENT`. Raises SourceNameError."""
    return OwnSource(setting, parse_name(argument, setting=setting, root=root, form=FORM))
