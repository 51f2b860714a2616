"""Play evolutions around a suite: ups before it, the stored downs after it, also when it failed.

`evolutions` is a context manager; `evolutions_fixture` makes a pytest fixture of it, and `EvolutionsMixin` brings it to
a unittest class. `mintdb.evolutions` is the first of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from mintdb.address import Address, parse_url
from mintdb.core.lease import held
from mintdb.errors import MintdbError
from mintdb.facts import dataclass
from mintdb.handover import find_handover
from mintdb.mint import Mint
from mintdb.schemas.evolutions.evolving import Evolving
from mintdb.schemas.evolutions.files import Folder, Substitutions
from mintdb.schemas.evolutions.sessions import connect
from mintdb.schemas.evolutions.table import Table
from mintdb.settings import DEFAULT, DatabaseSettings, load

__all__ = ["EvolutionsMixin", "Options", "evolutions", "evolutions_fixture"]

if TYPE_CHECKING:
    from unittest import TestCase as Mixin
else:
    Mixin = object

log = logging.getLogger("mintdb.evolutions")

LOCK_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class Options:
    """What Play's configuration says of evolutions."""

    table: str = "play_evolutions"
    schema: str = ""  # where that table is; "": the first of the search path
    autocommit: bool = True  # False: all is one transaction, and a failure leaves nothing half way
    substitutions: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "$evolutions{{{"
    suffix: str = "}}}"
    escape: bool = True  # !$evolutions{{{name}}} is left as it is, without the !
    lock_timeout: float = LOCK_TIMEOUT  # seconds to wait for another process that works on the same database's

    @contextmanager
    def evolving(self, name: str, address: Address) -> Iterator[Evolving]:
        """The evolutions `name` of one database, over one connection. Raises what connecting raises."""
        with closing(connect(address)) as session:
            table = Table(session, f"{self.schema}.{self.table}" if self.schema else self.table)
            values = Substitutions(self.substitutions, self.prefix, self.suffix, self.escape)
            yield Evolving(name, table, values, self.autocommit, self._on_the_command_line(address))

    def _on_the_command_line(self, address: Address) -> str:
        given = {"--url": address.redacted, "--schema": self.schema, "--table": self.table}
        default = {"--schema": "", "--table": Options.table}
        return "".join(f" {name} {value}" for name, value in given.items() if value != default.get(name))


@contextmanager
def evolutions(
    path: str | os.PathLike[str],
    *,
    url: str | None = None,
    strict: bool = False,
    **options: Any,  # Any: the fields of Options
) -> Iterator[Address]:
    """Run the evolutions of a folder before the block, and the stored downs of all that is applied after it.

    A relative `path` begins at the folder of the settings file, or at the current one where there is none.
    `url` names the database. Without it, it is the one that the running test has leased, or that `mintdb run` has made;
    and where there is none, an empty clone that is dropped after the block. `options` are those of `Options`. Yields
    the database's address: `.url`, `.url_for(form)`, `.params`.

    Another process that works on the same database by URL is waited for, from the ups to the end of the downs. Sessions
    that sit idle in a transaction in front of the downs are ended, and logged. An error of the downs is logged, so that
    it does not hide the block's own; with `strict` it is raised, unless the block itself has failed.

    Raises InconsistentDatabase where an evolution is half way, its subclass EvolutionFailed where a statement was
    refused, EvolutionUndone where it was rolled back, EvolutionsBusy, PathMissingError, EncodingError,
    SubstitutionError, EvolutionsUnreachable, and ProtectedEnvironment or ProtectedServer.
    """
    chosen = Options(**options)
    root = load().root
    folder = Folder(root / path, root)
    files = folder.read(setting=os.fspath(path))
    name = folder.path.name
    with _database(url) as (address, is_ours), closing(connect(address)) as holder:
        holder.lock(timeout=chosen.lock_timeout)
        with chosen.evolving(name, address) as evolving:
            evolving.apply(files)
        if is_ours:
            holder.close()  # nobody else works on it, and a session with a lock is in the way of a rewind
        with _cleaned(name, address, chosen, strict=strict):
            yield address


@contextmanager
def _cleaned(name: str, address: Address, options: Options, *, strict: bool) -> Iterator[None]:
    failed = True
    try:
        yield
        failed = False
    finally:
        try:
            with options.evolving(name, address) as evolving:
                evolving.undo_all()
        except MintdbError as error:
            if strict and not failed:
                raise
            log.error("the downs of %r failed after the suite: %s", name, error)


@contextmanager
def _database(url: str | None) -> Iterator[tuple[Address, bool]]:
    """The database to work on, and whether it is one of mintdb's clones."""
    if url is not None:
        refuse_protected(url)
        address = parse_url(url)
        yield address, any(_same(address, own) for own in _own_databases())
    elif own := next(_own_databases(), None):
        yield own, True
    else:
        with _empty_mint() as mint, mint.lease() as lease:
            yield lease.address, True


def _empty_mint() -> Mint:
    """The default database's server, for a clone with nothing in it."""
    settings = load()
    database = settings.databases.get(DEFAULT, DatabaseSettings())
    empty = replace(database, schema="none", seed=(), name=None, mirror=None)
    return Mint(replace(settings, databases=MappingProxyType({DEFAULT: empty})))


def refuse_protected(url: str) -> None:
    """Raise ProtectedEnvironment or ProtectedServer if mintdb may not write to a URL's server."""
    settings = load()
    settings.refuse_protected()
    settings.refuse_protected_server(url, alias="evolutions")


def _own_databases() -> Iterator[Address]:
    yield from (lease.address for lease in held())
    if handover := find_handover(os.environ):
        yield from (parse_url(each.url) for each in handover.all)


def _same(one: Address, other: Address) -> bool:
    return (one.engine, one.database, one.port) == (other.engine, other.database, other.port)


def evolutions_fixture(
    path: str | os.PathLike[str],
    *,
    scope: str = "module",
    autouse: bool = True,
    name: str | None = None,
    **arguments: Any,  # Any: as `evolutions` takes them
) -> Callable[..., Iterator[Address]]:
    """A pytest fixture with the evolutions of a folder: assign it to a name in a conftest or a test module.

    Its value is the database's address. It is as wide as a module unless `scope` says otherwise.
    """
    import pytest

    @pytest.fixture(scope=scope, autouse=autouse, name=name)  # type: ignore[call-overload, untyped-decorator]  # a str
    def evolved() -> Iterator[Address]:
        with evolutions(path, **arguments) as address:
            yield address

    made: Callable[..., Iterator[Address]] = evolved
    return made


class EvolutionsMixin(Mixin):
    """Put it before TestCase, and say where the evolutions are: ups before the class's tests, downs after them."""

    evolutions: ClassVar[str | os.PathLike[str]]  # the folder
    evolutions_options: ClassVar[Mapping[str, Any]] = {}  # as `evolutions` takes them, `url` too  # Any: see there
    evolved: ClassVar[Address]  # where the database answers

    @classmethod
    def setUpClass(cls) -> None:
        """Run the ups; the downs follow after the class's own clean-up, also where its set-up fails."""
        cls.evolved = cls.enterClassContext(evolutions(cls.evolutions, **cls.evolutions_options))
        super().setUpClass()
