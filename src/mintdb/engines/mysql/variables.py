"""Give the next run the global variables that an embedded server was started with, whatever the last one has set.

No log has them. The server notes them for itself at its start, before it lets anybody in.
"""

from __future__ import annotations

from contextlib import suppress

import pymysql

from mintdb.engines.mysql.maintenance import DATABASE, Maintenance, lock_key
from mintdb.engines.mysql.session import literal, name

NOTED = f"{name(DATABASE)}.`variables`"
OF_MARIADB = "select variable_name, global_value as noted from information_schema.system_variables"
OF_MYSQL = "select variable_name, variable_value as noted from performance_schema.global_variables"
NOTE = f"""\
create database if not exists {name(DATABASE)};
drop table if exists {NOTED};
create table {NOTED} as {{variables}};
"""
OTHERS = """
select 1 from information_schema.processlist
where command <> 'Daemon' and id <> connection_id() and id <> coalesce(is_used_lock({keeper}), 0) limit 1
"""
# Only what a statement has set: some move by themselves, as the place in a log does.
SET_IN_MARIADB = f"""
select n.variable_name, n.noted from information_schema.system_variables v join {NOTED} n
on n.variable_name = v.variable_name
where v.global_value_origin = 'SQL' and not binary v.global_value <=> binary n.noted
"""
SET_IN_MYSQL = f"""
select n.variable_name, n.noted from performance_schema.variables_info i
join performance_schema.global_variables v on v.variable_name = i.variable_name
join {NOTED} n on binary n.variable_name = binary v.variable_name
where i.variable_source = 'DYNAMIC' and not binary v.variable_value <=> binary n.noted
"""


def note(*, is_mariadb: bool) -> str:
    """Statements for a server that starts, one a line."""
    return NOTE.format(variables=OF_MARIADB if is_mariadb else OF_MYSQL)


def put_back(maintenance: Maintenance, *, keeper: str) -> None:
    """Set them to what the server was started with, unless others than its keeper, which has that lock, are there.

    What they set while they run is theirs to use.
    """
    if maintenance.rows(OTHERS.format(keeper=literal(lock_key(keeper)))):
        return
    with suppress(pymysql.ProgrammingError):  # a server that an older version started has noted nothing
        for variable, noted in maintenance.rows(SET_IN_MARIADB if maintenance.dialect.is_mariadb else SET_IN_MYSQL):
            value = "default" if noted is None else literal(noted)
            # Numbers are refused as texts, and texts as numbers.
            _ = maintenance.session.try_run(f"set global {variable} = {value}") or maintenance.session.try_run(
                f"set global {variable} = {noted}"
            )
