"""Facts without their price at import: dataclasses whose methods, but for `__init__`, are written here, once for all.

The standard decorator writes source text for each method of each class and compiles it, which is more than a third of
the CPU between `import mintdb` and a first lease: `python benchmarks/facts.py` tells how much it is today.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

COMPARED = "_compared"  # of each class: takes of an object what it is equal by

if TYPE_CHECKING:
    from dataclasses import dataclass  # to a type checker it is the standard one
else:

    def dataclass(cls: type | None = None, /, **wanted: bool) -> object:
        """What `dataclasses.dataclass` makes. A method that the class has is kept; so is all that is not known here.

        A frozen one tells by what it holds whether a field has its value yet: `__init__` assigns like everybody else.
        """
        make = dataclasses.dataclass if wanted.keys() - {"frozen", "eq"} else _make
        return make(cls, **wanted) if cls else lambda decorated: make(decorated, **wanted)


def _make(cls: type, *, frozen: bool = False, eq: bool = True) -> type:
    methods: dict[str, object] = {"__repr__": _repr}
    if eq:
        methods |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        methods |= {"__setattr__": _set_once, "__delattr__": _refuse_to_delete}
    for name in methods.keys() - vars(cls).keys():
        setattr(cls, name, methods[name])
    made: type[Any] = dataclasses.dataclass(cls, repr=False, eq=False)
    compared = [field.name for field in dataclasses.fields(made) if field.compare]
    setattr(made, COMPARED, attrgetter(*compared) if compared else type)
    return made


@recursive_repr()
def _repr(self: Any) -> str:  # Any: of every class, here and below
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    return self._compared(self) == self._compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(self._compared(self))


def _set_once(self: Any, name: str, value: object) -> None:
    values = self.__dict__
    if name in values or name not in self.__dataclass_fields__:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    values[name] = value


def _refuse_to_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
