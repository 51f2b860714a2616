"""What holds with the connector's 5.x line holds with 4.8 too, and there with Snowpark and SQLAlchemy's dialect."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
SCRIPTED = REPOSITORY / "tests" / "script" / "test_scripted.py"
# How a connection is refused differs from line to line; how one is answered does not.
SAME = "tests/engines/snowflake/test_network.py::test_the_kernel_sees_no_call_to_the_network[emulated]"
CLAIMS = (*(HERE / f"test_{name}.py" for name in ("statements", "network", "snowpark", "dialect")), SCRIPTED)
# The other line, and what it or Snowpark imports and the line that these tests run with does not.
OTHER_LINE = (
    "snowflake-connector-python>=4.8,<5",
    "snowflake-snowpark-python>=1.40",
    "snowflake-sqlalchemy>=1.7.4",
    "sqlalchemy>=2.0.30,<2.1",
    *("asn1crypto", "cloudpickle", "protobuf", "pyjwt", "pyopenssl"),
    *("python-dateutil", "pytz", "pyyaml", "sortedcontainers", "tzlocal"),
)
UNUSED = [f"-pno:{plugin}" for plugin in ("cacheprovider", "faker", "fakefs", "hypothesispytest")]
NAME = f"connector-4.8-{crc32(' '.join(OTHER_LINE).encode()):08x}"  # of a folder: made anew when the list changes


@pytest.fixture(scope="session")
def other_line() -> Path:
    """A folder with connector 4.8, to be put before the installed ones; it is made once for each environment."""
    folder, making = Path(sys.prefix) / NAME, Path(sys.prefix) / f"{NAME}-{os.getpid()}"
    packages = "site-packages"  # what is in a folder of that name is no application
    if not folder.exists():
        said = _install(making / packages)
        if said is not None:
            shutil.rmtree(making, ignore_errors=True)
            pytest.skip(f"needs connector 4.8 from a package index: {said[-200:]}")
        with suppress(OSError):  # another worker was faster
            making.rename(folder)
    return folder / packages


def _install(folder: Path) -> str | None:
    """Fetch the other line with uv, which is quick, or else with pip; what pip said if neither can."""
    options = ["--quiet", "--no-deps", "--target", str(folder), *OTHER_LINE]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    by_uv = [[uv, "pip", "install", "--python", sys.executable]] if uv else []
    # Of what is installed a tenth is imported, and compiled then.
    for installs in (*by_uv, [sys.executable, "-m", "pip", "install", "--no-compile"]):
        made = subprocess.run([*installs, *options], capture_output=True, text=True, check=False)
        if not made.returncode:
            return None
    return made.stderr.strip()


def test_the_connectors_other_line_keeps_the_same_claims(other_line: Path, server_home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (other_line, REPOSITORY)))}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", *UNUSED, "--deselect", SAME, *CLAIMS]
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
