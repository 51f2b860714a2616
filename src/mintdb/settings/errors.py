"""What can be wrong with what the user wrote down: one class for each remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from mintdb.errors import SettingsError


class UnknownSetting(SettingsError):
    """A setting that mintdb does not know. Facts: setting, where, nearest, known."""

    text = """\
unknown setting {setting!r} in {where}{nearest}
  1. the settings known here: {known}"""


class BadSetting(SettingsError):
    """A setting whose value cannot be used. Facts: setting, where, value, expected."""

    text = """\
setting {setting!r} in {where} is {value!r}, which cannot be used
  1. give it {expected}"""


class BadSettingsFile(SettingsError):
    """A settings file that cannot be read. Facts: file, why."""

    text = """\
cannot read the settings in {file}
  {why}
  1. mend the file: it must be TOML, in UTF-8"""


class UnknownDatabase(SettingsError):
    """A database name that is not in the settings. Facts: name, nearest, known."""

    text = """\
no database {name!r} is configured{nearest}
  1. the configured databases: {known}
  2. or add it:  [tool.mintdb.databases.{name}]"""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like `word`, as a question to end a sentence with; empty if none is like it."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
