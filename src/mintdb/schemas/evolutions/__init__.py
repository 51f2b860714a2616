"""`evolutions:DIR`: the ups of Play evolutions, run as Play runs them: the application finds nothing left to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mintdb.address import Address
from mintdb.errors import SchemaError
from mintdb.facts import dataclass
from mintdb.schemas.errors import FileStatementError
from mintdb.schemas.evolutions.errors import EvolutionError, EvolutionFailed, EvolutionSyntaxError
from mintdb.schemas.evolutions.evolving import Evolving
from mintdb.schemas.evolutions.files import Folder
from mintdb.schemas.evolutions.sessions import connect
from mintdb.schemas.evolutions.table import Table

SYNTAX_ERROR = "42601"  # an unterminated string, too


@dataclass(frozen=True)
class Evolutions:
    """The evolutions of a folder, as a template's content: all ups, and the record that they were run."""

    description: str
    folder: Folder

    def fingerprint(self) -> Iterable[bytes]:
        """The scripts of both directions; not what stands before the first marker, nor how lines are indented."""
        for evolution in self.folder.read_some(setting=self.description):
            yield evolution.ups.text.encode()
            yield evolution.downs.text.encode()

    def build(self, database: Address) -> None:
        """Run all ups. Raises EvolutionError, EvolutionSyntaxError, SubstitutionError and what reading raises."""
        files = self.folder.read_some(setting=self.description)
        session = connect(database)
        try:
            Evolving(self.folder.path.name, Table(session)).apply(files)
        except EvolutionFailed as error:
            raise _explain(error, database.engine) from error.__cause__
        finally:
            session.close()


def get_source(argument: str, *, setting: str, root: Path) -> Evolutions:
    """The source for `evolutions:ARGUMENT`; nothing is read before it is used."""
    return Evolutions(setting, Folder(root / argument, root))


def _explain(error: EvolutionFailed, engine: str) -> SchemaError:
    """The failure as that of a template, which is dropped: there is nothing to resolve."""
    facts = {fact: error.facts[fact] for fact in ("line", "message", "code", "statement")}
    if engine != "postgresql":
        return FileStatementError(file=error.place, **facts)
    kind = EvolutionSyntaxError if error.code == SYNTAX_ERROR else EvolutionError
    return kind(file=error.place, revision=error.revision, **facts)
