"""Read `@pytest.mark.mintdb(...)`, refusing what it does not know."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import pytest

from mintdb.errors import SettingsError
from mintdb.settings import DEFAULT, ISOLATIONS, POLICIES, BadSetting, Settings

ARGUMENTS = ("database", "isolation", "leaks")


class UnknownMarkerArgument(SettingsError):
    """The marker was given an argument that it does not have. Facts: test, argument, nearest."""

    text = """\
{test}: @pytest.mark.mintdb has no argument {argument!r}{nearest}
  1. its arguments are database, isolation and leaks"""


@dataclass(frozen=True)
class Request:
    """What a test asks for."""

    database: str = DEFAULT
    isolation: str | None = None  # None: as the run does it
    leaks: str | None = None


def read(item: pytest.Item, settings: Settings) -> Request:
    """The nearest marker's wishes. Raises UnknownMarkerArgument, UnknownDatabase or BadSetting."""
    found = item.get_closest_marker("mintdb")
    if found is None:
        return Request()
    named = dict(zip(ARGUMENTS, found.args, strict=False)) | dict(found.kwargs)
    for argument in [*found.kwargs, *map(repr, found.args[len(ARGUMENTS) :])]:
        if argument not in ARGUMENTS:
            close = difflib.get_close_matches(argument, ARGUMENTS, n=1)
            nearest = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownMarkerArgument(test=item.nodeid, argument=argument, nearest=nearest)
    request = Request(**named)
    settings.get_database(request.database)
    for argument, choices in (("isolation", ISOLATIONS), ("leaks", POLICIES)):
        value = getattr(request, argument)
        if value is not None and value not in choices:
            where = f"the marker of {item.nodeid}"
            raise BadSetting(setting=argument, where=where, value=value, expected=f"one of {', '.join(choices)}")
    return request
