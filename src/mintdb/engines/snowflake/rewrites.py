"""Put right on the parsed statement what fakesnow, or DuckDB below it, would answer wrongly and silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake

UNKNOWN_ELEMENT = re.compile("[A-SU-Ya-z]")  # a letter that is left; T and Z stand in ISO formats without quotes
KEEPS_DATES = ("DAY", "DAYS", "WEEK", "WEEKS", "MONTH", "MONTHS", "QUARTER", "QUARTERS", "YEAR", "YEARS")
TRIMS = {"LEADING": "ltrim", "TRAILING": "rtrim", "": "trim"}

COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In)
ALWAYS_TEXT = (exp.DPipe, exp.Like, exp.ILike)

# Expressions are `Any` here: sqlglot is not checked.


def put_right(statement: Any, session: Mapping[str, str | None]) -> Any:
    """The statement as it has to be put to fakesnow. `session` answers `current_…()` and `last_query_id()`."""
    columns = _find_columns(statement)
    names = {at: each.sql(dialect="snowflake").upper() for at, each in enumerate(columns) if _is_unnamed(each)}
    for node in reversed(list(statement.walk())):  # what is within first: a division may have one on either side
        better = _put_right(node, session)
        if better is not node:
            node.replace(better)
    for at, name in names.items():
        each = _find_columns(statement)[at]
        each.replace(exp.alias_(each.copy(), name, quoted=True))
    return statement


def _find_columns(statement: Any) -> list[Any]:
    """What a query returns, as it is written; nothing for another statement."""
    while isinstance(statement, exp.SetOperation):
        statement = statement.left
    return list(statement.expressions) if isinstance(statement, exp.Select) else []


def _is_unnamed(column: Any) -> bool:
    """Whether Snowflake makes a name of the text. A sequence's number has one."""
    return not isinstance(column, exp.Alias | exp.Column | exp.Star)


def find_unknown_format(statement: Any) -> str | None:
    """A format of TO_CHAR that cannot be put in DuckDB's terms, as it was written."""
    for call in statement.find_all(exp.ToChar):
        wanted = call.args.get("format")
        if wanted is not None and _format_of(wanted) is None:
            return str(wanted.sql(dialect="snowflake"))
    return None


def _format_of(wanted: Any) -> str | None:
    """strftime's format for Snowflake's; None for one with an element that is not known there."""
    if not isinstance(wanted, exp.Literal) or not wanted.is_string:
        return None
    parts = Snowflake.format_time(wanted).name.split('"')  # what stands between quotes is meant literally
    return None if UNKNOWN_ELEMENT.search(" ".join(re.sub("%-?.", "", part) for part in parts[::2])) else "".join(parts)


def _put_right(node: Any, session: Mapping[str, str | None]) -> Any:
    for kind, rewrite in REWRITES.items():
        if isinstance(node, kind):
            return rewrite(node, session)
    return node


def _divide(node: Any, session: object) -> Any:
    return exp.Anonymous(this="_mint_divide", expressions=[node.this, node.expression])


def _typeof(node: Any, session: object) -> Any:
    return exp.Anonymous(this="_mint_typeof", expressions=[node.this])


def _truncate(node: Any, session: object) -> Any:
    return exp.Anonymous(this="_mint_truncate", expressions=[exp.Literal.string(node.unit.name.lower()), node.this])


def _add_to_date(node: Any, session: object) -> Any:
    """A date plus days is a date, in DuckDB a timestamp."""
    unit = node.unit.name.upper() if isinstance(node, exp.DateAdd | exp.DateSub) and node.unit else _find_unit(node)
    if unit not in KEEPS_DATES or isinstance(node.this, exp.Literal):
        return node
    if node.this.find(exp.Placeholder):  # it would ask for its value twice
        return node
    return exp.Anonymous(this="_mint_dated", expressions=[node.this.copy(), node.copy()])


