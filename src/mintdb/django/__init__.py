"""One line in the test settings: `INSTALLED_APPS += ["mintdb.django"]`, and Django's test databases are mintdb's.

They are cloned from templates, so migrations run once, and each test's changes are put back instead of flushed. Test
runners, pytest-django and `DATABASES` stay as they are. Nothing of Django is imported from here: settings modules do.

PYTEST_DONT_REWRITE: there is no assertion of a test in here, and settings are imported before pytest looks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["databases", "use_psycopg2"]

ENGINE = "django.db.backends.postgresql"
EMBEDDED = "MINTDB"  # key of an alias in DATABASES: it is on the embedded server


def databases(start: str | os.PathLike[str] | None = None, **alias: Any) -> dict[str, dict[str, Any]]:
    """The setting DATABASES for tests on mintdb's embedded server; nothing is started before a test database is wanted.

    `start` is the project's folder (default: the current one); two checkouts have two databases. Further arguments go
    into the alias "default": `databases(ATOMIC_REQUESTS=True)`. Raises SettingsError and ServerError.
    """
    from mintdb.django.places import embedded

    return {"default": {"ENGINE": ENGINE, EMBEDDED: "embedded", **embedded(Path(start or Path.cwd())), **alias}}


def use_psycopg2() -> None:
    """Let Django use psycopg2 although psycopg 3, which mintdb itself needs, is installed too.

    Call it in the settings, before anything of Django's database layer is imported.
    """
    module = "psycopg"
    before = sys.modules.get(module)
    sys.modules[module] = None  # type: ignore[assignment]  # importing it now raises ImportError
    try:
        import django.db.backends.postgresql.base  # noqa: F401  # it decides for the whole process
    finally:
        if before is None:
            del sys.modules[module]
        else:
            sys.modules[module] = before
