"""End a run: gather what its processes have counted, write the reports that were asked for, keep the last for later."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mintdb.report import files
from mintdb.report.facts import RunReport
from mintdb.report.summary import Summary
from mintdb.settings import Settings

PARTS = "MINTDB_REPORT_PARTS"  # the folder in which the processes below `mintdb run` leave what they have counted
KEPT = 50  # reports of the last runs, one for each project: some 300 KB for a thousand tests


def finish(summary: Summary, settings: Settings) -> None:
    """A process's tests have ended: write its report, and leave it to `mintdb explain` and to `mintdb run` above."""
    if not summary.tests:
        return
    leave_part(summary, os.environ)
    _write(files.make(summary, settings.project), summary, settings)


def leave_part(summary: Summary, environ: Mapping[str, str]) -> None:
    """Leave what this process has counted to whoever gathers, if somebody does."""
    if folder := environ.get(PARTS):
        Path(folder, f"{os.getpid()}.json").write_text(summary.to_json(), encoding="utf-8")


@contextmanager
def gathering(settings: Settings, tell: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Gather from every process that is started with these variables, and write one report when the block ends.

    `tell` is told where that did not work.
    """
    folder = tempfile.mkdtemp(prefix="mintdb-report-")
    try:
        yield {PARTS: folder}
        summary = Summary()
        for part in sorted(Path(folder).glob("*.json")):
            summary.add(part.read_text(encoding="utf-8"))
        if summary.tests:
            for trouble in _write(files.make(summary, settings.project), summary, settings):
                tell(trouble)
        elif settings.report:
            tell("no report is written: no test has ended that mintdb knows of")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_last(root: Path) -> Path | None:
    """The file with the report of a project's last run, if there was one."""
    file = _last(root)
    return file if file.exists() else None


def _write(report: RunReport, summary: Summary, settings: Settings) -> list[str]:
    """Write the files, and keep the report; returns a line for each file that could not be written."""
    troubles = files.write(report, settings.report, root=Path.cwd())
    summary.troubles += troubles
    summary.written += [file for file in settings.report if file not in summary.written]
    _keep(report, settings.root)
    return troubles


def _keep(report: RunReport, root: Path) -> None:
    """As JSON, in the user's own cache folder; the oldest of other projects go."""
    try:
        file = _last(root)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(files.encoded(files.to_json(report)))
        newest_first = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in newest_first[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        return  # a convenience: the run itself has its report


def _last(root: Path) -> Path:
    from mintdb.engines.places import find_cache  # platformdirs, for those who have run tests

    return find_cache() / "reports" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"
