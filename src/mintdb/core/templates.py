"""A template is built once for each fingerprint, by one process, and found by all others.

It has layers: a schema, and what is put on it. Each is a template, so that a changed seed builds no schema anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from mintdb import __version__
from mintdb.contract import SchemaSource, Server
from mintdb.core.names import DatabaseName, Role, slug
from mintdb.facts import dataclass

FINGERPRINT_LENGTH = 12  # hexadecimal digits: two of 10,000 schemas meet with a chance of 1 in 5 million
BUILD_TIMEOUT = 600.0  # seconds to wait for another process that builds the same template


@dataclass(frozen=True)
class Template:
    """A sealed template, and whether this process had to build it."""

    name: str
    built: bool


def fingerprint(server: Server, *layers: SchemaSource, environment: str | None = None) -> str:
    """The digest that decides whether a template can be reused.

    It covers the layers, the server, the environment's name (what an application builds may depend on it) and
    mintdb's own version.
    """
    parts = [__version__.encode(), server.engine.encode(), (environment or "").encode(), *server.identity]
    return _digest([*parts, *(_digest(layer.fingerprint()).encode() for layer in layers)])[:FINGERPRINT_LENGTH]


def get_template(
    server: Server,
    *layers: SchemaSource,
    project: str,
    environment: str | None = None,
    fresh: str = "",
    announce: Callable[[str], None] = lambda line: None,
) -> Template:
    """The template of a schema, the first of `layers`, and what is put on it, the others.

    What nobody has built is built now; with `fresh`, what that run has not built. Raises what a source raises
    (SchemaError), and LockTimeout after BUILD_TIMEOUT behind another builder.
    """
    return Templates(server, slug(project), environment, fresh, announce).get(layers)


@dataclass(frozen=True)
class Templates:
    """The templates of one project on one server."""

    server: Server
    project: str
    environment: str | None
    fresh: str
    announce: Callable[[str], None]

    def name(self, layers: Sequence[SchemaSource]) -> str:
        """What the template of these layers is called, built or not."""
        return str(
            DatabaseName(Role.TEMPLATE, self.project, fingerprint(self.server, *layers, environment=self.environment))
        )

    def get(self, layers: Sequence[SchemaSource]) -> Template:
        """See get_template."""
        name = self.name(layers)
        if self.server.has_template(name, run=self.fresh):
            return Template(name, built=False)
        with self._locked(name):
            if self.server.has_template(name, run=self.fresh):
                return Template(name, built=False)
            self.server.drop_template(name)
            self._build(name, layers)
        return Template(name, built=True)

    def _build(self, name: str, layers: Sequence[SchemaSource]) -> None:
        *below, top = layers
        if not below:
            self.announce(f"building the template from {top.description}" if top.description else "building a template")
            self.server.build_template(name, top.build, run=self.fresh)
            return
        base = self.get(below).name
        self.announce(f"building the template's next layer from {top.description}")
        # Held, or a run that asks for fresh templates could drop it while it is copied. From top to bottom always.
        with self._locked(base):
            self.server.build_template(name, top.build, run=self.fresh, base=base)

    def _locked(self, name: str) -> AbstractContextManager[None]:
        return self.server.lock(f"template {name}", timeout=BUILD_TIMEOUT)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in _framed(parts):
        digest.update(part)
    return digest.hexdigest()


def _framed(parts: Iterable[bytes]) -> Iterable[bytes]:
    """Each part with its length before it, so that moving a byte from one to the next changes the digest."""
    for part in parts:
        yield len(part).to_bytes(8, "big") + part
