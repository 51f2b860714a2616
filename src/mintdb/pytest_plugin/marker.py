"""Read `@pytest.mark.mintdb(...)`, refusing what it does not know, and do what it says of a test's examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mintdb.errors import SettingsError
from mintdb.examples import examples as put_back
from mintdb.facts import dataclass
from mintdb.settings import DEFAULT, ISOLATIONS, POLICIES, BadSetting, Settings

ARGUMENTS = ("database", "isolation", "leaks", "rewind_examples")


class UnknownMarkerArgument(SettingsError):
    """The marker was given an argument that it does not have. Facts: test, argument, nearest."""

    text = """\
{test}: @pytest.mark.mintdb has no argument {argument!r}{nearest}
  1. its arguments are database, isolation, leaks and rewind_examples"""


@dataclass(frozen=True)
class Request:
    """What a test asks for."""

    database: str = DEFAULT
    isolation: str | None = None  # None: as the run does it
    leaks: str | None = None
    rewind_examples: bool | None = None


def read(item: pytest.Item, settings: Settings) -> Request:
    """The nearest marker's wishes. Raises UnknownMarkerArgument, UnknownDatabase or BadSetting."""
    found = item.get_closest_marker("mintdb")
    if found is None:
        return Request()
    named = dict(zip(ARGUMENTS, found.args, strict=False)) | dict(found.kwargs)
    for argument in [*found.kwargs, *map(repr, found.args[len(ARGUMENTS) :])]:
        if argument not in ARGUMENTS:
            import difflib  # for a word that nobody knows

            close = difflib.get_close_matches(argument, ARGUMENTS, n=1)
            nearest = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownMarkerArgument(test=item.nodeid, argument=argument, nearest=nearest)
    request = Request(**named)
    settings.get_database(request.database)
    where = f"the marker of {item.nodeid}"
    for argument, choices in (("isolation", ISOLATIONS), ("leaks", POLICIES)):
        value = getattr(request, argument)
        if value is not None and value not in choices:
            raise BadSetting(setting=argument, where=where, value=value, expected=f"one of {', '.join(choices)}")
    if not isinstance(request.rewind_examples, bool | None):
        raise BadSetting(
            setting="rewind_examples", where=where, value=request.rewind_examples, expected="True or False"
        )
    return request


@contextmanager
def examples(item: pytest.Item, settings: Settings, *, by_default: bool) -> Iterator[None]:
    """In the block the test's examples are put back, where its marker says so, or `by_default`. Raises as `read`."""
    rewound = read(item, settings).rewind_examples
    if not isinstance(item, pytest.Function):  # a doctest, or another plugin's kind of item
        yield
        return
    test = item.obj
    with put_back(test, rewound=by_default if rewound is None else rewound) as instead:
        if instead is test:
            yield
            return
        item.obj = instead
        try:
            yield
        finally:
            item.obj = test
