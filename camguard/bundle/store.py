"""The bundle in force, and how another takes its place.

Rule 1: `bundle` is one attribute: a request reads it once and is judged by nothing else (threats T107).
Rule 2: another bundle is prepared aside and put in place in one step; a bad one changes nothing (T106).
Rule 3: what changed is told by content, not by modification times, and only once it holds still.
Rule 4: what is slow, the end of the bundle that was left among it, happens in the thread that looks, and
        never where calls are judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple, TypeAlias

from camguard.bundle.load import Content
from camguard.bundle.model import Bundle
from camguard.errors import CamguardError, Problem

SETTLE_SECONDS = 0.05  # between two readings that must agree
BETWEEN_SECONDS = 0.5  # between two activations: a storm of reloads is coalesced
STOP_SECONDS = 2.0
_READINGS = 40  # that may disagree before a change is left for the next poll

Result = Literal["success", "unchanged", "failure"]


class ReloadOutcome(NamedTuple):
    """What one look at the source came to. time: seconds since the epoch; revision: the one now in force."""

    result: Result
    time: float
    revision: str
    problems: tuple[Problem, ...]
    bundle: Bundle | None


ReloadObserver: TypeAlias = Callable[[ReloadOutcome], None]


class Store:
    """Holds the active bundle and polls its source from a thread of its own."""

    def __init__(  # noqa: PLR0913 - what a store watches and whom it tells, each named
        self,
        read: Callable[[], Content],
        build: Callable[[Content], Bundle],
        *,
        poll_seconds: float = 2.0,
        max_age_seconds: float = 0.0,
        observers: tuple[ReloadObserver, ...] = (),
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bundle: Bundle | None = None
        self._left: Bundle | None = None  # held until the next look: calls under way must not be its last
        self._read = read
        self._build = build
        self._poll_seconds = poll_seconds
        self._max_age = max_age_seconds
        self._observers = observers
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._confirmed: float | None = None
        self._activated = float("-inf")
        self._digest = ""
        self._refused: tuple[str, tuple[Problem, ...]] = ("", ())
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def stale(self) -> bool:
        """Whether the source was not confirmed for longer than the settings allow."""
        if not self._max_age or self._confirmed is None:
            return False
        return self._monotonic() - self._confirmed > self._max_age

    def reload(self) -> ReloadOutcome:
        """Look at the source now, in this thread; activate what is new and whole. Raises nothing."""
        with self._turn:
            try:
                outcome = self._look()
            except CamguardError as exc:
                outcome = self._failure(exc.problems)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the last good bundle keeps serving
                outcome = self._failure((Problem("bundle", "InternalError", f"{type(exc).__name__}: {exc}"),))
            for observe in self._observers:
                with suppress(Exception):  # whoever watches must not end the watch
                    observe(outcome)
            return outcome

    def _look(self) -> ReloadOutcome:
        self._left = None
        content = self._read()
        if content.digest == self._digest:
            return self._confirm("unchanged")
        if content.digest == self._refused[0]:
            return self._failure(self._refused[1])
        digest = content.digest
        del content  # one reading in memory at a time
        content = self._settled(digest)
        try:
            bundle = self._build(content)
        except CamguardError as exc:
            self._refused = (content.digest, exc.problems)
            raise
        self._sleep(max(0.0, self._activated + BETWEEN_SECONDS - self._monotonic()))
        self._activated = self._monotonic()
        self._digest = content.digest
        self._left, self.bundle = self.bundle, bundle
        return self._confirm("success")

    def _settled(self, digest: str) -> Content:
        """Return the content once two readings agree: a folder half written is no bundle.

        digest: of the reading before.
        """
        for _ in range(_READINGS):
            self._sleep(SETTLE_SECONDS)
            content = self._read()
            if content.digest == digest:
                return content
            digest = content.digest
            del content
        raise CamguardError(Problem("bundle", "BundleError", "keeps changing while it is read"))

    def _confirm(self, result: Result) -> ReloadOutcome:
        self._confirmed = self._monotonic()
        self._refused = ("", ())
        return self._outcome(result, ())

    def _failure(self, problems: tuple[Problem, ...]) -> ReloadOutcome:
        return self._outcome("failure", problems)

    def _outcome(self, result: Result, problems: tuple[Problem, ...]) -> ReloadOutcome:
        revision = self.bundle.revision if self.bundle else ""
        return ReloadOutcome(result, self._clock(), revision, problems, self.bundle)

    def start(self) -> None:
        """Begin to poll, once; the first look is the caller's `reload`."""
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._poll, name="camguard-policy", daemon=True)
            self._thread.start()

    def request(self) -> None:
        """Ask for a look soon, from any thread or signal handler; many requests make one look."""
        self._wake.set()

    def end(self) -> None:
        """Ask the thread to stop polling, and do not wait for it."""
        self._stopping = True
        self._wake.set()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop polling. Wait for the look under way, for so long at most: it may hang in a file system."""
        self.end()
        if self._thread is not None:
            self._thread.join(seconds)
            self._thread = None

    def _poll(self) -> None:
        while not self._stopping:
            self._wake.wait(self._poll_seconds)
            self._wake.clear()
            if not self._stopping:
                self.reload()
