"""Which statements are refused by name, and what kind of statement one is: decided on its words or when it is parsed.

A statement that fakesnow would answer wrongly and silently is refused here, or put right by `rewrites`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from mintdb.engines.snowflake import rewrites
from mintdb.facts import dataclass

# The kinds of object that CREATE, ALTER, DROP, DESCRIBE and SHOW may name, and that no emulation here has.
ABSENT = {
    "task": "tasks do not run",
    "stream": "changes are not tracked",
    "procedure": "there is no interpreter for Snowflake Scripting or any other language",
    "dynamic table": "nothing refreshes it: it would stay as it was made",
    "pipe": "nothing loads files by itself",
    "role": "there are no privileges",
    "user": "there is nobody to log in",
    "warehouse": "nothing is computed elsewhere",
    "masking policy": "values are not masked",
    "row access policy": "rows are not hidden",
    "network policy": "there is no network",
    "resource monitor": "nothing is metered",
    "tag": "tags are not kept",
    "external table": "there is no cloud storage",
    "external function": "there is no network",
    "integration": "there is no network",
    "share": "there is one account",
    "materialized view": "nothing refreshes it: it would stay as it was made",
    "event table": "events are not collected",
    "alert": "alerts do not run",
    "secret": "secrets are not kept",
}
MODIFIERS = r"(?:(?:or\s+replace|secure|transient|temporary|temp|local|global|volatile|if\s+not\s+exists)\s+)*"
NAMES_KIND = re.compile(
    rf"^\s*(create|alter|drop|undrop)\s+{MODIFIERS}({'|'.join(ABSENT).replace(' ', '[ ]+')})\b",
    re.IGNORECASE,
)
FIRST_WORDS: Mapping[str, tuple[str, str]] = {
    "grant": ("GRANT", ABSENT["role"]),
    "revoke": ("REVOKE", ABSENT["role"]),
    "call": ("CALL", ABSENT["procedure"]),
    "declare": ("Snowflake Scripting", ABSENT["procedure"]),
    "undrop": ("UNDROP", "what was dropped is gone: there is no time travel"),
    "explain": ("EXPLAIN", "the plan would be DuckDB's"),
    "get": ("GET", "files of a stage are not copied out"),
    "remove": ("REMOVE", "files of a stage are not removed one by one"),
    "rm": ("REMOVE", "files of a stage are not removed one by one"),
}
# DuckDB's own, which Snowflake would not understand.
OF_DUCKDB = ("attach", "checkpoint", "detach", "export", "import", "install", "load", "pragma", "vacuum")
IN_THE_CLOUD = re.compile(
    rf"^(copy|create\s+{MODIFIERS}stage)\b.*?'(s3\w*|gcs|azure|https?)://", re.IGNORECASE | re.DOTALL
)
UNLOADS = re.compile(r"^copy\s+into\s+@", re.IGNORECASE)
EXECUTE = re.compile(r"^\s*execute\s+(immediate|task|alert|managed\s+task)\b", re.IGNORECASE)
SCRIPT = re.compile(r"^\s*begin\b(?!\s*(;|$|work\b|transaction\b|name\b))", re.IGNORECASE)
SHOWN = re.compile(
    r"^\s*show\s+(?:terse\s+)?(grants|roles|tasks|streams|procedures|pipes|shares|tags)\b", re.IGNORECASE
)
LANGUAGE = re.compile(r"\blanguage\s+(?!sql\b)(\w+)", re.IGNORECASE)
COMMENT = re.compile(r"^(?:\s+|--[^\n]*\n|//[^\n]*\n|/\*.*?\*/)+", re.DOTALL)
SCOPED = re.compile(r"^(\s*create\s+(?:or\s+replace\s+)?)scoped\s+temporary\s+", re.IGNORECASE)
CANCEL = re.compile(r"^\s*select\s+system\$cancel_all_queries\(", re.IGNORECASE)  # when its session is closed
NOTHING_RUNS = "select '0 queries cancelled.' as status"
# Parameters of a session that change no result here.
HARMLESS_PARAMETERS = ("AUTOCOMMIT", "QUERY_TAG", "STATEMENT_TIMEOUT_IN_SECONDS", "LOCK_TIMEOUT", "USE_CACHED_RESULT",
                       "QUOTED_IDENTIFIERS_IGNORE_CASE", "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS", "ABORT_DETACHED_QUERY",
                       "MULTI_STATEMENT_COUNT")  # fmt: skip
SET_PARAMETER = re.compile(
    r"^\s*alter\s+session\s+(set|unset)\s+(\w+)\s*(?:=\s*(.+?))?\s*;?\s*$", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Refusal:
    """What is refused, and why."""

    what: str
    why: str


def find_refusal(sql: str) -> Refusal | None:
    """Why a statement is refused, by its words alone; None if it is not."""
    text = COMMENT.sub("", sql)
    word = re.match(r"\w*", text)
    if found := NAMES_KIND.match(text):
        kind = " ".join(found[2].lower().split())
        return Refusal(f"{found[1].upper()} {kind.upper()}", ABSENT[kind])
    if word and word[0].lower() in FIRST_WORDS:
        return Refusal(*FIRST_WORDS[word[0].lower()])
    if word and word[0].lower() in OF_DUCKDB:
        return Refusal(word[0].upper(), "Snowflake has no such statement")
    if found := IN_THE_CLOUD.match(text):
        return Refusal(f"files at {found[2].lower()}://", ABSENT["external table"])
    if UNLOADS.match(text):
        return Refusal("COPY INTO a stage", "files are only read")
    if found := EXECUTE.match(text):
        return Refusal(f"EXECUTE {found[1].upper()}", ABSENT["procedure"])
    if SCRIPT.match(text):
        return Refusal("Snowflake Scripting", ABSENT["procedure"])
    if found := SHOWN.match(text):
        return Refusal(f"SHOW {found[1].upper()}", "there is nothing to show")
    return None


def of_snowpark(sql: str) -> str:
    """What Snowpark sends for itself, as others would send it; any other statement as it is."""
    sql = SCOPED.sub(r"\1", sql)  # an ordinary table, under a name of Snowpark's own, goes when a test ends
    return NOTHING_RUNS if CANCEL.match(sql) else sql


def find_session_parameter(sql: str) -> tuple[str, str | None] | None:
    """The parameter that an ALTER SESSION sets, and its value; None for another statement."""
    found = SET_PARAMETER.match(COMMENT.sub("", sql))
    if found is None:
        return None
    return found[2].upper(), None if found[1].lower() == "unset" else (found[3] or "").strip("'\" ")


def refuse_parameter(name: str, value: str | None) -> Refusal | None:
    """Why a session parameter is refused; None if it changes nothing that the emulation does."""
    if name in HARMLESS_PARAMETERS or name.startswith("CLIENT_") or value is None:
        return None
    if name == "TIMEZONE" and value.upper() in ("UTC", "ETC/UTC"):
        return None
    return Refusal(f"ALTER SESSION SET {name}", "results would not change with it")


def find_refusal_in(statement: Any) -> Refusal | None:  # Any: sqlglot is not checked
    """Why a parsed statement is refused; None if it is not."""
    if isinstance(statement, exp.Create) and str(statement.args.get("kind")).upper() == "FUNCTION":
        return _refuse_function(statement)
    if isinstance(statement, exp.Create) and statement.args.get("clone") and statement.kind in ("DATABASE", "SCHEMA"):
        return Refusal(f"CREATE {statement.kind} … CLONE", "only tables are copied")
    if any(table.args.get("when") for table in statement.find_all(exp.Table)):
        return Refusal("time travel (AT, BEFORE)", "the past is not kept")
    if (unknown := rewrites.find_unknown_format(statement)) is not None:
        return Refusal(f"TO_CHAR with the format {unknown}", "DuckDB has no such format")
    if _scans_within(statement):
        return Refusal("RESULT_SCAN within another query", "only select … from table(result_scan(…)) is answered")
    if isinstance(statement, exp.Create) and statement.find(exp.DynamicProperty):
        return Refusal("CREATE DYNAMIC TABLE", ABSENT["dynamic table"])
    return None


def _scans_within(statement: Any) -> bool:  # Any: see find_refusal_in
    scans = [call for call in statement.find_all(exp.Anonymous) if call.name.upper() == "RESULT_SCAN"]
    return any(call.find_ancestor(exp.Select) is not statement for call in scans)


def _refuse_function(statement: Any) -> Refusal | None:  # Any: see find_refusal_in
    language = LANGUAGE.search(statement.sql(dialect="snowflake"))
    if language:
        return Refusal(f"a {language[1].upper()} function", ABSENT["procedure"])
    returned = statement.find(exp.ReturnsProperty)
    if returned is None or returned.args.get("is_table"):
        return Refusal("a function that returns a table", "only functions that return one value are emulated")
    return None


def with_plain_defaults(transformed: Any) -> Any:  # Any: see find_refusal_in
    """What fakesnow has made of a statement; it gives `default s.nextval` the name of a column of a query."""
    for default in transformed.find_all(exp.DefaultColumnConstraint):
        if isinstance(default.this, exp.Alias):
            default.set("this", default.this.this)
    return transformed


def is_ddl(statement: Any) -> bool:  # Any: see find_refusal_in
    """Whether Snowflake commits an open transaction before it."""
    return isinstance(statement, exp.Create | exp.Alter | exp.Drop | exp.Comment | exp.TruncateTable)


def needs_schema(statement: Any) -> bool:  # Any: see find_refusal_in
    """Whether it creates something under a name alone, which then is one of the current schema's."""
    kind = str(statement.args.get("kind", "")).upper()
    if not isinstance(statement, exp.Create) or kind in ("DATABASE", "SCHEMA"):
        return False
    table = statement.find(exp.Table)
    return table is not None and not table.db and statement.find(exp.TemporaryProperty) is None


def is_dml(statement: Any) -> bool:  # Any: see find_refusal_in
    """Whether it writes rows, and so begins a transaction where nothing commits by itself."""
    return isinstance(statement, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Copy)


def target_of(statement: Any) -> Any:  # Any: see find_refusal_in
    """The table that a DML statement writes to, or None."""
    return statement.this.find(exp.Table) if is_dml(statement) and statement.this is not None else None
