"""On an embedded server mintdb itself depends on nothing that a test or a schema can do to the login that all share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import LiteralString

from mintdb.address import Address
from mintdb.engines.postgresql.cluster import SUPERUSER
from mintdb.engines.postgresql.connecting import OWN_ROLE
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.roles import begun

# What a session begins with outranks what a role, a database or the server has been told since.
BEGINNING = {"role": SUPERUSER, "statement_timeout": "0", "default_transaction_read_only": "off"}
# The role of mintdb's own was made with the same attributes and the same password, which md5 mixes with the name. By
# `alter role` a login that ends some day could not become one again that does not end.
PUT_BACK: LiteralString = """
update pg_authid login
   set rolname = %(login)s, rolsuper = own.rolsuper, rolinherit = own.rolinherit, rolcreaterole = own.rolcreaterole,
       rolcreatedb = own.rolcreatedb, rolcanlogin = own.rolcanlogin, rolreplication = own.rolreplication,
       rolbypassrls = own.rolbypassrls, rolconnlimit = own.rolconnlimit, rolvaliduntil = own.rolvaliduntil,
       rolpassword = own.hash
  from (select *, case when rolpassword like 'md5%%' then 'md5' || md5(%(password)s || %(login)s) else rolpassword end
               as hash from pg_authid where rolname = %(own)s) own
 where login.oid = 10
   and (login.rolname, login.rolsuper, login.rolinherit, login.rolcreaterole, login.rolcreatedb, login.rolcanlogin,
        login.rolreplication, login.rolbypassrls, login.rolconnlimit, login.rolvaliduntil, login.rolpassword)
       is distinct from
       (%(login)s::name, own.rolsuper, own.rolinherit, own.rolcreaterole, own.rolcreatedb, own.rolcanlogin,
        own.rolreplication, own.rolbypassrls, own.rolconnlimit, own.rolvaliduntil, own.hash)
"""
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
        facts = {"login": SUPERUSER, "own": OWN_ROLE, "password": password}
        maintenance.connection.execute(PUT_BACK, facts, prepare=False)


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
