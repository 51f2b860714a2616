"""Run the suites of examples/, in their own order and in many others."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.frameworks.suites import Ran, Suite

EXAMPLES = Path(__file__).parents[2] / "examples"
SHUFFLED = """
    import random

    def pytest_addoption(parser):
        parser.addoption("--rounds", type=int)

    def pytest_generate_tests(metafunc):
        metafunc.fixturenames.append("order")
        metafunc.parametrize("order", range(metafunc.config.option.rounds), scope="function")

    def pytest_collection_modifyitems(items):
        chance = random.Random(20261122)
        items.sort(key=lambda item: (item.callspec.params["order"], chance.random()))
"""


def example(name: str, folder: Path) -> Suite:
    """One of the examples, in a folder of its own."""
    shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    return Suite(folder / name)


def run_shuffled(suite: Suite, rounds: int, *arguments: str) -> Ran:
    """Every test once in each of so many rounds, in an order that differs from round to round, in one process."""
    suite.write(shuffled=SHUFFLED)
    return suite.run("-q", "-p", "shuffled", f"--rounds={rounds}", *arguments)
