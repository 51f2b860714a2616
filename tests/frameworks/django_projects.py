"""A Django project of an imagined user, copied to a folder and tested there, on a small server of its own."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.frameworks.suites import BY_NAME, QUIET, Ran, run_python

SOURCE = Path(__file__).parent / "django_project"
ALIAS = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "postgres", "HOST": "127.0.0.1"}


@dataclass
class DjangoProject:
    """The project in `folder`; its real database would be `shop` on the server at `port`."""

    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, **files: str) -> DjangoProject:
        """Write files below the folder; a name without a dot is a module of tests beside manage.py."""
        for name, text in files.items():
            path = self.folder / (name if "." in name else f"{name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return self

    def manage(self, *arguments: str, **environment: str) -> Ran:
        """Run one of manage.py's commands."""
        return self._run(["manage.py", *arguments], environment)

    def pytest(self, *arguments: str, **environment: str) -> Ran:
        """Run pytest, with pytest-django."""
        return self._run(["-m", "pytest", *QUIET, "-p", "django", *arguments], BY_NAME | environment)

    def databases(self) -> set[str]:
        """The test databases on the server, templates and such left out."""
        query = "select datname from pg_database where datname like '%test%'"
        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres") as session:
            return {name for (name,) in session.execute(query)}

    def ask(self, statement: str, database: str = "postgres") -> None:
        """Run one statement as the superuser."""
        login = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": database}
        with psycopg.connect(**login, autocommit=True) as session:
            session.execute(statement)

    def _run(self, command: list[str], environment: dict[str, str]) -> Ran:
        alias = json.dumps(ALIAS | {"PORT": str(self.port)})
        own = {"SHOP_DATABASE": alias, "PYTHONWARNINGS": "default", "PYTHONPATH": str(self.folder)}
        return run_python(self.folder, *command, environment=own | self.environment | environment)


def new_project(folder: Path, port: int) -> DjangoProject:
    """A copy of the project."""
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return DjangoProject(folder, port)
