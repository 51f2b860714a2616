"""`mintdb demo`: a small real application's tests, run on the embedded server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

# In the package where it was installed, two folders above it in a checkout.
PLACES = (Path(__file__).parents[1] / "demo" / "shop", Path(__file__).parents[3] / "examples" / "shop")

# The shop has no use for either: one writes beside the tests, the other wants settings of its own.
UNTOUCHED = ("-p", "no:cacheprovider", "-p", "no:asyncio")


@click.command(
    context_settings={"ignore_unknown_options": True}, short_help="Run a small shop's tests, to see how it works."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]...")
def command(arguments: tuple[str, ...]) -> None:
    """Run the tests of examples/shop: an application that commits, rolls back and starts threads."""
    shop = next(place for place in PLACES if place.is_dir())
    argv = [sys.executable, "-m", "pytest", *UNTOUCHED, *arguments]
    sys.exit(subprocess.run(argv, cwd=shop, check=False).returncode)
