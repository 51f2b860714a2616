"""Run parts of Django's own test suite with and without mintdb: what passes without it has to pass with it.

    python -m tests.frameworks.django_own_suite [--keep FOLDER] [LABEL …]

It downloads the sources of the installed Django from PyPI, and starts a PostgreSQL of its own. It takes some minutes.
EXCEPTIONS are the tests that assert what mintdb replaces; each has its reason.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django

from tests.connections.private_server import running

LABELS = [
    "async",
    "backends",
    "fixtures",
    "fixtures_regress",
    "multiple_database",
    "select_for_update",
    "servers",
    "test_runner",
    "test_utils",
    "transaction_hooks",
    "transactions",
]
EXCEPTIONS = {
    "test (test_utils.test_transactiontestcase.TestSerializedRollbackInhibitsPostMigrate.test)": (
        "asserts that the teardown calls flush, and with which arguments"
    )
}
TIMEOUT = 1800  # seconds for one run of all parts
FAILED = re.compile(r"^(?:ERROR|FAIL|UNEXPECTED SUCCESS): (.*)$", re.MULTILINE)
SETTINGS = """
import os

DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.postgresql", "NAME": f"django_{alias}", "USER": "postgres",
        "HOST": "127.0.0.1", "PORT": os.environ["SUITE_PORT"],
    }
    for alias in ("default", "other")
}
SECRET_KEY = "tests only"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
if os.environ["SUITE_WITH"] == "mintdb":  # Django's runner makes INSTALLED_APPS itself, so the app's work is done here
    from mintdb.connections.hooks import watch
    from mintdb.django import creation

    watch()
    creation.install()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*", default=LABELS)
    parser.add_argument("--keep", type=Path, help="a folder for the sources and what the runs print")
    arguments = parser.parse_args()
    with running() as port, tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        tests = _sources(folder) / "tests"
        (tests / "suite_settings.py").write_text(SETTINGS)
        without, with_mintdb = (_run(tests, how, port, arguments.labels, folder) for how in ("plain", "mintdb"))
    broken = sorted(with_mintdb - without - set(EXCEPTIONS))
    print(f"{len(without)} fail without mintdb, {len(with_mintdb)} with it; new and unexplained: {len(broken)}")
    print("".join(f"  {test}\n" for test in broken), end="")
    sys.exit(bool(broken))


def _sources(folder: Path) -> Path:
    name = f"django-{django.__version__}"
    if not (folder / name).is_dir():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-binary", ":all:", "--no-deps"]
        if subprocess.run([*pip[:3], "--version"], capture_output=True, check=False).returncode:
            pip[:3] = ["pip"]  # a virtual environment without pip of its own
        subprocess.run([*pip, "-d", folder, f"django=={django.__version__}"], check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name


def _run(tests: Path, how: str, port: int, labels: list[str], folder: Path) -> set[str]:
    """The tests that fail."""
    settings = ["--settings=suite_settings", "--noinput", "--parallel=1"]
    environment = {**os.environ, "SUITE_PORT": str(port), "SUITE_WITH": how, "PYTHONPATH": str(tests.parent)}
    log = folder / f"{how}.log"
    with log.open("w") as output:
        command = [sys.executable, "runtests.py", *settings, *labels]
        subprocess.run(command, cwd=tests, env=environment, stdout=output, stderr=output, timeout=TIMEOUT, check=False)
    said = log.read_text(errors="replace")
    print(f"{how}: " + "; ".join(_last_words(said)))
    return set(FAILED.findall(said))


def _last_words(said: str) -> Iterator[str]:
    yield from re.findall(r"^(?:Ran \d+ tests.*|OK.*|FAILED.*)$", said, re.MULTILINE)


if __name__ == "__main__":
    main()
