"""Counts what callers got, and what upstreams answered.

Rule 1: an answer is counted once, by what its caller got: the status class of the upstream or of the
        application, `refusal` for an answer that camguard wrote, `error` for a reply that failed or was cut.
        A caller that left before an answer began got none.
Rule 2: a service is a label only if a loaded catalog has it (T114).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from itertools import product

from camguard.request.rejection import Rejection
from camguard.telemetry.exposition import (
    CODE_CLASS,
    RESPONSE,
    UNKNOWN,
    UPSTREAM_BOUNDS,
    UPSTREAM_ERROR,
    Labels,
    Snapshot,
    histograms,
    new_timed,
    zeros,
)
from camguard.telemetry.record import AUTHORIZER, Record

ZERO_SERVICES = 64  # with more services, the series of a service appear only with its first request
_CLASSES = {int(word[0]) * 100 + rest: word for word in CODE_CLASS for rest in range(100)}  # by status


def _refused(record: Record) -> bool:
    """Tell whether a request was refused, and not denied by policy in shadow mode only."""
    decision = record.decision
    return not decision and (record.mode == "enforce" or isinstance(decision, Rejection))


class Answers:
    """The numbers of answers, of one guard or of one process's guards.

    listeners: the values of `Record.listener`. services: returns the services of all loaded catalogs.
    """

    def __init__(self, listeners: Iterable[str], services: Callable[[], AbstractSet[str]]) -> None:
        self._responses = {listener: dict.fromkeys(RESPONSE, 0) for listener in listeners}
        self._services = services
        self._timed: dict[str, list[float]] = {}
        self._replies: Counter[Labels] = Counter()
        self._errors: Counter[Labels] = Counter()
        self._forwards: Callable[[str], bool] = lambda _service: False

    def conclude(
        self,
        record: Record,
        upstream_status: int | None,
        upstream_error: str | None = None,
        status: int | None = None,
    ) -> None:
        """Count the answer of one request, with its end as `Conclusion` is given it (Rule 1)."""
        if upstream_error is not None:
            answer = "error"
        elif upstream_status is not None:
            answer = _CLASSES.get(upstream_status, UNKNOWN)
        elif status is not None:
            # Without an upstream, the authorizer alone answers a request that passes.
            passed = record.listener == AUTHORIZER and not _refused(record)
            answer = _CLASSES.get(status, UNKNOWN) if passed else "refusal"
        else:
            return
        try:
            self._responses[record.listener][answer] += 1
        except KeyError:  # another listener, or a status that is none
            listener = record.listener if record.listener in self._responses else UNKNOWN
            counts = self._responses.setdefault(listener, dict.fromkeys(RESPONSE, 0))
            counts[answer] = counts.get(answer, 0) + 1

    def upstream(self, service: str, status: int, seconds: float) -> None:
        """Count one request that its upstream answered. seconds: from sending to the end of the answer."""
        label = service if service in self._services() else UNKNOWN
        timed = self._timed.get(label)
        if timed is None:
            timed = self._timed.setdefault(label, new_timed(UPSTREAM_BOUNDS))
        timed[bisect_left(UPSTREAM_BOUNDS, seconds)] += 1
        timed[-1] += seconds
        self._replies[label, _CLASSES.get(status, UNKNOWN)] += 1

    def upstream_error(self, service: str, kind: str) -> None:
        """Count one request whose upstream failed. kind: one of UPSTREAM_ERROR."""
        label = service if service in self._services() else UNKNOWN
        self._errors[label, kind if kind in UPSTREAM_ERROR else UNKNOWN] += 1

    def follow_upstreams(self, forwards: Callable[[str], bool]) -> None:
        """Show the series of upstreams from the start. forwards: whether calls of a service go to one."""
        self._forwards = forwards

    def snapshot(self) -> Snapshot:
        """Return the current numbers. Any thread may call it while requests are counted."""
        timed, services = self._timed.copy(), self._services()
        for service in filter(self._forwards, services if len(services) <= ZERO_SERVICES else ()):
            timed.setdefault(service, new_timed(UPSTREAM_BOUNDS))
        replies = {**zeros(product(timed, CODE_CLASS)), **self._replies.copy()}
        errors = {**zeros(product(timed, UPSTREAM_ERROR)), **self._errors.copy()}
        return {
            "camguard_responses_total": {
                (listener, answer): count
                for listener, counts in self._responses.copy().items()
                for answer, count in counts.copy().items()
            },
            "camguard_upstream_duration_seconds": histograms(timed),
            "camguard_upstream_responses_total": replies,
            "camguard_upstream_errors_total": errors,
        }
