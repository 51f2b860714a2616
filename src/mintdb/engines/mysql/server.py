"""A MariaDB or MySQL server, embedded or external, on which mintdb keeps templates and clones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from mintdb.address import Address
from mintdb.engines.mysql import databases, sessions
from mintdb.engines.mysql.clone import MysqlClone, Stay
from mintdb.engines.mysql.errors import DatabaseNotOurs, LockTimeout, LoggingForbids, NameBusy
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.schema import find_refusal, read_schema
from mintdb.engines.mysql.sequences import exact_sequences
from mintdb.engines.mysql.session import Session

OWN_CONNECTIONS = 2  # of each process: maintenance, the clone's own session


class MysqlServer:
    """This process's stay on a server. It fulfils contract.Server."""

    engine = "mysql"

    def __init__(
        self,
        maintenance: Maintenance,
        *,
        address: Callable[[str], Address],
        let_go: Callable[[str], object] = lambda database: None,
        settings_identity: Iterable[str] = (),
        log: Path | None = None,
        before_leaving: Callable[[], None] = lambda: None,
    ) -> None:
        """`log` is what the binary log's files are called, of a server that is ours."""
        self._maintenance = maintenance
        self._settings_identity = tuple(settings_identity)
        self._before_leaving = before_leaving
        self._is_ours = log is not None
        self._stay = Stay(
            maintenance=maintenance,
            who=sessions.find_who(maintenance),
            address=address,
            log=log if maintenance.dialect.tells_what_changed else None,
            is_ours=self._is_ours,
            let_go=let_go,
        )

    @property
    def version(self) -> str:
        """As people say it: "MariaDB 10.11.19"."""
        return self._maintenance.dialect.product

    @property
    def own_url(self) -> str:
        """As mintdb itself reaches the server."""
        return self._maintenance.address.url

    @property
    def identity(self) -> Iterable[bytes]:
        """What decides a template's content: product and version, character set, names, time zone, who owns it."""
        found = self._maintenance.session.row(
            "select @@character_set_server, @@collation_server, @@lower_case_table_names, @@global.sql_mode,"
            " @@global.time_zone, @@default_storage_engine, current_user()"
        )
        dialect = self._maintenance.dialect
        version = f"{dialect.product.split()[0]} {dialect.number}"
        return [part.encode() for part in (version, *map(str, found), *self._settings_identity)]

    own_connections = OWN_CONNECTIONS
    can_be_adopted = True

    @property
    def connections_allowed(self) -> int | None:
        """See contract.Server. An embedded server allows far more than any suite opens."""
        if self._is_ours:
            return None
        allowed, own = self._maintenance.session.row("select @@max_connections, @@max_user_connections")
        return max(1, min(int(allowed), int(own) or int(allowed)) - OWN_CONNECTIONS)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """See contract.Server."""
        return self._maintenance.lock(name, timeout=timeout)

    def has_template(self, name: str, *, run: str = "") -> bool:
        """See contract.Server."""
        found = databases.find_template(self._maintenance, name)
        return found is not None and (not run or found.run == run)

    def build_template(self, name: str, build: Callable[[Address], None], *, run: str = "", base: str = "") -> None:
        """See contract.Server. What `build` raises is passed on."""
        databases.create(self._maintenance, name)
        try:
            if base:
                with self._at_work() as work:
                    databases.pour(self._maintenance, work, base, name)
            self._run(build, name)
            self._finish(name)
            databases.seal(self._maintenance, name, run=run)
        except BaseException:
            databases.drop(self._maintenance, name)
            raise

    def _run(self, build: Callable[[Address], None], name: str) -> None:
        try:
            build(self._stay.address(name))
        except Exception as error:
            if (reason := find_refusal(error)) is None:
                raise
            raise LoggingForbids(url=self._maintenance.url, reason=reason) from None

    def hold_name(self, name: str, *, timeout: float) -> None:
        """See contract.Server."""
        try:
            self._maintenance.acquire(f"name {name.lower()}", timeout=timeout)
        except LockTimeout as error:
            raise NameBusy(name=name, seconds=timeout, holder=error.holder) from None
        if not databases.exists(self._maintenance, name):
            return
        if not databases.is_ours(self._maintenance, name):
            raise DatabaseNotOurs(name=name, url=self._maintenance.url)
        databases.drop(self._maintenance, name)

    def drop_template(self, name: str) -> None:
        """See contract.Server."""
        if databases.is_ours(self._maintenance, name):
            databases.drop(self._maintenance, name)

    def clone(self, template: str, name: str) -> MysqlClone:
        """See contract.Server."""
        databases.note_use(self._maintenance, template)
        return MysqlClone(self._stay, template, name)

    def adopt(self, name: str) -> MysqlClone:
        """See contract.Server."""
        return MysqlClone(self._stay, None, name)

    def reap(self) -> Sequence[str]:
        """See contract.Server."""
        return databases.reap(self._maintenance)

    def close(self) -> None:
        """See contract.Server."""
        try:
            self._before_leaving()
        finally:
            self._maintenance.close()

    def _finish(self, template: str) -> None:
        """End who is still connected, and let sequences stand where a clone's will."""
        sessions.end(self._maintenance, sessions.all_of(self._stay.who.find(template)))
        with self._at_work() as work:
            exact_sequences(work, template, read_schema(work, template).sequences)

    @contextmanager
    def _at_work(self) -> Iterator[Session]:
        """A session that puts rows and definitions as they are."""
        work = Session(self._maintenance.address)
        try:
            work.prepare()
            yield work
        finally:
            work.close()
