"""Put one function in another's place under every name that a module has it by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Function = Callable[..., Any]  # Any: whatever the application passes


@contextmanager
def replaced(original: Function, replacement: Function) -> Iterator[None]:
    """For the block, modules that have `original` under whatever name have `replacement` instead."""
    found = [(module, name) for module, names in _modules() for name in _names_of(original, names)]
    for module, name in found:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, names in _modules():  # those that were imported meanwhile, too
            for name in _names_of(replacement, names):
                setattr(module, name, original)


def _modules() -> Iterator[tuple[object, dict[str, object]]]:
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            yield module, names


def _names_of(function: Function, names: dict[str, object]) -> list[str]:
    return [name for name, value in list(names.items()) if value is function]
