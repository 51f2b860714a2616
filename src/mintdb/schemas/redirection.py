"""Point an application at the template that is being built, by the variables in which it looks for its database.

The exported variables name the database that tests get, which does not exist before its template does.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from urllib.parse import urlsplit

from mintdb.address import SCHEMES, Address, UnknownUrlForm, find_server, parse_url, quoted_path
from mintdb.variables import LEASED, libpq_variables, mysql_variables

NAMES_A_DATABASE = re.compile("DB|DATABASE", re.IGNORECASE)  # in a variable whose value may mean something else
SCHEME = re.compile(r"(?P<jdbc>jdbc:)?(?P<dialect>[a-z]+)(?P<driver>\+[a-z0-9_]+)?://")


def redirect(environment: Mapping[str, str], database: Address) -> dict[str, str]:
    """DATABASE_URL, and every variable that holds a URL of the same server, with `database` in the form it had.

    What libpq or MariaDB's programs read is changed as a whole, where it leads to the same server. A name alone, or a
    URL with another library's scheme, is changed where it is that of a database of this run.
    """
    changes = {"DATABASE_URL": database.url_for("libpq")}
    if database.engine == "sqlite":
        return changes | _redirect_files(environment, database)
    changes |= _redirect_parts(environment, database)
    leased = _find_leased(environment, database)
    for name, value in environment.items():
        if value in leased and (value.startswith("mint_") or NAMES_A_DATABASE.search(name)):
            changes[name] = database.database
        if prefix := _find_prefix(value, database, leased):
            changes[name] = database.url_for(prefix)
        form = _find_form(value, database)
        if form is not None and _same_server(value, database.url_for(form)):
            changes[name] = database.url_for(form)
    return changes


def _redirect_files(environment: Mapping[str, str], database: Address) -> dict[str, str]:
    """Variables that hold the path of a file beside `database`, in whatever form: those of this run's own clones."""
    changes: dict[str, str] = {}
    for path in (database.database, quoted_path(database.database)):
        beside = re.compile(re.escape(str(PurePath(path).parent)) + r"/mint_[a-z0-9_]+\.db$")
        found = {name: beside.search(value) for name, value in environment.items()}
        changes |= {name: environment[name][: match.start()] + path for name, match in found.items() if match}
    return changes


def _redirect_parts(environment: Mapping[str, str], database: Address) -> dict[str, str]:
    """The variables that hold the parts of a URL, one each."""
    if database.engine == "mysql":
        parts, place = mysql_variables(database), ("MYSQL_HOST", "MYSQL_PORT")
    else:
        parts, place = {"PGOPTIONS": "", **libpq_variables(database)}, ("PGHOST", "PGPORT")
    leads_here = all(environment.get(name, "") == parts.get(name) for name in place)
    return {name: value for name, value in parts.items() if value or name in environment} if leads_here else {}


def _find_form(value: str, database: Address) -> str | None:
    match = SCHEME.match(value)
    if match is None or SCHEMES.get(match["dialect"]) != database.engine:
        return None
    if match["jdbc"]:
        return "jdbc"
    form = f"{database.engine}{match['driver']}" if match["driver"] else "libpq"
    try:
        database.url_for(form)
    except UnknownUrlForm:
        return None  # another library's driver, or one that cannot be led here by a URL
    return form


def _find_leased(environment: Mapping[str, str], database: Address) -> set[str]:
    """This run's databases on the server of `database`."""
    urls = json.loads(environment.get(LEASED, "{}")).values()
    return {parse_url(url).database for url in urls if _same_server(url, database.url)}


def _find_prefix(value: str, database: Address, leased: set[str]) -> str | None:
    """The scheme, with its `://`, of a URL that leads to one of the `leased` databases and that no driver knows."""
    scheme, separator, rest = value.partition("://")
    if not separator or _find_form(value, database) is not None:
        return None
    server, _, name = rest.partition("?")[0].rpartition("/")
    place = server.rpartition("@")[2].lower()
    return f"{scheme}://" if place == f"{database.host}:{database.port}".lower() and name in leased else None


def _find_database(variable: str, value: str) -> str:
    """The database that a variable names, by a URL or alone; empty for one that has another part of a URL."""
    if "://" in value:
        return urlsplit(value.removeprefix("jdbc:")).path.lstrip("/")
    return value if variable in ("PGDATABASE", "MYSQL_DATABASE") else ""


def _same_server(one: str, other: str) -> bool:
    """Whether two URLs lead to the same server, whatever the database and the login: tests may have a role's."""
    server = find_server(one)
    return server is not None and server == find_server(other)


@contextmanager
def redirected(database: Address) -> Iterator[set[str]]:
    """Change this process's environment for the block; gives the names of the databases that it led to before."""
    changes = redirect(os.environ, database)
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield {_find_database(name, value) for name, value in before.items() if value} - {""}
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
