"""The active bundle, and its replacement while requests are served.

Theory of operation. One thread polls the source of the bundle. A poll reads all bytes and compares their
digest with that of the active bundle. When the digest differs, the thread reads again until two readings
agree, because an editor or a deployment may still be writing, then builds the new bundle and assigns it to
`bundle`. Requests that have read `bundle` before finish with the old one. If a reading or a build fails, the
active bundle stays; the problems of a refused content are kept, so that the same content is not built again
at each poll.

The last reference to a bundle frees all of its tables, which takes a while. The store therefore keeps the
replaced bundle until the next poll, when its requests have ended, and frees it in the polling thread.

A bundle from a URL is one archive with a digest of its own, so one reading is enough.

Rule 1: `bundle` is one attribute. A request reads it once and uses nothing else (T107).
Rule 2: a new bundle is built completely before it is assigned; a wrong one changes nothing (T106).
Rule 3: changes are detected by content, not by modification times, and only when two readings agree.
Rule 4: everything slow, also the freeing of a replaced bundle, happens in the polling thread, never in a
        request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from camguard.bundle.load import Content
from camguard.bundle.model import Bundle
from camguard.errors import CamguardError, Problem

if TYPE_CHECKING:  # at run time only an activation loads lint, and only a URL loads HTTP
    from camguard.bundle.remote import RemoteSource, SourceFacts
    from camguard.lint import Finding

SETTLE_SECONDS = 0.05  # between two readings that must agree
BETWEEN_SECONDS = 0.5  # between two activations, so that many reloads in a row become one
STOP_SECONDS = 2.0
CATCH_UP_SECONDS = 1.0  # that `start` waits for a poll after a pause
_READINGS = 40  # readings that may disagree; then the change waits for the next poll

_LOGGER = logging.getLogger(__name__)

Result = Literal["success", "unchanged", "failure"]


class ReloadOutcome(NamedTuple):
    """The outcome of one poll.

    time: seconds since the epoch. revision, bundle: those that are active afterwards. new_errors: the
    findings of severity error that this activation brought (DEC-55). warnings: what else went wrong, and
    stopped no activation. source: what the URL of the bundle says; None for a folder.
    """

    result: Result
    time: float
    revision: str
    problems: tuple[Problem, ...]
    bundle: Bundle | None
    new_errors: tuple[Finding, ...] = ()
    warnings: tuple[Problem, ...] = ()
    source: SourceFacts | None = None


ReloadObserver: TypeAlias = Callable[[ReloadOutcome], None]


class Store:
    """Keeps the active bundle, and polls its source in its own thread.

    source: the URL whose `read` the store calls, if it is a URL: it decides when the next poll is due, and
    how old the active bundle is.
    """

    def __init__(  # noqa: PLR0913 - the source, the observers and the clocks of a store
        self,
        read: Callable[[], Content],
        build: Callable[[Content], Bundle],
        *,
        poll_seconds: float = 2.0,
        max_age_seconds: float = 0.0,
        observers: tuple[ReloadObserver, ...] = (),
        source: RemoteSource | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bundle: Bundle | None = None
        self._replaced: Bundle | None = None  # kept until the next poll, and freed there (Rule 4)
        self._read = read
        self._build = build
        self._poll_seconds = poll_seconds
        self._max_age = max_age_seconds
        self._observers = observers
        self._source = source
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self.failing = False  # whether the last poll failed
        self.fresh_until = inf  # monotonic time in seconds; later the bundle counts as stale
        self._activated = -inf
        self._polled = inf  # monotonic time of the last poll
        self._before_pause: float | None = None  # `fresh_until`, while a poll after a pause is awaited
        self._caught_up = threading.Event()
        self._identity = ""
        self._refused: tuple[str, tuple[Problem, ...]] = ("", ())
        self._polling = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def stale(self) -> bool:
        """Whether the source has not been confirmed for longer than `max_age_seconds`."""
        return self._monotonic() > self.fresh_until

    @property
    def polling(self) -> bool:
        """Whether the source is being read, or a bundle built, at this moment."""
        return self._polling.locked()

    @property
    def facts(self) -> SourceFacts | None:
        """What the URL of the bundle said at the last poll; None for a folder."""
        return None if self._source is None else self._source.facts

    def force(self) -> None:
        """Accept the bundle of a URL at the next poll whatever its serial; a folder has no order."""
        if self._source is not None:
            self._source.force()

    def reload(self) -> ReloadOutcome:
        """Poll the source now, in this thread, and activate a new valid bundle. Raises nothing."""
        with self._polling:
            self._polled = self._monotonic()
            try:
                outcome = self._poll_once()
            except CamguardError as exc:
                outcome = self._failure(exc.problems)
            except Exception as exc:  # noqa: BLE001 - the active bundle stays after any failure
                outcome = self._failure((Problem("bundle", "InternalError", f"{type(exc).__name__}: {exc}"),))
            outcome = self._with_source(outcome)
            if self._before_pause is not None:
                if outcome.result == "failure":  # the last good bundle stays, as after any failure
                    self.fresh_until = self._before_pause
                self._before_pause = None
                self._caught_up.set()
            for observe in self._observers:
                try:
                    observe(outcome)
                except Exception:
                    _LOGGER.exception("an observer of reloads failed; polling goes on")
            return outcome

    def _with_source(self, outcome: ReloadOutcome) -> ReloadOutcome:
        if self._source is None:
            return outcome
        self._source.polled(failed=outcome.result == "failure")
        return outcome._replace(warnings=self._source.warnings, source=self._source.facts)

    def _poll_once(self) -> ReloadOutcome:
        self._replaced = None
        content = self._read()
        if content.identity == self._identity:
            if self._source is not None:
                self._source.activated(content)  # another archive may have the same content
            return self._confirm("unchanged")
        if content.identity == self._refused[0]:
            return self._failure(self._refused[1])
        if self._source is None:
            identity = content.identity
            del content  # one reading in memory at a time
            content = self._settled(identity)
        try:
            bundle = self._build(content)
        except CamguardError as exc:
            self._refused = (content.identity, exc.problems)
            raise
        self._sleep(max(0.0, self._activated + BETWEEN_SECONDS - self._monotonic()))
        self._activated = self._monotonic()
        self._identity = content.identity
        before = self.bundle
        self._replaced, self.bundle = before, bundle
        if self._source is not None:
            self._source.activated(content)
        outcome = self._confirm("success")
        if bundle.findings is None:
            return outcome
        return outcome._replace(new_errors=bundle.findings.new_errors(before.findings if before else None))

    def _settled(self, identity: str) -> Content:
        """Return the content once two readings agree, because a folder may be half written.

        identity: of the previous reading.
        """
        for _ in range(_READINGS):
            self._sleep(SETTLE_SECONDS)
            content = self._read()
            if content.identity == identity:
                return content
            identity = content.identity
            del content
        raise CamguardError(Problem("bundle", "BundleError", "keeps changing while it is read"))

    def _confirm(self, result: Result) -> ReloadOutcome:
        age = 0.0 if self._source is None else self._source.age()
        self.fresh_until = self._monotonic() + self._max_age - age if self._max_age else inf
        self._refused = ("", ())
        return self._outcome(result, ())

    def _failure(self, problems: tuple[Problem, ...]) -> ReloadOutcome:
        return self._outcome("failure", problems)

    def _outcome(self, result: Result, problems: tuple[Problem, ...]) -> ReloadOutcome:
        self.failing = result == "failure"
        revision = self.bundle.revision if self.bundle else ""
        return ReloadOutcome(result, self._clock(), revision, problems, self.bundle)

    def start(self) -> None:
        """Begin to poll. The caller makes the first poll itself, by `reload`.

        If that was longer ago than `poll_seconds`, the bundle counts as stale until it is polled again,
        because it may have been revoked while nobody polled. Waits for that poll up to CATCH_UP_SECONDS.
        """
        if self._thread is not None:
            return
        self._stopping = False
        late = self._monotonic() - self._polled > self._poll_seconds
        if late:
            self._before_pause, self.fresh_until = self.fresh_until, -inf
            self._caught_up.clear()
            self._wake.set()
        self._thread = threading.Thread(target=self._poll, name="camguard-policy", daemon=True)
        self._thread.start()
        if late:
            self._caught_up.wait(CATCH_UP_SECONDS)

    def request(self) -> None:
        """Request a poll soon, from any thread or signal handler; many requests make one poll."""
        self._wake.set()

    def end(self) -> None:
        """Ask the thread to stop polling, and do not wait for it."""
        self._stopping = True
        self._wake.set()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop polling. Wait at most `seconds` for a poll that runs, because a file system may hang."""
        self.end()
        if self._thread is not None:
            self._thread.join(seconds)
            self._thread = None

    def _poll(self) -> None:
        while not self._stopping:
            self._wake.wait(self._poll_seconds if self._source is None else self._source.wait_seconds())
            self._wake.clear()
            if not self._stopping:
                self.reload()
