"""Marks that follow fixtures: what a wide fixture wrote lives exactly as long as that fixture."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

from mintdb.contract import Clone
from mintdb.errors import LeaseError
from mintdb.facts import dataclass

EVERYBODY = "everybody"  # owner of what was written before the first test
TEST = "the test"  # owner of a passing mark: what a test had written when a wide fixture was set up in its midst


class MarkHeld(LeaseError):
    """A mark cannot be dropped because one above it stands on it. Facts: number."""

    text = "mark {number} is held by a mark above it, which stands on it"


@dataclass(eq=False)
class Held:
    """What somebody wrote, held by a mark."""

    owner: Hashable
    ended: bool = False  # but a mark above stands on it, so that it cannot go yet


class MarkStack:
    """The marks of one clone, and for each who wrote what it holds.

    A fixture that wrote nothing has no mark and costs one look at the WAL. Set-ups nest: a wide fixture may be wanted
    in the middle of a test, or of another fixture.
    """

    def __init__(self, clone: Clone) -> None:
        self._clone = clone
        self._held: list[Held] = []  # by the marks, the lowest first
        self._setting_up: list[Hashable] = []  # wide fixtures whose set-up runs now, the innermost last
        self._stale = False  # a mark was dropped, or a put-back was put off, and the clone has not gone back yet
        self.held_test = False  # whether what the last test wrote stays: a wide fixture that it set up stands on it

    def keep_what_is_there(self) -> None:
        """What has been written so far belongs to every test from now on."""
        if self._clone.wrote():
            self._push(EVERYBODY)

    def keep_the_tests(self) -> None:
        """What the test that runs has written so far stays until it ends."""
        if self._clone.wrote():
            self._push(TEST)
        self._clone.welcome()

    def before_setup(self, owner: Hashable, *, settle: float) -> None:
        """`owner`, a wide fixture, is about to be set up: what was written until now is not its doing."""
        if not self.go_back(settle=settle) and self._clone.wrote():
            self._push(self._setting_up[-1] if self._setting_up else TEST)
        self._setting_up.append(owner)

    def go_back(self, *, settle: float) -> bool:
        """Put the clone back if what has ended has left something; whether there was anything to do."""
        if not self._stale:
            return False
        self._clone.settle(seconds=settle)
        self._clone.restore()
        self._stale = False
        return True

    def put_off(self) -> bool:
        """A test has ended, and the clone goes back later; False if it cannot wait."""
        self.held_test = False
        can_wait = all(each.owner != TEST for each in self._held)
        self._stale = self._stale or can_wait
        return can_wait

    def clear(self, *, settle: float) -> None:
        """Wide fixtures were torn down after the test's own put-back: undo what they wrote, and what they were."""
        if self._stale or self._clone.wrote():
            self._clone.settle(seconds=settle)
            self._clone.restore()
            self._stale = False

    def after_setup(self, owner: Hashable, *, failed: bool) -> None:
        """`owner` was set up: what was written since `before_setup` lives until `after_teardown(owner)`."""
        self._setting_up.remove(owner)
        if failed:
            self._drop(owner)
        elif self._clone.wrote():
            self._push(owner)
        self._clone.welcome()

    def after_teardown(self, owner: Hashable) -> None:
        """`owner` has ended; what it wrote is gone after the next put-back, or before the next set-up."""
        self._drop(owner)

    def after_test(self) -> None:
        """A test has ended, just before the clone is put back."""
        written = [each for each in self._held if each.owner == TEST and not each.ended]
        self._drop(TEST)
        self.held_test = any(each in self._held for each in written)
        self._stale = False

    def _push(self, owner: Hashable) -> None:
        self._clone.push_mark()
        self._held.append(Held(owner))

    def _drop(self, owner: Hashable) -> None:
        for each in self._held:
            each.ended = each.ended or each.owner == owner
        for index in reversed(range(len(self._held))):
            if self._held[index].ended:
                self._try_to_drop(index)

    def _try_to_drop(self, index: int) -> None:
        try:
            self._clone.drop_mark(index + 1)
        except MarkHeld:
            return  # it goes as soon as the mark that holds it does
        self._held.pop(index)
        self._stale = True


@contextmanager
def setting_up(stacks: Sequence[MarkStack], owner: Hashable, *, settle: float) -> Iterator[None]:
    """What the block writes, which sets up `owner`, lives in each clone until `after_teardown(owner)`."""
    for marks in stacks:
        marks.before_setup(owner, settle=settle)
    failed = True
    try:
        yield
        failed = False
    finally:
        for marks in stacks:
            marks.after_setup(owner, failed=failed)
