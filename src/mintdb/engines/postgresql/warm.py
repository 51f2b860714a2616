"""Warm clones: copies of a template made before anybody asks, so that leasing one is a rename."""

from __future__ import annotations

from collections import Counter

from mintdb.core.names import DatabaseName, Role, find_role, new_token
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.maintenance import Maintenance

WARM = 1  # clones that the keeper holds ready for each template in use
CLAIM_TRIES = 3  # two processes may reach for the same warm clone; the slower tries the next


def stock(maintenance: Maintenance) -> None:
    """Make the warm clones that users have asked for (`want`), and drop those whose template is gone."""
    # Other roles' templates have keepers of their own: a clone belongs to whoever makes it.
    own = {name for (name,) in maintenance.rows("select datname from pg_database where datdba = current_user::regrole")}
    made = [m for m in databases.list_made(maintenance) if m.name in own]
    templates = {m.name for m in made if m.role is Role.TEMPLATE}
    warm = {m.name: template_of(m.name) for m in made if m.role is Role.WARM}
    for name in [name for name, template in warm.items() if template not in templates]:
        databases.drop(maintenance, name)
    # One look at all of them: a server that many projects share has hundreds, and this happens at every tick.
    wanted = Counter(dict(maintenance.rows("select name, (notes->>'warm')::int from databases where notes ? 'warm'")))
    for template in (wanted - Counter(warm.values())).elements():
        if template in templates:
            make(maintenance, template)


def make(maintenance: Maintenance, template: str) -> str:
    """Make one warm clone of a template."""
    parsed = find_role(template)
    assert parsed is not None, template
    strategy = databases.read_notes(maintenance, template).get("strategy")
    name = str(DatabaseName(Role.WARM, parsed.project, parsed.fingerprint, worker=new_token()))
    databases.create(maintenance, name, template=template, strategy=str(strategy) if strategy else None)
    return name


def take(maintenance: Maintenance, template: str, name: str, *, owner: str) -> None:
    """Make `name` a clone of `template`: a warm one if there is one, and the keeper is asked for the next."""
    if not claim(maintenance, template, name, owner=owner):
        strategy = databases.read_notes(maintenance, template).get("strategy")
        databases.create(
            maintenance, name, template=template, strategy=str(strategy) if strategy else None, owner=owner
        )
    databases.note(maintenance, template, warm=WARM)
    maintenance.run("notify mintdb_keeper")


def claim(maintenance: Maintenance, template: str, name: str, *, owner: str) -> bool:
    """Give `name` to a warm clone of `template`; False if there is none."""
    import psycopg

    for _ in range(CLAIM_TRIES):
        found = _warm_of(template, [m.name for m in databases.list_made(maintenance)])
        if not found:
            return False
        try:
            databases.rename(maintenance, found[0], name, owner=owner)
            return True
        except (psycopg.errors.InvalidCatalogName, psycopg.errors.ObjectInUse):
            continue
    return False


def template_of(name: str) -> str | None:
    """The template that a warm clone is a copy of; None where the name is of none."""
    parsed = find_role(name)
    is_warm = parsed is not None and parsed.role is Role.WARM
    return str(DatabaseName(Role.TEMPLATE, parsed.project, parsed.fingerprint)) if parsed and is_warm else None


def _warm_of(template: str, names: list[str]) -> list[str]:
    return [name for name in names if template_of(name) == template]
