"""mintdb's dataclasses are the standard ones to whoever uses them, and are cheaper to make."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, replace
from functools import cached_property

import pytest

from mintdb import facts

Decorator = Callable[..., Callable[[type], type]]


@facts.dataclass(frozen=True)
class Place:
    """At the level of a module, as pickle wants it."""

    name: str
    rooms: dict[str, int] = field(default_factory=dict, compare=False)
    password: str = field(default="", repr=False)
    near: list[Place] = field(default_factory=list, compare=False)

    @cached_property
    def loud(self) -> str:
        return self.name.upper()


def kinds(decorator: Decorator) -> list[type]:
    """One class for each of the ways in which mintdb makes them."""

    class Plain:
        """Two fields, one with a default."""

        a: int
        b: list[int] = field(default_factory=list)

    class Own:
        """Speaks for itself."""

        a: int

        def __repr__(self) -> str:
            return "own"

    class Empty:
        """No field at all."""

    return [
        decorator(**wanted)(type(kind.__name__, (kind,), dict(vars(kind))))
        for kind in (Plain, Own, Empty)
        for wanted in ({}, {"frozen": True}, {"eq": False}, {"frozen": True, "eq": False}, {"order": True})
    ]


def outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except Exception as error:
        return type(error), str(error)


def behaviour(kind: type) -> list[object]:
    """What can be seen of a class from outside, but for the numbers of its hashes."""
    values = (1, [2]) if kind.__name__ == "Plain" else (1,) if kind.__name__ == "Own" else ()
    one, same = kind(*values), kind(*values)
    own_repr = kind.__name__ == "Own"
    return [
        str(inspect.signature(kind)),
        repr(one).rpartition(".")[2] if own_repr or kind.__eq__ is not object.__eq__ else None,
        one == same,
        one != same,
        one == object(),
        kind.__match_args__,
        asdict(one),
        [(each.name, each.default is dataclasses.MISSING, each.compare) for each in dataclasses.fields(kind)],
        outcome(lambda: replace(one, a=3).a),
        outcome(lambda: setattr(one, "a", 4)),
        outcome(lambda: setattr(one, "other", 4)),
        outcome(lambda: delattr(one, "a")),
        outcome(lambda: hash(one) == hash(same)),
        outcome(lambda: one < same),
    ]


@pytest.mark.parametrize("number", range(len(kinds(facts.dataclass))))
def test_a_fact_behaves_as_the_standard_dataclass_does(number: int) -> None:
    assert behaviour(kinds(facts.dataclass)[number]) == behaviour(kinds(dataclasses.dataclass)[number])


def test_a_frozen_fact_is_told_copied_and_pickled_as_ever() -> None:
    place = Place("home", {"kitchen": 1}, "secret")
    place.near.append(place)
    assert repr(place) == "Place(name='home', rooms={'kitchen': 1}, near=[...])"
    assert (place.loud, copy.copy(place), copy.deepcopy(place)) == ("HOME", place, place)
    assert pickle.loads(pickle.dumps(place)) == place  # equal by what is compared: the circle is not
    assert {place: 1}[Place("home", password="secret")] == 1
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'loud'"):
        place.loud = "no"  # type: ignore[misc]


def test_of_a_facts_methods_only_its_init_is_compiled_for_it() -> None:
    methods = {name: method for name, method in vars(Place).items() if inspect.isfunction(method)}
    assert [name for name, method in methods.items() if method.__code__.co_filename == "<string>"] == ["__init__"]
