from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Browse = Callable[..., str]
TIMEOUT = 90  # seconds; Chromium starts in two on a quiet machine


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a page in a real Chromium without a screen; returns its document when the scripts have run."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here")

    def browse(page: Path, *options: str) -> str:
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        argv = [chromium, "--headless", "--disable-gpu", f"--user-data-dir={tmp_path / 'chromium'}", *sandbox, *options]
        done = subprocess.run(
            [*argv, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=TIMEOUT, check=True
        )
        assert "Uncaught" not in done.stderr, done.stderr
        return done.stdout

    return browse
