"""A template is built once for each fingerprint, by one process, and found by all others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mintdb import __version__
from mintdb.contract import SchemaSource, Server
from mintdb.core.names import DatabaseName, Role, slug

FINGERPRINT_LENGTH = 12  # hexadecimal digits: two of 10,000 schemas meet with a chance of 1 in 5 million
BUILD_TIMEOUT = 600.0  # seconds to wait for another process that builds the same template


@dataclass(frozen=True)
class Template:
    """A sealed template, and whether this process had to build it."""

    name: str
    built: bool


def fingerprint(server: Server, source: SchemaSource) -> str:
    """The digest that decides whether a template can be reused: source, server and mintdb's own version."""
    digest = hashlib.sha256()
    for part in _framed([__version__.encode(), server.engine.encode(), *server.identity, *source.fingerprint()]):
        digest.update(part)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def get_template(
    server: Server,
    source: SchemaSource,
    *,
    project: str,
    fresh: str = "",
    announce: Callable[[str], None] = lambda line: None,
) -> Template:
    """The template for `source`, built now if nobody has built it; with `fresh`, if that run has not built it.

    Raises what the source raises (SchemaError), and LockTimeout after BUILD_TIMEOUT behind another builder.
    """
    name = str(DatabaseName(Role.TEMPLATE, slug(project), fingerprint(server, source)))
    if server.has_template(name, run=fresh):
        return Template(name, built=False)
    with server.lock(f"template {name}", timeout=BUILD_TIMEOUT):
        if server.has_template(name, run=fresh):
            return Template(name, built=False)
        server.drop_template(name)
        announce(f"building the template from {source.description}")
        server.build_template(name, source.build, run=fresh)
    return Template(name, built=True)


def _framed(parts: Iterable[bytes]) -> Iterable[bytes]:
    """Each part with its length before it, so that moving a byte from one to the next changes the digest."""
    for part in parts:
        yield len(part).to_bytes(8, "big") + part
