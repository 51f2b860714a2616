"""A cursor of an emulated account: what happens before, during and after a statement is what the real one does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

import sqlglot
from fakesnow.dialect import parse_one
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from mintdb import clock
from mintdb.engines.snowflake import lengths, rewrites, sequences, statements
from mintdb.engines.snowflake.duck import Column
from mintdb.engines.snowflake.naming import spelled
from mintdb.engines.snowflake.refusals import (
    closed_cursor,
    no_variable,
    not_emulated,
    nowhere_to_create,
    too_long,
    too_many_statements,
    translated,
)
from mintdb.engines.snowflake.results import ResultCursor
from mintdb.engines.snowflake.variables import inline

SUCCESS = "select 'Statement executed successfully.' as status"


class EmulatedCursor(ResultCursor):
    """It runs statements with the real one's behaviour around them."""

    # Statements

    def execute(
        self,
        command: str,
        params: Any = None,  # Any: what the application binds
        *positional: Any,
        num_statements: int | None = None,
        _describe_only: bool = False,
        **options: Any,
    ) -> Self | None:
        """Run a statement. Returns this cursor, or None for an empty text. Raises the connector's own errors."""
        if self.is_closed():
            raise closed_cursor()
        command = command.strip() if command else ""
        if not command:
            return None
        self.reset()
        with self._conn.account_of.statement(self._conn), translated():
            return self._run_all(self._texts(command, num_statements), params)

    def execute_async(self, command: str, params: Any = None, **options: Any) -> dict[str, Any]:  # Any: see execute
        """Run a statement; its result is there at once, for `get_results_from_sfqid`."""
        self.execute(command, params, **options)
        return {"queryId": self._sfqid}

    def executemany(self, command: str, seqparams: Any, **options: Any) -> Self:  # Any: see execute
        """Run a statement for each set of parameters; the rowcount of all is the last result's, as in the real one."""
        if isinstance(seqparams, dict):
            raise not_emulated("executemany with a dict", "it takes a sequence of parameters")
        total, all_counted = 0, bool(seqparams)
        for params in seqparams:
            self.execute(command, params, **options)
            total += self._rowcount or 0
        if all_counted:
            self._rowcount = total
        return self

    def describe(self, command: str, *args: Any, **options: Any) -> Any:  # Any: see description
        """The columns that a query would have; it is not run."""
        with self._conn.cursor() as other:
            query = command.rstrip("; ")
            other.execute(f"select * from ({query}\n) limit 0", *args, **options)  # noqa: S608  # the application's own
            return other.description

    _describe_internal = describe  # Snowpark's way to it

    def nextset(self) -> Self | None:
        """The result of the next statement, where several were run; None after the last."""
        if not self._waiting:
            return None
        with self._conn.account_of.statement(self._conn), translated():
            return self._run(self._waiting.pop(0), None)

    def abort_query(self, qid: str) -> bool:
        """No statement is still running when this can be asked."""
        return False

    def _texts(self, command: str, expected: int | None) -> list[str]:
        """The statements of a text. Raises what Snowflake says if there are more than were announced."""
        if ";" not in command.rstrip("; \n\t"):
            return [command]
        if refusal := statements.find_refusal(command):  # a script, which no parser here can read
            raise not_emulated(refusal.what, refusal.why)
        found = [part.sql(dialect="snowflake") for part in sqlglot.parse(command, read="snowflake") if part]
        wanted = 1 if expected is None else expected
        if wanted not in (0, len(found)):
            raise too_many_statements(len(found), wanted)
        return found if len(found) > 1 else [command]

    def _run_all(self, texts: list[str], params: Any) -> Self:  # Any: see execute
        first, *self._waiting = texts
        return self._run(first, params)

    def _run(self, command: str, params: Any) -> Self:  # Any: see execute
        self._query, self._sqlstate = command, None
        command = statements.of_snowpark(command)
        command = inline(command, self._conn.variables._variables, no_variable)
        command, params = self._bind(command, params)
        if refusal := statements.find_refusal(command):
            raise not_emulated(refusal.what, refusal.why)
        try:
            if not self._run_for_session(command):
                self._run_parsed(parse_one(command), params)
        except Exception as error:
            self._conn.account_of.has_failed = True
            self._sqlstate = getattr(error, "sqlstate", None)
            raise
        self._conn.last_sfqid = self._sfqid
        self._rows, self._rownumber = iter(self._as_rows()), -1
        return self

    def _bind(self, command: str, params: Any) -> tuple[str, Any]:  # Any: see execute
        """One value that stands alone is one parameter, not a sequence of letters."""
        if params is not None and not isinstance(params, Mapping | list | tuple):
            params = (params,)
        if params and not self._conn.is_pyformat and isinstance(params, Mapping):
            raise ProgrammingError(msg="Binding parameters must be a list", errno=252004)
        command, params = self._rewrite_with_params(command, params)
        return command, list(params) if isinstance(params, tuple) else params

    def _run_for_session(self, command: str) -> bool:
        """Set a session's parameter; False for any other statement."""
        found = statements.find_session_parameter(command)
        if found is None:
            return False
        name, value = found
        if refusal := statements.refuse_parameter(name, value):
            raise not_emulated(refusal.what, refusal.why)
        if name == "AUTOCOMMIT":
            self._conn.autocommit(value is None or value.lower() == "true")
        self._conn.parameters[name] = value
        self._execute(parse_one(SUCCESS), None)
        return True

    def _run_parsed(self, statement: Any, params: Any) -> None:  # Any: sqlglot is not checked
        if refusal := statements.find_refusal_in(statement):
            raise not_emulated(refusal.what, refusal.why)
        if statements.needs_schema(statement) and not self._conn.schema_set:
            raise nowhere_to_create(has_database=self._conn.database_set)
        if self._run_by_itself(statement):
            return
        lengths_to_write = list(lengths.follow(statement, self._conn.database, self._conn.schema))
        statement = rewrites.put_right(statement, self._session_facts())
        statement = sequences.qualified(statement, self._conn.database, self._conn.schema)
        self.check_db_and_schema(statement)
        self._remember_use(statement)
        with self._transaction(statement):
            parts = self._transform_explode(statement)
            for part in sequences.with_counting_columns(parts, self._conn.database, self._conn.schema):
                transformed = statements.with_plain_defaults(self._transform(part, params))
                if statements.is_dml(statement):  # a MERGE makes a table in between, whose facts nobody needs
                    for fact in ("text_lengths", "table_comment"):
                        transformed.args.pop(fact, None)
                self._execute(transformed, params if transformed.find(exp.Placeholder) else None)
                self._put(transformed)
            self._check_lengths(statement)
            for sql, place in lengths_to_write:
                self._duck_conn.execute(sql, place)

    def _run_by_itself(self, statement: Any) -> bool:  # Any: see _run_parsed
        """What fakesnow has no transformation for: SQL functions, and dropping a database."""
        kind = str(statement.args.get("kind", "")).upper()
        if isinstance(statement, exp.Create) and kind == "FUNCTION":
            self._create_function(statement)
        elif isinstance(statement, exp.Drop) and kind == "FUNCTION":
            name = _names(statement)[0]
            self._duck_conn.execute(f"drop macro {'if exists ' if statement.args.get('exists') else ''}{name}")
            self._say(f"{name} successfully dropped.")
        elif isinstance(statement, exp.Drop) and kind == "DATABASE":
            self._conn.account_of.drop_database(_names(statement)[0], missing_ok=bool(statement.args.get("exists")))
            self._say(f"{_names(statement)[0]} successfully dropped.")
        else:
            return False
        return True

    def _create_function(self, statement: Any) -> None:  # Any: see _run_parsed
        """A SQL function is a macro: Snowflake's, too, is an expression that stands for its call."""
        made = statement.this
        body = parse_one(f"select ({statement.expression.this})").expressions[0]
        body = self._transform(rewrites.put_right(body, self._session_facts()), None)
        returned = statement.find(exp.ReturnsProperty).this.sql(dialect="duckdb")
        name = made.this.sql(dialect="duckdb").upper()
        arguments = ", ".join(column.name.upper() for column in made.expressions)
        replaces = "or replace " if statement.args.get("replace") else ""
        expression = f"cast({body.sql(dialect='duckdb')} as {returned})"
        self._duck_conn.execute(f"create {replaces}macro {name}({arguments}) as {expression}")
        self._say(f"Function {name} successfully created.")

    def _say(self, status: str) -> None:
        self._execute(parse_one(f"select '{status}' as status"), None)

    def _session_facts(self) -> dict[str, str | None]:
        connection = self._conn
        return {
            "CURRENT_USER": connection.user or None,
            "CURRENT_ROLE": connection.role and connection.role.upper(),
            "CURRENT_WAREHOUSE": connection.warehouse and connection.warehouse.upper(),
            "CURRENT_ACCOUNT": connection.account.partition(".")[0].upper(),
            "CURRENT_ACCOUNT_NAME": connection.account.partition(".")[0].upper(),
            "CURRENT_REGION": connection.region,
            "CURRENT_SESSION": str(connection.session_id),
            "LAST_QUERY_ID": connection.last_sfqid,
        }

    def _remember_use(self, statement: Any) -> None:  # Any: see _run_parsed
        kind = str(statement.args.get("kind") or "").upper() if isinstance(statement, exp.Use) else ""
        if kind == "ROLE":
            self._conn.role = statement.this.name
        elif kind == "WAREHOUSE":
            self._conn.warehouse = statement.this.name

    # Transactions

    @contextmanager
    def _transaction(self, statement: Any) -> Iterator[None]:  # Any: see _run_parsed
        """DDL commits what is open; a DML statement is whole or nothing, and stays open where nothing commits."""
        connection = self._conn
        if statements.is_ddl(statement) and connection.in_transaction:
            self._end("commit")
        own = statements.is_dml(statement) and not connection.in_transaction
        if own:
            self._begin()
        try:
            yield
        except BaseException:
            if own:
                self._end("rollback")
            raise
        if isinstance(statement, exp.Transaction):
            connection.began = connection.began or clock.monotonic()
        elif isinstance(statement, exp.Commit | exp.Rollback):
            connection.account_of.has_failed |= isinstance(statement, exp.Rollback)
            connection.began, connection.has_written = None, False
        elif statements.is_dml(statement):
            connection.has_written = True
            if own and connection.commits_itself:
                self._end("commit")

    def _begin(self) -> None:
        self._duck_conn.execute("begin")
        self._conn.began = clock.monotonic()

    def _end(self, how: str) -> None:
        self._conn.began, self._conn.has_written = None, False
        with suppress(Exception) if how == "rollback" else translated():
            self._duck_conn.execute(how)

    def _check_lengths(self, statement: Any) -> None:  # Any: see _run_parsed
        """DuckDB keeps no VARCHAR's length: look for a text that is too long in what was just written."""
        table = statements.target_of(statement)
        if table is None:
            return
        catalog = (table.catalog or self._conn.database or "").upper()
        schema = (table.db or self._conn._schema or "").upper()
        name = table.name if table.this.args.get("quoted") else table.name.upper()
        self._conn.account_of.check_lengths(self._duck_conn, (catalog, schema, name), too_long)

    def _execute(self, transformed: Any, params: Any = None) -> None:  # Any: see _run_parsed
        super()._execute(transformed, params)
        self._columns = [Column(field.name, "") for field in self._arrow_table.schema]
        if len(described := self._duck_conn.columns()) == len(self._columns):
            self._columns = described

    def _put(self, transformed: Any) -> None:  # Any: see _run_parsed
        if (found := transformed.args.get("put_stage_data")) is not None:
            with self._duck_conn.reading_python_names():
                self._put_files(found)


def _names(statement: Any) -> list[str]:  # Any: see _run_parsed
    """The names of the objects that a DROP names, as Snowflake keeps them."""
    return [spelled(table.this) for table in statement.args.get("tables") or [statement.this]]
