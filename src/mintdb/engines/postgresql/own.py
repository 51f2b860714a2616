"""On an embedded server mintdb itself depends on nothing that a test or a schema can do to the login that all share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import LiteralString

from mintdb.address import Address
from mintdb.engines.postgresql.cluster import SUPERUSER
from mintdb.engines.postgresql.maintenance import OWN_ROLE, Maintenance
from mintdb.engines.postgresql.roles import begun

# What a session begins with outranks what a role, a database or the server has been told since.
BEGINNING = {"role": SUPERUSER, "statement_timeout": "0", "default_transaction_read_only": "off"}
ATTRIBUTES: LiteralString = """
    rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
    coalesce(rolvaliduntil, 'infinity')
"""
# The role of mintdb's own was made with the same attributes and the same password, which md5 mixes with the name.
DRIFTED: LiteralString = f"""
select (select ({ATTRIBUTES}) from pg_authid where oid = 10)
       is distinct from (select ({ATTRIBUTES.replace("rolname", "%s::name")}) from pg_authid where rolname = %s)
    or (select rolpassword from pg_authid where oid = 10) is distinct from (
        select case when rolpassword like 'md5%%' then 'md5' || md5(%s || %s::text) else rolpassword end
          from pg_authid where rolname = %s)
"""  # noqa: S608  # attributes that stand above
SETTINGS: LiteralString = """
select unnest(setconfig) from pg_db_role_setting where setdatabase = 0 and setrole in (0, 10)
 order by setrole
"""


def own_address(sockets: str, port: int, password: str, database: str = "postgres") -> Address:
    """Where mintdb itself connects: as a role of its own, which then acts as the login that tests have."""
    return begun(Address("postgresql", database, sockets, port, OWN_ROLE, password), BEGINNING)


def mend(maintenance: Maintenance, *, password: str) -> None:
    """Put the shared login back as initdb made it: its settings, password and attributes are everybody's."""
    with _unrestricted(maintenance):
        _forget_settings(maintenance)
        if maintenance.row(DRIFTED, SUPERUSER, OWN_ROLE, password, SUPERUSER, OWN_ROLE)[0]:
            _make_anew(maintenance, password)


def take_settings(maintenance: Maintenance) -> Mapping[str, str]:
    """What a schema has told the shared login, or every role, until now; from now on they have been told nothing."""
    with _unrestricted(maintenance):
        return _forget_settings(maintenance)


@contextmanager
def _unrestricted(maintenance: Maintenance) -> Iterator[None]:
    """As the role of our own: the shared login may have lost the right to give itself anything back."""
    maintenance.run("set role none")
    try:
        yield
    finally:
        maintenance.run("reset role")


def _forget_settings(maintenance: Maintenance) -> Mapping[str, str]:
    told = dict(setting.split("=", 1) for (setting,) in maintenance.rows(SETTINGS))
    if told:
        maintenance.run("alter role postgres reset all")
        maintenance.run("alter role all reset all")
    return told


def _make_anew(maintenance: Maintenance, password: str) -> None:
    from psycopg import sql

    (hashed,) = maintenance.row("select rolpassword from pg_authid where rolname = %s", OWN_ROLE)
    statement = sql.SQL(
        "alter role {} with superuser inherit createrole createdb login replication bypassrls"
        " connection limit -1 valid until 'infinity' password {}"
    )
    again = password if hashed.startswith("md5") else hashed
    maintenance.connection.execute(statement.format(sql.Identifier(SUPERUSER), sql.Literal(again)), prepare=False)
