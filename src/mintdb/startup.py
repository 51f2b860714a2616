"""Wake mintdb in the Python processes that `mintdb run` starts; the file mintdb_startup.pth imports this there only.

Connections are watched from the first import on, and unittest's own runner learns where a test begins and ends. A
pytest takes the database over by itself, before any test of unittest's runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from mintdb.handover import find_handover, wants_watch

UNITTEST = "unittest.suite"  # the last of unittest's modules that holds a boundary


def wake() -> None:
    """Set the hooks, if `mintdb run` has started this process and nobody has taken its database, or the watch, over."""
    handover = find_handover(os.environ)
    watching = wants_watch(os.environ)
    if not watching and (handover is None or handover.taken):
        return
    from mintdb.connections import files
    from mintdb.connections.hooks import watch

    of_sqlite = [each for each in handover.all if each.settings.get("engine") == "sqlite"] if handover else []
    for each in of_sqlite[:1]:
        files.lead_memory_to(each.name, application=each.application)
    watch()
    if watching:
        from mintdb.unittest_boundaries import watch_program

        watch_program()
    if UNITTEST in sys.modules:
        _hold(sys.modules[UNITTEST])
    else:
        sys.meta_path.insert(0, _Awaiting())


def _hold(module: ModuleType) -> None:
    from mintdb.unittest_boundaries import hold

    hold(module)


class _Awaiting(MetaPathFinder):
    """Sees unittest being imported, and steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != UNITTEST:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_and_hold(module: ModuleType) -> None:
                execute(module)
                _hold(module)

            spec.loader.exec_module = exec_and_hold  # type: ignore[method-assign]  # of this one loader object
        return spec


wake()
