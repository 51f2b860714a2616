"""Run a suite once in each of several environments, or on several engines, and say where the outcomes differ."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mintdb.facts import dataclass
from mintdb.pytest_plugin import outcomes
from mintdb.pytest_plugin.outcomes import WORSE, Outcome
from mintdb.settings import DEFAULT, ENGINES, NoDefaultInMatrix, UnknownInMatrix, list_environments, load
from mintdb.settings.errors import nearest

OPTION = "--mintdb-matrix"
ABSENT = Outcome("absent")
SHOWN = 30  # tests that differ; what a person reads before scrolling on


@dataclass(frozen=True)
class Ran:
    """One run of the suite."""

    name: str
    code: int
    outcomes: Mapping[str, Outcome]


def run_all(names: str, arguments: Sequence[str], root: Path) -> int:
    """Run the suite for each name, one after the other, and compare; returns the worst exit code.

    A name is that of an environment, else of an engine, which the default database then has. Raises UnknownInMatrix and
    NoDefaultInMatrix before anything is run.
    """
    ways = [(name, _way(name, root)) for name in dict.fromkeys(filter(None, map(str.strip, names.split(","))))]
    ran = []
    for name, (options, variables) in ways:
        print(f"\nmintdb: {name}{_beside(root) if variables else ''}", flush=True)
        ran.append(_run(name, [*_without_matrix(arguments), *options], variables))
    print("\n".join(compare(ran)), flush=True)
    return max(each.code for each in ran)


def compare(ran: Sequence[Ran]) -> Iterator[str]:
    """What a person reads at the end."""
    yield "\nmintdb: the matrix"
    width = max(len(each.name) for each in ran)
    for each in ran:
        counts = Counter(outcome.word for outcome in each.outcomes.values())
        said = ", ".join(f"{counts[word]} {word}" for word in WORSE if counts[word]) or f"exit code {each.code}"
        yield f"  {each.name:<{width}}  {said}"
    ran = [each for each in ran if each.outcomes]  # what came to nothing has told why itself
    tests = list(dict.fromkeys(test for each in ran for test in each.outcomes))
    differing = [test for test in tests if len({each.outcomes.get(test, ABSENT).word for each in ran}) > 1]
    if not differing:
        yield f"mintdb: {len(tests)} tests, and each has the same outcome everywhere"
        return
    yield f"mintdb: {len(differing)} of {len(tests)} tests have outcomes that differ"
    for test in differing[:SHOWN]:
        yield f"  {test}"
        yield from (f"    {each.name:<{width}}  {_say(each.outcomes.get(test, ABSENT))}" for each in ran)
    if len(differing) > SHOWN:
        yield f"  … and {len(differing) - SHOWN} more"


def _say(outcome: Outcome) -> str:
    return f"{outcome.word}: {outcome.why}" if outcome.why else outcome.word


def _way(name: str, root: Path) -> tuple[list[str], dict[str, str]]:
    """The options and variables that put a run into an environment, or on an engine."""
    environments = list_environments(root)
    if name in environments:
        return ["--mintdb-env", name], {}
    if name in ENGINES:
        databases = load(root).databases
        if databases and DEFAULT not in databases:
            raise NoDefaultInMatrix(name=name, known=", ".join(databases), first=next(iter(databases)))
        return [], {"MINTDB_ENGINE": name}
    known = [*environments, *ENGINES]
    raise UnknownInMatrix(name=name, nearest=nearest(name, known), known=", ".join(known))


def _beside(root: Path) -> str:
    """The databases that keep the engine that they have, where there are any."""
    others = [alias for alias in load(root).leased if alias != DEFAULT]
    return f", as the engine of default; as they are: {', '.join(others)}" if others else ""


def _run(name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> Ran:
    with tempfile.TemporaryDirectory(prefix="mintdb-matrix-") as folder:
        file = Path(folder) / "outcomes.json"
        environ = {**os.environ, **variables, outcomes.VARIABLE: str(file)}
        done = subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environ, check=False)
        return Ran(name, done.returncode, outcomes.read(file))


def _without_matrix(arguments: Sequence[str]) -> list[str]:
    left, given = [], iter(map(str, arguments))
    for argument in given:
        if argument == OPTION:
            next(given, None)
        elif not argument.startswith(f"{OPTION}="):
            left.append(argument)
    return left
