"""Where a setting's value comes from: call > command line > MINTDB_* > the nearest [tool.mintdb] > default."""

from __future__ import annotations

from mintdb.settings.errors import (
    BadSetting,
    BadSettingsFile,
    EngineMismatch,
    MirrorHasMore,
    NoDefaultInMatrix,
    NotOfThisEngine,
    ProtectedEnvironment,
    ProtectedServer,
    UnknownDatabase,
    UnknownEnvironment,
    UnknownInMatrix,
    UnknownSetting,
    UnknownVariable,
    UnsetVariable,
)
from mintdb.settings.facts import (
    ALL_LIBPQ,
    ALL_MYSQL,
    DATABASE_KEYS,
    DEFAULT,
    EMPTY,
    ENGINES,
    ISOLATIONS,
    POLICIES,
    RUN_KEYS,
    DatabaseSettings,
    Settings,
)
from mintdb.settings.loading import list_environments, load

__all__ = [
    "ALL_LIBPQ",
    "ALL_MYSQL",
    "DATABASE_KEYS",
    "DEFAULT",
    "EMPTY",
    "ENGINES",
    "ISOLATIONS",
    "POLICIES",
    "RUN_KEYS",
    "BadSetting",
    "BadSettingsFile",
    "DatabaseSettings",
    "EngineMismatch",
    "MirrorHasMore",
    "NoDefaultInMatrix",
    "NotOfThisEngine",
    "ProtectedEnvironment",
    "ProtectedServer",
    "Settings",
    "UnknownDatabase",
    "UnknownEnvironment",
    "UnknownInMatrix",
    "UnknownSetting",
    "UnknownVariable",
    "UnsetVariable",
    "list_environments",
    "load",
]
