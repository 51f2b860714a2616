"""What mintdb's dataclasses cost to define, to make and to compare, beside the standard ones in the same process.

python benchmarks/facts.py [--rounds 50] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from mintdb import facts

MADE = 1000  # objects, and comparisons, in one measurement
Act = Callable[[], object]


def define(decorator: Callable[..., Callable[[type], type]]) -> type:
    class Fact:
        """Of five fields, as most are."""

        a: int
        b: str
        c: float = 0.0
        d: str = ""
        e: bool = False

    return decorator(frozen=True)(Fact)


def acts(decorator: Callable[..., Callable[[type], type]]) -> dict[str, Act]:
    kind = define(decorator)
    one, same = kind(1, "x"), kind(1, "x")
    return {
        "define a class": lambda: define(decorator),
        f"make {MADE} objects": lambda: [kind(1, "x", 1.0, "y", True) for _ in range(MADE)],
        f"compare {MADE} pairs": lambda: [one == same for _ in range(MADE)],
    }


def taken(act: Act) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    standard, ours = acts(dataclasses.dataclass), acts(facts.dataclass)
    print(f"{'processor ms':24}{'standard p50':>14}{'p95':>8}{'mintdb p50':>14}{'p95':>8}{'ratio':>8}")
    figures = {}
    for name in ours:
        pairs = [(taken(standard[name]), taken(ours[name])) for _ in range(arguments.rounds)]
        theirs, own = (sorted(1000 * pair[side] for pair in pairs) for side in (0, 1))
        late = int(0.95 * len(pairs))
        figures[name] = [statistics.median(theirs), theirs[late], statistics.median(own), own[late]]
        a, b, c, d = figures[name]
        print(f"{name:24}{a:14.2f}{b:8.2f}{c:14.2f}{d:8.2f}{c / a:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
