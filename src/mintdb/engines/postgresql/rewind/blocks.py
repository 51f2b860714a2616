"""Say which rows lie in a set of blocks, so that only those are visited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from psycopg import sql

from mintdb.engines.postgresql.rewind.relations import Relation

Blocks: TypeAlias = frozenset[int] | None  # None: every block

MAX_RANGES = 100  # more arms than this make the plan dearer than reading the table


def joined(one: Blocks, other: Blocks) -> Blocks:
    """The blocks in either."""
    return None if one is None or other is None else one | other


def ranges(blocks: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbouring blocks together, as half-open ranges."""
    found: list[tuple[int, int]] = []
    for block in sorted(blocks):
        if found and found[-1][1] == block:
            found[-1] = (found[-1][0], block + 1)
        else:
            found.append((block, block + 1))
    return found


def live(relation: Relation, blocks: Blocks, columns: sql.Composable | None = None) -> sql.Composed:
    """The rows of `relation` now in `blocks`: `mint_at` and `mint_x` (ctid and xmin) and, if given, more columns."""
    extra = sql.SQL(", ") + columns if columns else sql.SQL("")
    head = sql.SQL("select t.ctid as mint_at, t.xmin as mint_x{} from only {} t").format(extra, relation.identifier)
    if blocks is None:
        return head
    spans = ranges(blocks)
    if not spans:
        return head + sql.SQL(" where false")
    if len(spans) > MAX_RANGES:
        return head + sql.SQL(" where (t.ctid::text::point)[0]::int8 = any ({})").format(sql.Literal(sorted(blocks)))
    return sql.SQL(" union all ").join(head + sql.SQL(" where ") + between("t.ctid", *span) for span in spans)


def array(ctids: Iterable[str]) -> sql.Composed:
    """An array of them, which psycopg would examine one by one."""
    return sql.SQL("{}::tid[]").format(sql.Literal("{" + ",".join(f'"{ctid}"' for ctid in ctids) + "}"))


def at_of(identity: str) -> str:
    """The ctid of a row's identity, which is that and xmin."""
    return identity[: identity.index(")") + 1]


def place(ctid: str) -> tuple[int, int]:
    """Block and offset of a ctid, as text, or of an identity."""
    comma = ctid.index(",")
    return int(ctid[1:comma]), int(ctid[comma + 1 : ctid.index(")")])


def block_of(ctid: str) -> int:
    """The block of a ctid, as text, or of an identity."""
    return int(ctid[1 : ctid.index(",")])


def lies_in(blocks: Blocks, ctid: str) -> bool:
    """Whether a remembered row lies there."""
    return blocks is None or block_of(ctid) in blocks


def between(column: str, first: int, end: int) -> sql.Composed:
    """The condition that a ctid lies in a half-open range of blocks."""
    name = sql.Identifier(*column.split("."))
    low, high = sql.Literal(f"({first},0)"), sql.Literal(f"({end},0)")
    return sql.SQL("({0} >= {1}::tid and {0} < {2}::tid)").format(name, low, high)
