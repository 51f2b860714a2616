"""Read `@pytest.mark.mintdb(...)`, refusing what it does not know."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import pytest

from mintdb.errors import SettingsError
from mintdb.settings import DEFAULT, ISOLATIONS, BadSetting, Settings

ARGUMENTS = ("database", "isolation")


class UnknownMarkerArgument(SettingsError):
    """The marker was given an argument that it does not have. Facts: test, argument, nearest."""

    text = """\
{test}: @pytest.mark.mintdb has no argument {argument!r}{nearest}
  1. its arguments are database and isolation"""


@dataclass(frozen=True)
class Request:
    """What a test asks for."""

    database: str = DEFAULT
    isolation: str | None = None  # None: as the run does it


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
    if request.isolation is not None and request.isolation not in ISOLATIONS:
        expected = f"one of {', '.join(ISOLATIONS)}"
        raise BadSetting(
            setting="isolation", where=f"the marker of {item.nodeid}", value=request.isolation, expected=expected
        )
    return request