def _find_unit(node: Any) -> str:
    interval = node.expression
    return interval.unit.name.upper() if isinstance(interval, exp.Interval) and interval.unit else ""


def _as_text(node: Any, session: object) -> Any:
    """A text within a VARIANT is compared, and put together with others, without its quotes."""
    operands = [node.this, node.args.get("expression"), *node.expressions]
    if any(isinstance(each, exp.Literal) and each.is_string for each in operands) or isinstance(node, ALWAYS_TEXT):
        for each in operands:
            if isinstance(each, exp.JSONExtract | exp.Bracket):
                each.replace(exp.cast(each.copy(), "varchar"))
    return node


def _trim(node: Any, session: object) -> Any:
    """fakesnow forgets which letters, and on which side."""
    letters, side = node.args.get("expression"), str(node.args.get("position") or "")
    if letters is None and not side:
        return node
    return exp.Anonymous(
        this=TRIMS[side], expressions=[exp.cast(node.this.copy(), "varchar"), *([letters.copy()] if letters else [])]
    )


def _to_char(node: Any, session: object) -> Any:
    """sqlglot forgets the format of what has no known type, which is every column."""
    wanted = node.args.get("format")
    if wanted is None:
        return node
    return exp.Anonymous(
        this="_mint_to_char", expressions=[node.this.copy(), exp.Literal.string(_format_of(wanted) or "")]
    )


def _named_function(node: Any, session: Mapping[str, str | None]) -> Any:
    name = node.name.upper()
    if name == "TYPEOF" and len(node.expressions) == 1:
        return exp.Anonymous(this="_mint_typeof", expressions=node.expressions)
    return _session_function(name, node, session)


def _session_function(name: str, node: Any, session: Mapping[str, str | None]) -> Any:
    if name not in session or node.args.get("expressions"):
        return node
    value = session[name]
    return exp.Null() if value is None else exp.Literal.string(value)


def _typed_function(node: Any, session: Mapping[str, str | None]) -> Any:
    return _session_function(node.sql_name(), node, session)


def _number_values(node: Any, session: object) -> Any:
    """`$1` in a query of VALUES, whose columns DuckDB knows by their names alone; and a query of DUAL."""
    values = node.args["from_"].this if node.args.get("from_") else None
    if isinstance(values, exp.Table) and values.name.upper() == "DUAL" and not values.db:
        node.set("from_", None)  # Snowflake has it, as a table of one row
    if not isinstance(values, exp.Values) or values.alias_column_names:
        return node
    columns = [exp.to_identifier(f"COLUMN{number}") for number in range(1, len(values.expressions[0].expressions) + 1)]
    values.set("alias", exp.TableAlias(this=exp.to_identifier(values.alias or "_MINT_VALUES"), columns=columns))
    for parameter in [*node.find_all(exp.Parameter)]:
        if parameter.name.isdigit() and parameter.find_ancestor(exp.Select) is node:
            parameter.replace(exp.column(f"COLUMN{parameter.name}"))
    return node


REWRITES: Mapping[Any, Callable[[Any, Any], Any]] = {
    exp.Add: _add_to_date,
    exp.Sub: _add_to_date,
    exp.DateAdd: _add_to_date,
    exp.DateSub: _add_to_date,
    **dict.fromkeys((*COMPARED, *ALWAYS_TEXT), _as_text),
    exp.Trim: _trim,
    exp.ToChar: _to_char,
    exp.Div: _divide,
    exp.DateTrunc: _truncate,
    exp.TimestampTrunc: _truncate,
    exp.Select: _number_values,
    exp.Anonymous: _named_function,
    **dict.fromkeys(
        (
            exp.CurrentUser,
            exp.CurrentRole,
            exp.CurrentWarehouse,
            exp.CurrentAccount,
            exp.CurrentSession,
            exp.CurrentRegion,
            exp.CurrentAccountName,
        ),
        _typed_function,
    ),
    exp.Typeof: _typeof,
}
