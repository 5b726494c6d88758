"""The order of bundles and the pin, as one process knows them: on disk where that is possible.

Rule 1: a folder that cannot be written stops nothing. The state then stays in memory, the failure is counted
        and reported as a warning, and the state is written at the next poll.
Rule 2: while the folder cannot be written, the order of bundles is that of this process, and the pin is the
        one on disk, because an operator may have set it meanwhile. A pin that this process has released,
        and could not remove from disk, is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from camguard.bundle.last_good import Kept, LastGood, Pin, State
from camguard.errors import BundleError, Problem

WRITES: Final = ("success", "failure")

Archive: TypeAlias = tuple[Kept, bytes]


class KeptState:
    """The state of one source. Only the thread that polls may use it.

    last_good: None keeps nothing on disk. writes: counts by result. warnings: what could not be read or
    written since `forget_warnings`.
    """

    def __init__(self, last_good: LastGood | None) -> None:
        self.last_good = last_good
        self.state = State()
        self.writes = dict.fromkeys(WRITES, 0)
        self.warnings: tuple[Problem, ...] = ()
        self._unwritten = False  # `state` is not on disk yet
        self._released: Pin | None = None  # a pin that was released, and is still on disk

    def forget_warnings(self) -> None:
        """Forget the warnings of the last poll, because another one begins."""
        self.warnings = ()

    def read(self, *, required: bool) -> State:
        """Return the state on disk, or that of this process while the folder cannot be used (Rule 2).

        required: whether a folder that cannot be read is an error. Raises BundleError then.
        """
        if self.last_good is None:
            return self.state
        try:
            state = self.last_good.read()
        except BundleError as error:
            if required:
                raise
            self.warnings = (*self.warnings, *error.problems)
            return self.state
        pin = None if state.pin == self._released else state.pin
        self.state = self.state._replace(pin=pin) if self._unwritten else state
        return self.state

    def change(self, change: Callable[[State], State], archive: Archive | None = None) -> None:
        """Change the state, also on disk where that is possible (Rule 1).

        change: returns the new state. archive: kept in the folder from now on.
        """
        before, self.state = self.state, change(self.state)
        if self.last_good is None:
            return
        if before.pin is not None and self.state.pin is None:
            self._released = before.pin
        try:
            self.state = self.last_good.change(change, archive)
        except OSError as error:
            self._failed(error.strerror)
        except BundleError as error:
            self._failed(error.problems[0].message)
        else:
            self._unwritten, self._released = False, None
            self.writes["success"] += 1

    def write_again(self, archive: Archive | None) -> None:
        """Write the state if that has failed before. archive: of the bundle in force."""
        if self._unwritten:
            state = self.state
            self.change(lambda _: state, archive)

    def confirm(self, moment: float) -> None:
        """Keep on disk when the source last confirmed the bundle in force, a Unix time."""
        if self.last_good is None:
            return
        try:
            self.last_good.confirm(moment)
        except OSError as error:
            self._failed(error.strerror)

    def _failed(self, why: str | None) -> None:
        """Count and report that the folder could not be written (Rule 1)."""
        self._unwritten = True
        self.writes["failure"] += 1
        folder = "" if self.last_good is None else str(self.last_good.folder)
        warning = Problem(folder, "LastGoodError", f"the bundle cannot be kept: {why}")
        self.warnings = tuple(dict.fromkeys((*self.warnings, warning)))
