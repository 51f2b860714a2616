"""The table of what each engine keeps is the contract suite's own: `python -m tests.test_engines_page` writes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.contract.engines import KINDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "engines.md"
ROOM = "<!-- generated: python -m tests.test_engines_page -->"


def claims() -> list[str]:
    """The names of the contract's tests, in the order in which they are written."""
    files = sorted((ROOT / "tests" / "contract").glob("test_*.py"))
    nodes = (node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body)
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def lines() -> Iterator[str]:
    """The table, and a note for each limit."""
    notes = list(dict.fromkeys((kind.name, text) for kind in KINDS for text in kind.limits.values()))
    yield f"| claim | {' | '.join(kind.name for kind in KINDS)} |"
    yield "|---" * (len(KINDS) + 1) + "|"
    for claim in claims():
        cells = [
            f"no [{notes.index((kind.name, text)) + 1}]" if (text := kind.limit(claim)) else "yes" for kind in KINDS
        ]
        yield f"| {claim.removeprefix('test_').replace('_', ' ')} | {' | '.join(cells)} |"
    yield ""
    yield from (f"{place}. {name}: {text}." for place, (name, text) in enumerate(notes, 1))


def page() -> str:
    head = PAGE.read_text(encoding="utf-8").partition(ROOM)[0]
    return "\n".join([head + ROOM, "", *lines(), ""])


def test_the_page_says_what_the_contract_suite_holds() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_a_limit_is_of_a_claim_that_there_is() -> None:
    assert {claim for kind in KINDS for claim in kind.limits} <= set(claims())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
