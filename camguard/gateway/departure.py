"""How the relay learns that a caller has left: from the protocol of the connection, not by a waiting task.

ASGI tells an application that its caller has left by `http.disconnect`, for which a task of its own would
have to wait during each relayed call. That costs more than the whole parsing of a request.
"""

from __future__ import annotations

from collections.abc import Callable

DEPARTURE_KEY = "camguard.departure"  # of the scope: the `Departure` of the connection


def _nothing() -> None:
    """Do nothing: an ended connection is not read on."""


class Departure:
    """One caller. left: whether the caller has left.

    wake: lets the connection read on, because only a connection that is read shows that its caller left.
    """

    __slots__ = ("_notify", "left", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.left = False
        self.wake = wake
        self._notify: Callable[[], None] | None = None

    def watch(self, notify: Callable[[], None] | None) -> None:
        """Call `notify` when the caller leaves, instead of what was to be called before; None: nothing."""
        self._notify = notify
        if notify is not None:
            self.wake()

    def depart(self) -> None:
        """Note that the caller has left."""
        self.left = True
        self.wake = _nothing  # nothing of an ended connection refers to itself
        if self._notify is not None:
            self._notify()
