"""What can be wrong with what the user wrote down: one class for each remedy."""

from __future__ import annotations

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


class UnknownEnvironment(SettingsError):
    """An environment that is not in the settings. Facts: name, where, nearest, known."""

    text = """\
no environment {name!r} is configured{nearest}
  asked for  by {where}
  1. the configured environments: {known}
  2. or add it:  [tool.mintdb.environments.{name}]"""


class UnknownInMatrix(SettingsError):
    """A name of `--mintdb-matrix` that is neither an environment nor an engine. Facts: name, nearest, known."""

    text = """\
--mintdb-matrix names {name!r}, which is neither an environment nor an engine{nearest}
  1. name some of {known}
  2. or add an environment:  [tool.mintdb.environments.{name}]"""


class NoDefaultInMatrix(SettingsError):
    """`--mintdb-matrix` names an engine, and no database is called `default`. Facts: name, known, first."""

    text = """\
--mintdb-matrix names the engine {name!r}, which is for the database 'default', and there is none: only {known}
  1. say in an environment which databases have which engine:  [tool.mintdb.environments.NAME.databases.{first}]
  2. and name that:  --mintdb-matrix NAME"""


class UnsetVariable(SettingsError):
    """A setting names a variable of the environment that is not there. Facts: variable, setting, where, state."""

    text = """\
setting {setting!r} in {where} needs the variable {variable}, which is {state}
  1. set it:  export {variable}=…
  2. or choose another environment:  --mintdb-env NAME"""


class UnknownVariable(SettingsError):
    """A variable of the environment that is nearly one of mintdb's. Facts: variable, near."""

    text = """\
unknown variable {variable} in the environment; did you mean {near}?
  1. rename it, or take it away:  unset {variable}"""


class ProtectedEnvironment(SettingsError):
    """The environment that was chosen is protected. Facts: environment, where."""

    text = """\
environment {environment!r} is protected: mintdb does not touch its databases
  chosen     by {where}
  1. choose another one:  --mintdb-env NAME, or MINTDB_ENV=NAME
  2. see where each setting comes from:  mintdb env"""


class ProtectedServer(SettingsError):
    """A database is on a server that a protected environment names. Facts: alias, url, environment."""

    text = """\
database {alias!r} is on the server of the protected environment {environment!r}: mintdb does not touch it
  its URL    {url}
  1. name another server, or take the URL away: mintdb then runs a server of its own
  2. see where each setting comes from:  mintdb env"""


class EngineMismatch(SettingsError):
    """URL and engine were given together, and do not fit. Facts: url, engine, named, where."""

    text = """\
{url} is a {engine} URL, but the engine is {named}
  given in   {where}
  1. write  engine = "{engine}"  beside the url, or leave the engine out: the URL says it
  2. or mend the URL"""


class NotOfThisEngine(SettingsError):
    """A setting that the database's engine has no use for. Facts: setting, where, engine, alias."""

    text = """\
setting {setting!r} is PostgreSQL's, but the engine of database {alias!r} is {engine}
  given in   {where}
  1. take it out
  2. or move it to where the engine is postgresql: an environment's table, say"""


class MirrorHasMore(SettingsError):
    """A mirror has a setting that only the mirrored database can have. Facts: alias, mirror, setting, where."""

    text = """\
database {alias!r} mirrors {mirror!r}, so it can have no {setting!r} of its own
  given in   {where}
  1. take {setting!r} out, or give it to {mirror!r}
  2. or take `mirror` out: {alias!r} is then a database of its own"""


class CurrentFolderGone(SettingsError):
    """The folder in which mintdb was started is there no more, so no settings can be looked for."""

    text = """\
the current folder does not exist any more
  1. change to one that does:  cd "$HOME\""""


def refuse_unknown(table: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise UnknownSetting for the first key of `table` that is not known."""
    known = tuple(known)
    for key in table:
        if key not in known:
            raise UnknownSetting(setting=key, where=where, nearest=nearest(key, known), known=", ".join(known))


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like `word`, as a question to end a sentence with; empty if none is like it."""
    close = find_nearest(word, known)
    return f"; did you mean {close!r}?" if close else ""


def find_nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known word that is most like `word`; `likeness` is difflib's, from 0 to 1."""
    import difflib  # for a word that nobody knows

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return close[0] if close else None
