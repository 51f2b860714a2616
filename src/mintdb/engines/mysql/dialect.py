"""What MariaDB and MySQL say differently, in one place: whoever talks to a server asks its dialect."""

from __future__ import annotations

import re

from mintdb.facts import dataclass

MARKED_SINCE = (10, 5)  # MariaDB's version of CREATE DATABASE … COMMENT
CASCADES_SINCE = (9, 6)  # MySQL's version in which the server, no longer InnoDB, follows foreign keys, and logs it
OLDEST_MARIADB, OLDEST_MYSQL = (10, 6), (8, 0)

# What a put-back needs, and what nothing that mintdb does must depend on. The others as far as a server knows them.
SETTINGS = (
    "foreign_key_checks = 0, group_concat_max_len = 16777216, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'"
)
OF_BOTH = ("sql_log_bin = 0",)
OF_MARIADB = (
    "check_constraint_checks = 0",
    "system_versioning_alter_history = 'KEEP'",
    "system_versioning_insert_history = 1",
)
OF_MYSQL = (
    "information_schema_stats_expiry = 0",  # else AUTO_INCREMENT is told as it was up to a day ago
    "show_gipk_in_create_table_and_information_schema = on",  # a primary key that the server made has its values, too
    "sql_generate_invisible_primary_key = 0",
    "sql_require_primary_key = 0",
    "restrict_fk_on_non_standard_key = 0",
)


@dataclass(frozen=True)
class Dialect:
    """One server's product and version, and what follows from them."""

    is_mariadb: bool
    version: str

    @property
    def number(self) -> tuple[int, ...]:
        """The version's first two numbers."""
        return tuple(map(int, self.version.split(".")[:2]))

    @property
    def product(self) -> str:
        """As people say it: "MariaDB 10.11.19"."""
        return f"{'MariaDB' if self.is_mariadb else 'MySQL'} {self.version}"

    @property
    def is_too_old(self) -> bool:
        return self.number < (OLDEST_MARIADB if self.is_mariadb else OLDEST_MYSQL)

    @property
    def can_mark(self) -> bool:
        """Whether a database can have a comment."""
        return self.is_mariadb and self.number >= MARKED_SINCE

    @property
    def tells_what_changed(self) -> bool:
        """Whether a server of ours tells every table that was written to, also by a foreign key's action alone."""
        return self.is_mariadb or self.number >= CASCADES_SINCE

    @property
    def settings(self) -> tuple[str, ...]:
        """What a session that puts back is set to besides SETTINGS, where its server and its account allow it."""
        return (*OF_BOTH, *(OF_MARIADB if self.is_mariadb else OF_MYSQL))

    @property
    def kill(self) -> str:
        """Ends a session, with its number behind it."""
        return "kill hard connection" if self.is_mariadb else "kill connection"

    @property
    def recover(self) -> str:
        """Lists prepared transactions. MySQL would else call any bytes UTF-8."""
        return "xa recover" if self.is_mariadb else "xa recover convert xid"


def dialect_of(greeting: str) -> Dialect:
    """Of the version in a server's greeting: MariaDB before 11 says that it is 5.5.5, and then what it is."""
    version = greeting.removeprefix("5.5.5-")
    digits = re.match(r"[\d.]+", version)
    return Dialect("mariadb" in version.lower(), digits[0] if digits else "0.0")
