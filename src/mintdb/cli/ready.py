"""Get a project's databases ready for a command, and leave them: dropped, or kept for later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mintdb.engines.errors import NameBusy
from mintdb.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from mintdb.mint import Mint

FIRST_WAIT = 0.5  # seconds for a name that another run holds, before anybody is told


def aliases(settings: Settings) -> Sequence[str]:
    """The configured databases; without settings there is the default one all the same."""
    return settings.leased or [DEFAULT]


def main_alias(settings: Settings) -> str:
    """The database that DATABASE_URL names: the default one, or else the first."""
    known = aliases(settings)
    return DEFAULT if DEFAULT in known else known[0]


def open_all(settings: Settings, announce: Callable[[str], None], *, worker: str = "") -> Mint:
    """Every configured database, ready. Where another run holds a fixed name, says so and waits. Raises MintdbError.

    They are the command's own, or those of one `worker` of it.
    """
    try:
        return _open_all(replace(settings, name_timeout=min(FIRST_WAIT, settings.name_timeout)), announce, worker)
    except NameBusy as busy:
        if settings.name_timeout <= FIRST_WAIT:
            raise
        announce(f"waiting up to {settings.name_timeout:g} s for database name {busy.name!r}{busy.holder}")
        return _open_all(settings, announce, worker)


def url_to_show(mint: Mint, alias: str) -> str:
    """The URL for a person. The password of a server of ours opens nothing but that server; others' are hidden."""
    address = mint.reserve(alias)
    return address.redacted if mint.settings.get_database(alias).url else address.url


def keep(mint: Mint, alias: str) -> str:
    """Let a database stay when this process ends; returns its URL for a person."""
    if mint.settings.get_database(alias).engine != "postgresql":
        return mint.open(alias).pool.home.keep().redacted
    _keep(mint, alias)
    return url_to_show(mint, alias)


def leave(mint: Mint, *, keep: bool = False) -> None:
    """Drop the databases, or let them stay: an embedded one until `mintdb down`, elsewhere until somebody drops it."""
    if not keep:
        mint.close()
        return
    for alias in aliases(mint.settings):
        mint.open(alias).server.close()


def _open_all(settings: Settings, announce: Callable[[str], None], worker: str) -> Mint:
    from mintdb.mint import MAIN, Mint  # half of what a command imports: `mintdb --help` can do without

    mint = Mint(settings, announce=announce, worker=worker or MAIN)
    try:
        for alias in aliases(settings):
            mint.open(alias)
    except BaseException:
        mint.close()
        raise
    return mint


def _keep(mint: Mint, alias: str) -> None:
    from mintdb.engines.postgresql import inventory

    address = mint.reserve(alias)
    if mint.settings.get_database(alias).url:
        inventory.give_away(address)
    elif running := inventory.find_by_port(address.port):
        inventory.keep(running, address.database)
