"""Hand the database of `mintdb run` over to the Python tests that it starts, so that they are put back one by one.

The first test process takes the database over as it is. Who comes later (xdist's workers, a pytest inside a test) gets
a clone of its own, under the same settings and in the same variables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

VARIABLE = "MINTDB_HANDOVER"


@dataclass(frozen=True)
class Handover:
    """What a test process needs to lease the database that its starter has made, or one like it."""

    alias: str
    name: str  # of the database
    template: str
    url: str  # of the database, with its password, as the command finds it in DATABASE_URL
    own_url: str  # as mintdb itself reaches the same server
    settings: Mapping[str, Any] = field(
        default_factory=dict
    )  # engine, schema, url, fixed name  # Any: keyword arguments
    taken: bool = False

    def to_environment(self) -> dict[str, str]:
        """The variable that tells it to child processes."""
        return {VARIABLE: json.dumps(asdict(self))}

    def as_taken(self) -> Handover:
        """What whoever took it over tells its own children."""
        return replace(self, taken=True)


def find_handover(environ: Mapping[str, str]) -> Handover | None:
    """What `mintdb run` has left for its children, if this is one of them."""
    text = environ.get(VARIABLE)
    return Handover(**json.loads(text)) if text else None
