"""What runs in a test's place where each of Hypothesis's examples is put back; without Hypothesis, the test itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

Test = Callable[..., Any]  # Any: a test takes and returns what it likes


def examples(test: Test, *, rewound: bool) -> AbstractContextManager[Test]:
    """Gives what to call instead of a test: with `rewound`, what puts each of its examples back, if it has any."""
    if not rewound or "hypothesis" not in sys.modules:
        return nullcontext(test)
    from mintdb.hypothesis import rewinding

    return rewinding(test)


@contextmanager
def examples_of(case: Any, *, rewound: bool) -> Iterator[None]:  # Any: a unittest.TestCase, whose names are private
    """In the block a test case's method is what puts each of its examples back, with `rewound` and if it has any."""
    name = case._testMethodName
    test = getattr(case, name)
    with examples(test, rewound=rewound) as instead:
        if instead is test:
            yield
            return
        setattr(case, name, instead)  # not _callTestMethod, which other kinds of test cases have of their own
        try:
            yield
        finally:
            delattr(case, name)
