"""Build a template anew and compare it with the one that is there: a cached template can hide a broken migration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import unified_diff
from types import MappingProxyType

from mintdb.core.names import DatabaseName, Role, new_token, slug
from mintdb.core.templates import Templates
from mintdb.engines import get_engine
from mintdb.facts import dataclass
from mintdb.mint import Mint
from mintdb.schemas import get_layers
from mintdb.settings import Settings

CONTEXT = 2  # lines around a difference


@dataclass(frozen=True)
class Verification:
    """What became of one template."""

    name: str
    was_cached: bool  # False: it was built just now, so there was nothing to compare
    differences: Sequence[str] = ()  # a unified diff of what the two hold

    @property
    def is_sound(self) -> bool:
        """Whether the cached template is what would be built today."""
        return not self.differences


def settings_to_verify(settings: Settings) -> Settings:
    """The same for who looks at templates: with all rights, and each database once."""
    plain = {alias: replace(settings.get_database(alias), role=None, search_path=None) for alias in settings.leased}
    return replace(settings, databases=MappingProxyType(plain))


def verify(mint: Mint, alias: str, *, announce: Callable[[str], None] = lambda line: None) -> Verification:
    """Compare a database's template with one that is built now, of `settings_to_verify`. Nothing of that one stays.

    Raises what building raises: SchemaError, above all.
    """
    opened, settings = mint.open(alias), mint.settings
    if opened.template.built:
        return Verification(opened.template.name, was_cached=False)
    database = settings.get_database(alias)
    layers = get_layers(database, root=settings.root_of(database))
    anew = Templates(opened.server, f"verify{new_token()}", settings.env, "", announce)
    try:
        there = _dump(mint, alias, opened.template.name)
        now = _dump(mint, alias, anew.get(layers).name)
    finally:
        for height in range(len(layers), 0, -1):
            opened.server.drop_template(anew.name(layers[:height]))
    return Verification(
        opened.template.name,
        was_cached=True,
        differences=list(unified_diff(there, now, "as it is cached", "as it is built now", n=CONTEXT, lineterm="")),
    )


def _dump(mint: Mint, alias: str, template: str) -> Sequence[str]:
    """What a template holds, seen in a clone of it: nobody may connect to the template itself."""
    name = DatabaseName(Role.CLONE, slug(mint.settings.project), owner=mint.owner, worker="verify")
    clone = mint.open(alias).server.clone(template, str(name))
    try:
        return get_engine(mint.settings.get_database(alias).engine).dump(clone.address)
    finally:
        clone.drop()
