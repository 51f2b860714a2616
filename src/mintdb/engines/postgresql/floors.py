"""The templates that a clone can be swapped to: its own, and one for each mark that changed the schema."""

from __future__ import annotations

from collections.abc import Callable

from mintdb.address import Address
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.postgresql import databases, dumping
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.facts import dataclass


@dataclass
class Floor:
    """One mark's template, or None where the mark only changed rows and stands on the floor below."""

    template: str | None
    reference: str | None = None  # an untouched copy, made when rows of it are first needed


class Floors:
    """A stack as high as the clone's marks. What it makes belongs to this run and is dropped with it."""

    def __init__(self, maintenance: Maintenance, template: str | None, clone: str) -> None:
        """`template` is what `clone` was copied from; None if its own first floor is to be pushed."""
        self._maintenance = maintenance
        self._clone = clone
        self._stack = [Floor(template)] if template else []
        self._borrowed = template

    @property
    def height(self) -> int:
        """How many marks there are above the clone's own template."""
        return len(self._stack) - 1

    @property
    def newest(self) -> str:
        """The template of the newest mark that has one."""
        return str(self._newest().template)

    def reference(self) -> str:
        """A database with the rows of the newest floor, byte for byte where it copied that floor; never written to."""
        floor = self._newest()
        if floor.reference is None:
            name = self._new_name()
            databases.create(self._maintenance, name, template=self.newest, owner=self._maintenance.owner)
            floor.reference = name
        return floor.reference

    def push_rows(self) -> None:
        """A mark that only changed rows."""
        self._stack.append(Floor(None))

    def push_copied(self) -> None:
        """A mark with DDL, of a clone that nobody is connected to."""
        name = self._new_name()
        databases.create(self._maintenance, name, template=self._clone, owner=self._maintenance.owner)
        self._seal(name)

    def push_dumped(self, own_address: Callable[[str], Address]) -> None:
        """A mark with DDL, of a clone that somebody stays connected to: dumped and restored, which is slow."""
        name = self._new_name()
        databases.create(self._maintenance, name, template="template0", owner=self._maintenance.owner)
        dumping.copy(own_address(self._clone), own_address(name))
        self._seal(name)

    def drop(self, number: int) -> None:
        """A mark is gone, and its template with it; 0 is the clone's own."""
        floor = self._stack.pop(number)
        for name in (floor.template, floor.reference):
            if name and name != self._borrowed:
                databases.drop(self._maintenance, name)

    def drop_all(self) -> None:
        """The clone is gone: so are its floors, but for the template, which belongs to everybody."""
        while self._stack:
            self.drop(len(self._stack) - 1)

    def _newest(self) -> Floor:
        return next(floor for floor in reversed(self._stack) if floor.template)

    def _new_name(self) -> str:
        owner = self._maintenance.owner
        return str(DatabaseName(Role.CLONE, "floor", owner=owner, worker=new_token()))

    def _seal(self, name: str) -> None:
        databases.seal(self._maintenance, name)
        self._stack.append(Floor(name))
