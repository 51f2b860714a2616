"""Every exception that mintdb raises: one subclass for each remedy, the facts as attributes.

MintdbError
├── SettingsError            something written down by the user is wrong
├── ServerError              a server cannot be found, started, reached or used
├── TemplateError            a template could not be built or used
│   └── SchemaError          … because the schema source failed
└── LeaseError               a lease was asked for, or used, at the wrong time
"""

from __future__ import annotations

from typing import Any, ClassVar


class MintdbError(Exception):
    """Base of all of mintdb's errors.

    A subclass declares `text`, one literal with `{fact}` fields, and is raised with those facts by keyword; each is
    an attribute of the error. The first line says what happened; evidence and at most three numbered steps may follow.
    """

    text: ClassVar[str] = "{what}"
    is_final: ClassVar[bool] = False  # whether every later test of the run would meet it too

    def __init__(self, **facts: Any) -> None:  # Any: a fact is whatever str.format can show
        self.facts = facts
        super().__init__(self.text.format(**facts))

    def __getattr__(self, name: str) -> Any:  # Any: see __init__
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} error has no fact {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts)


def _rebuild(kind: type[MintdbError], facts: dict[str, Any]) -> MintdbError:
    """Build a pickled error again: the facts are passed by keyword, which the default pickling would lose."""
    return kind(**facts)


class SettingsError(MintdbError):
    """Something that the user wrote (settings file, command line, environment, marker) cannot be used."""


class ServerError(MintdbError):
    """A server cannot be found, started, reached or used."""


class TemplateError(MintdbError):
    """A template could not be built or used; nothing was sealed."""


class SchemaError(TemplateError):
    """A schema source failed while it built a template; the half-built database is dropped."""


class LeaseError(MintdbError):
    """A lease was asked for, or used, at the wrong time."""
