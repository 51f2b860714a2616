"""Let fakesnow, which is written for connector 4, work with connectors 4.8 and 5, and refuse what was never tried.

What differs in connector 5, and what is done about it:

| fakesnow 0.12 uses                            | connector 5 has                                                     |
|-----------------------------------------------|---------------------------------------------------------------------|
| `snowflake.connector.converter`               | `_internal.binding_converters.ClientSideBindingConverter`           |
| `snowflake.connector.file_util` (gzip for PUT)| nothing in Python                                                   |
| `ResultMetadata.from_column(dict)`            | the same name for a protobuf message: the tuple is built here       |

It can go when fakesnow declares connector 5 as supported (https://github.com/tekumara/fakesnow).
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from mintdb.engines.snowflake.errors import EmulationMissing, UnsupportedVersions

CONNECTOR, FAKESNOW = "snowflake-connector-python", "fakesnow"
SUPPORTED = "snowflake-connector-python 4.8 to 5.x and fakesnow 0.12.1 to 0.12.x"
PREPARED = "_prepared_by_mintdb"
LOWEST, BEYOND = (4, 8), (6,)
LOWEST_FAKESNOW, BEYOND_FAKESNOW = (0, 12, 1), (0, 13)


def check() -> tuple[str, str]:
    """The versions of the connector and of fakesnow. Raises EmulationMissing and UnsupportedVersions."""
    connector, fakesnow = _version(CONNECTOR), _version(FAKESNOW)
    if not LOWEST <= _parsed(connector) < BEYOND:
        why = "the emulation answers in the place of the connector's own classes, which change from line to line"
        raise UnsupportedVersions(found=f"{CONNECTOR} {connector}", supported=SUPPORTED, why=why)
    if not LOWEST_FAKESNOW <= _parsed(fakesnow) < BEYOND_FAKESNOW:
        why = "what fakesnow gets wrong is put right statement by statement, and that was tried with these versions"
        raise UnsupportedVersions(found=f"{FAKESNOW} {fakesnow}", supported=SUPPORTED, why=why)
    return connector, fakesnow


def make_importable() -> None:
    """Make `import fakesnow` work, for applications too. Raises EmulationMissing and UnsupportedVersions."""
    connector, _ = check()
    if _parsed(connector) >= (5,) and "snowflake.connector.converter" not in sys.modules:
        _provide("snowflake.connector.converter", SnowflakeConverter=_converter())
        _provide("snowflake.connector.file_util", SnowflakeFileUtil=_FileUtil)


def prepare() -> None:
    """Import fakesnow, and mend what has to be mended inside it. Raises EmulationMissing and UnsupportedVersions."""
    make_importable()
    if getattr(_import_fakesnow(), PREPARED, False):
        return
    if _parsed(version(CONNECTOR)) >= (5,):
        rowtype: Any = import_module("fakesnow.rowtype")
        rowtype.ResultMetadata = _Metadata  # fakesnow's own name for it
    transforms: Any = import_module("fakesnow.transforms")
    transforms.numeric_agg_implicit_cast = _exact_sums(transforms.numeric_agg_implicit_cast)
    setattr(import_module("fakesnow"), PREPARED, True)


def _import_fakesnow() -> ModuleType:
    """Import it without what it leaves behind: a folder for stages' files, which it makes anew when it needs one."""
    was_there = "fakesnow" in sys.modules
    fakesnow = import_module("fakesnow")
    if not was_there:
        with suppress(OSError):
            os.rmdir(import_module("fakesnow.transforms.stage").LOCAL_BUCKET_PATH)
    return fakesnow


def _exact_sums(original: Callable[[Any], Any]) -> Callable[[Any], Any]:  # Any: sqlglot is not checked
    """fakesnow adds up floats, so that texts can be added up too; whole numbers and decimals must stay exact."""
    from sqlglot import exp

    def numeric_agg_implicit_cast(expression: Any) -> Any:  # Any: see above
        if not isinstance(expression, exp.Sum):
            return original(expression)
        argument = expression.this.copy()
        named = original(expression)  # under the name that Snowflake gives the column, which makes a copy
        named.find(exp.Sum).set("this", argument)
        return named

    return numeric_agg_implicit_cast


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise EmulationMissing(library=package) from None


def _parsed(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def _provide(name: str, **contents: object) -> None:
    """A module that connector 5 no longer has, for those who import it by its old name."""
    module = ModuleType(name, "Provided by mintdb for fakesnow; connector 5 has no such module.")
    vars(module).update(contents)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)


def _converter() -> Any:  # Any: a class of the connector
    return import_module("snowflake.connector._internal.binding_converters").ClientSideBindingConverter


class _FileUtil:
    @staticmethod
    def compress_file_with_gzip(source: str, folder: str) -> tuple[str, int]:
        """Compress a file into `folder`; returns the new file's path and size in bytes."""
        target = Path(folder) / (Path(source).name + "_c.gz")
        with open(source, "rb") as plain, gzip.open(target, "wb") as packed:
            shutil.copyfileobj(plain, packed)
        return str(target), os.path.getsize(target)


class _Metadata:
    @staticmethod
    def from_column(column: dict[str, Any]) -> Any:  # Any: the connector's ResultMetadata
        """The description of one column, from what fakesnow knows of it."""
        from snowflake.connector.cursor import ResultMetadata

        codes = import_module("snowflake.connector._internal.type_codes")
        code = codes.get_type_code(column["type"].upper())
        facts = (column["length"], column["precision"], column["scale"], column["nullable"])
        return ResultMetadata(column["name"], code, None, *facts)
