"""Find and import what `MODULE:OBJECT` names, and tell the user's own line from ours when that fails.

Imports begin at the project's root, which stands on sys.path only while a source works: an application's imports must
not come to depend on mintdb.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mintdb.facts import dataclass
from mintdb.schemas.errors import AttributeMissingError, ModuleFailedError, ModuleMissingError, SourceNameError

OURS = str(Path(__file__).parent)
IMPORT_MACHINERY = "<frozen importlib"


@dataclass(frozen=True)
class Named:
    """An object in a module, as a setting names it."""

    setting: str
    module: str
    path: tuple[str, ...]
    root: Path

    def load(self) -> object:
        """The object, its module imported. Raises ModuleMissingError, ModuleFailedError and AttributeMissingError."""
        found: object = self._import()
        for name in self.path:
            if not hasattr(found, name):
                raise self._no_attribute(found, name)
            found = getattr(found, name)
        return found

    def _import(self) -> object:
        try:
            return importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{self.module}.".startswith(f"{error.name}."):
                raise ModuleMissingError(setting=self.setting, module=error.name, root=self.root) from None
            raise self._import_failed(error) from error
        except (Exception, SystemExit) as error:
            raise self._import_failed(error) from error

    def _import_failed(self, error: BaseException) -> ModuleFailedError:
        return ModuleFailedError(
            setting=self.setting, module=self.module, error=describe(error), where=find_culprit(error, self.root)
        )

    def _no_attribute(self, owner: object, name: str) -> AttributeMissingError:
        close = difflib.get_close_matches(name, [n for n in dir(owner) if not n.startswith("_")], n=3)
        nearest = ", ".join(close) or "nothing like it"
        return AttributeMissingError(setting=self.setting, module=self.module, name=name, nearest=nearest)


def parse_name(argument: str, *, setting: str, root: Path, form: str) -> Named:
    """Read MODULE:OBJECT[.attribute …]. Raises SourceNameError, which shows `form`."""
    module, _, attributes = argument.partition(":")
    names = [*module.split("."), *attributes.split(".")]
    if not all(name.isidentifier() for name in names):
        raise SourceNameError(setting=setting, form=form)
    return Named(setting, module, tuple(attributes.split(".")), root)


@contextmanager
def importing_from(root: Path) -> Iterator[None]:
    """Let imports find `root` first, as `python -m` would from there, for as long as the block lasts."""
    entry = str(root)
    if entry in sys.path:
        yield
        return
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def describe(error: BaseException) -> str:
    """An error as the last line of its traceback shows it."""
    return traceback.format_exception_only(error)[-1].strip()


def find_culprit(error: BaseException, root: Path) -> str:
    """The innermost line below `root` that an error came through; else the innermost of all; else the file at fault."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_theirs(f.filename)]
    if isinstance(error, SyntaxError) and error.filename:
        return _shown(error.filename, error.lineno, "", error.text, root)
    at_home = [f for f in frames if _is_own_code(f.filename, root)]
    if not frames:
        return "raised outside Python code"
    frame = (at_home or frames)[-1]
    return _shown(frame.filename, frame.lineno, f" in {frame.name}", frame.line, root)


def _is_theirs(filename: str) -> bool:
    return not filename.startswith((OURS, IMPORT_MACHINERY)) and filename != importlib.__file__


def _is_own_code(filename: str, root: Path) -> bool:
    return Path(filename).is_relative_to(root) and "site-packages" not in filename


def _shown(filename: str, line: int | None, where: str, text: str | None, root: Path) -> str:
    path = Path(filename)
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{shown}:{line}{where}\n    {(text or '').strip()}"
