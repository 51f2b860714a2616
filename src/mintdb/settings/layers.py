"""Which layer a value is taken from, where several speak: the highest, but never a URL of one engine with another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from mintdb.address import find_engine, redact
from mintdb.facts import dataclass
from mintdb.settings.errors import EngineMismatch, MirrorHasMore, NotOfThisEngine
from mintdb.settings.expansion import find_expanded
from mintdb.settings.facts import DEFAULT_ENGINE, EMPTY, ENGINE_KEYS, MIRROR_KEYS, POSTGRESQL_KEYS


@dataclass(frozen=True)
class Layer:
    """Values that were given in one place; `origin` names it, and `origins` where each value has its own."""

    origin: str
    values: Mapping[str, Any]  # Any: as the user wrote them
    origins: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    def origin_of(self, key: str) -> str:
        """Where a value was given."""
        return self.origins.get(key, self.origin)


@dataclass(frozen=True)
class Given:
    """A value, as it was written, and where."""

    value: Any  # Any: see Layer
    origin: str


def merge(keys: Iterable[str], layers: Sequence[Layer]) -> dict[str, Given]:
    """Each key's value from the first of the layers that gives it."""
    found: dict[str, Given] = {}
    for layer in reversed(layers):
        found |= {key: Given(layer.values[key], layer.origin_of(key)) for key in keys if key in layer.values}
    return found


def merge_database(
    alias: str, keys: Iterable[str], layers: Sequence[Layer], environ: Mapping[str, str]
) -> dict[str, Given]:
    """As `merge`; what belongs to an engine is left behind by a layer above that names another one.

    A mirror counts as an engine here. The engine is always among what is found, or known from the URL that is.
    Raises EngineMismatch, MirrorHasMore and NotOfThisEngine.
    """
    kinds = _kinds(layers, environ)
    last = kinds[0] if kinds else DEFAULT_ENGINE
    kept = [_without_foreign(layer, kind, last) for layer, kind in zip(layers, kinds, strict=True)]
    found = merge(keys, kept)
    if isinstance(last, Mirror):
        _refuse_more(alias, last, found)
    else:
        found.setdefault("engine", Given(last, found["url"].origin if "url" in found else "default"))
        _refuse_useless(alias, last, found)
    return found


@dataclass(frozen=True)
class Mirror:
    """What takes an engine's place where a database is another one's mirror."""

    of: str


def _kinds(layers: Sequence[Layer], environ: Mapping[str, str]) -> list[str | Mirror]:
    """What engine each layer, with those below it, speaks of."""
    kinds: list[str | Mirror] = []
    for layer in reversed(layers):
        kinds.append(_kind(layer, environ) or (kinds[-1] if kinds else DEFAULT_ENGINE))
    return kinds[::-1]


def _kind(layer: Layer, environ: Mapping[str, str]) -> str | Mirror | None:
    values = layer.values
    if "mirror" in values:
        return Mirror(str(values["mirror"]))
    named, url = values.get("engine"), find_expanded(values.get("url"), environ)
    of_url = find_engine(url) if url else None
    if named and of_url and named != of_url:
        raise EngineMismatch(url=redact(str(url)), engine=of_url, named=named, where=layer.origin_of("url"))
    return named or of_url or (DEFAULT_ENGINE if "url" in values else None)


def _without_foreign(layer: Layer, kind: str | Mirror, last: str | Mirror) -> Layer:
    if kind == last:
        return layer
    foreign = {"engine", "mirror", *ENGINE_KEYS}
    if isinstance(last, Mirror):
        foreign = set(layer.values) - {"export"}
    kept = {key: value for key, value in layer.values.items() if key not in foreign}
    return Layer(layer.origin, kept, layer.origins)


def _refuse_useless(alias: str, engine: str, found: Mapping[str, Given]) -> None:
    for key in POSTGRESQL_KEYS if engine != DEFAULT_ENGINE else ():
        if key in found:
            raise NotOfThisEngine(setting=key, where=found[key].origin, engine=engine, alias=alias)


def _refuse_more(alias: str, mirror: Mirror, found: Mapping[str, Given]) -> None:
    for key, given in found.items():
        if key not in MIRROR_KEYS:
            raise MirrorHasMore(alias=alias, mirror=mirror.of, setting=key, where=given.origin)
