"""A PostgreSQL server, embedded or external, on which mintdb keeps templates and clones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from mintdb.address import Address
from mintdb.core.names import DatabaseName, Role, find_role
from mintdb.engines.postgresql import databases, sessions, strategies
from mintdb.engines.postgresql.clone import PostgresClone, Stay
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.errors import DatabaseNotOurs, LockTimeout, NameBusy
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.variables import unmisled

OWN_CONNECTIONS = 3  # of each process: maintenance, the clone's own session, its reference


class PostgresServer:
    """This process's stay on a server. It fulfils contract.Server."""

    engine = "postgresql"
    own_connections = OWN_CONNECTIONS
    can_be_adopted = True

    def __init__(
        self,
        maintenance: Maintenance,
        *,
        address: Callable[[str], Address],
        login: Callable[[str], Address] | None = None,
        settings_identity: Iterable[str] = (),
        let_go: Callable[[str], object] = lambda database: None,
        pin: Callable[[], None] | None = None,
        take_settings: Callable[[], Mapping[str, str]] = dict,
        watch: Callable[[], Sequence[str]] = tuple,
        look_over: Callable[[str], None] = lambda building: None,
        before_leaving: Callable[[], None] = lambda: None,
        is_ours: bool = False,
    ) -> None:
        """`address` is a database as tests reach it, `login` as who builds a template does (default: the same).

        `take_settings` returns what a schema has told the login itself, which is then told so no more; `watch` what has
        changed around all databases since it was asked before. `look_over` raises for what must not be in a template,
        before it is sealed.
        """
        self._maintenance = maintenance
        self._login = login or address
        self._take_settings = take_settings
        self._look_over = look_over
        self._before_leaving = before_leaving
        self._settings_identity = tuple(settings_identity)
        self._is_ours = is_ours
        self._pin = pin
        self._stay = Stay(
            maintenance=maintenance,
            owner=maintenance.owner,
            address=address,
            own_address=maintenance.address.with_database,
            keep=self._keep,
            let_go=let_go,
            watch=watch,
        )

    @property
    def version(self) -> str:
        """As the server says it: "18.6"."""
        return str(self._maintenance.version).split()[0]

    @property
    def own_url(self) -> str:
        """As mintdb itself reaches the server."""
        return self._maintenance.address.url

    @property
    def identity(self) -> Iterable[bytes]:
        """What decides a template's content: major version, locale, who owns its tables, the user's settings."""
        found = self._maintenance.row(
            "select datcollate, datctype, current_user::text from pg_database where datname = 'template0'"
        )
        parts = [str(self._maintenance.version_number // 10000), *found, *self._settings_identity]
        return [part.encode() for part in parts]

    @property
    def connections_allowed(self) -> int | None:
        """See contract.Server. An embedded server allows far more than any suite opens."""
        if self._is_ours:
            return None
        (allowed,) = self._maintenance.row(
            "select sum(case name when 'max_connections' then setting::int else -setting::int end) from pg_settings"
            " where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        return max(1, int(allowed) - OWN_CONNECTIONS)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """See contract.Server."""
        return self._maintenance.lock(name, timeout=timeout)

    def has_template(self, name: str, *, run: str = "") -> bool:
        """See contract.Server."""
        if not databases.is_sealed(self._maintenance, name):
            return False
        return not run or databases.read_notes(self._maintenance, name).get("run") == run

    def hold_name(self, name: str, *, timeout: float) -> None:
        """See contract.Server."""
        try:
            self._maintenance.acquire(f"name {name}", timeout=timeout)
        except LockTimeout as error:
            raise NameBusy(name=name, seconds=timeout, holder=error.holder) from None
        if not databases.exists(self._maintenance, name):
            return
        if not databases.is_ours(self._maintenance, name):
            raise DatabaseNotOurs(name=name, url=self._maintenance.url)
        databases.drop(self._maintenance, name)

    def build_template(self, name: str, build: Callable[[Address], None], *, run: str = "", base: str = "") -> None:
        """See contract.Server. What `build` raises is passed on."""
        parsed = find_role(name)
        assert parsed is not None, name
        owner = self._maintenance.owner
        building = str(DatabaseName(Role.BUILDING, parsed.project, parsed.fingerprint, owner=owner))
        databases.create(self._maintenance, building, template=base or "template0", owner=owner)
        try:
            if base:
                databases.tell(self._maintenance, building, databases.read_told(self._maintenance, base))
            with unmisled(embedded=self._is_ours):  # what a template holds is for everybody
                build(self._login(building))
            told = databases.find_settings(self._maintenance, building, of_login=self._take_settings())
            self._look_over(building)
            self._finish(building)
            databases.rename(self._maintenance, building, name)
        except BaseException:
            databases.drop(self._maintenance, building)
            raise
        strategy = strategies.choose_strategy(self._maintenance, name, owner)
        databases.note(self._maintenance, name, strategy=strategy, run=run, told=told)

    def drop_template(self, name: str) -> None:
        """See contract.Server. Its warm clones go with it."""
        databases.drop_template(self._maintenance, name)

    def clone(self, template: str, name: str) -> PostgresClone:
        """See contract.Server."""
        return PostgresClone(self._stay, template, name)

    def adopt(self, name: str) -> PostgresClone:
        """See contract.Server."""
        return PostgresClone(self._stay, None, name)

    def reap(self) -> Sequence[str]:
        """See contract.Server."""
        return databases.reap(self._maintenance)

    def close(self) -> None:
        """See contract.Server."""
        try:
            self._before_leaving()
        finally:
            self._maintenance.close()

    def _keep(self, name: str) -> None:
        """An embedded server stays for it, until `mintdb down`; elsewhere it is the user's from now on."""
        if self._pin is not None:
            self._pin()
        else:
            databases.forget(self._maintenance, name)

    def _finish(self, building: str) -> None:
        """Statistics and hint bits now, so that no clone writes them later; then nobody connects any more."""
        with connect(self._stay.own_address(building)) as session:
            databases.analyze(session)
            session.execute("vacuum (freeze)")  # last: statistics are rows, too
        databases.seal(self._maintenance, building)
        left = sessions.glance(self._maintenance, building).backends
        sessions.end(self._maintenance, building, left)
