"""Counts requests: by decision, by action, by cause, by address and by signature, and how long each took.

Theory of operation. Requests that agree in every value that becomes a label are of one kind, and a kind has
one counter. The kind of a record is found by those values; `observe` returns the counter, so that a caller
that knows a further request to be of the same kind can count it without looking the kind up. `snapshot` makes
the metrics of the counters at a scrape.

Rule 1: text from a request is never a label: an action has its own counter only if a loaded catalog lists it
        (T114). Therefore the catalog bounds the number of kinds.
Rule 2: a reader, in whatever thread, copies a dictionary in one step and works on the copy.

Counts are exact for requests of one thread, as an event loop serves them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, product
from typing import NamedTuple

from camguard.catalog.model import Access
from camguard.engine.decision import Decision, Reason
from camguard.request.rejection import CAUSES, Rejection
from camguard.telemetry.answers import ZERO_SERVICES
from camguard.telemetry.exposition import (
    CLIENT_IP,
    COMPARISON,
    DECISION_BOUNDS,
    SIGNATURE,
    UNKNOWN,
    Labels,
    Snapshot,
    histograms,
    new_timed,
    zeros,
)
from camguard.telemetry.record import SHADOWED, Observer, Record

_VERSION = "version_unknown"  # a denial of the catalog, which shadow mode passes, too
_FAILED = (Reason.INTERNAL_ERROR, Reason.POLICY_UNAVAILABLE)
_FIRST_REASONS = (Reason.ALLOWED, Reason.NO_ALLOW, Reason.EXPLICIT_DENY)
_DENIALS = tuple(reason for reason in Reason if reason is not Reason.ALLOWED)
_CLIENT_IP = frozenset((*CLIENT_IP, None))
_SIGNATURE = frozenset((*SIGNATURE, None))
_DETAIL = frozenset((*CAUSES, None))
_SUM = len(new_timed(DECISION_BOUNDS)) - 1  # a place from the end costs three times as much

ActionLabels = tuple[str, str, str]  # service, access, action or `other`

# Listener, mode, key of `CatalogLabels.actions`, reason, detail, client_ip and signature of a record.
Kind = tuple[str, str, str, Reason, str | None, str | None, str | None]


class CatalogLabels(NamedTuple):
    """The labels that loaded catalogs permit. It is replaced as a whole.

    actions: labels by action id; `aiart:` stands for an action of aiart that no catalog lists, "" for any
        other.
    accesses: service and access, for which series exist from the start.
    """

    actions: Mapping[str, ActionLabels] = {"": (UNKNOWN, UNKNOWN, UNKNOWN)}
    services: frozenset[str] = frozenset()
    accesses: frozenset[tuple[str, str]] = frozenset()


class _Counter:
    """The requests of one kind. timed: of its listener, in the order of `new_timed`."""

    __slots__ = ("_timed", "count")

    def __init__(self, timed: list[float]) -> None:
        self._timed = timed
        self.count = 0

    def observe(self, record: Record) -> None:
        """Count one request."""
        self.count += 1
        timed, duration = self._timed, record.duration
        timed[bisect_left(DECISION_BOUNDS, duration)] += 1
        timed[_SUM] += duration


class Requests:
    """The numbers of the requests of one guard or of one process's guards.

    listeners: the values of `Record.listener`. catalog: returns the labels that are permitted now.
    """

    def __init__(self, listeners: Iterable[str], catalog: Callable[[], CatalogLabels]) -> None:
        self._catalog = catalog
        self._kinds: dict[Kind, _Counter] = {}
        self._timed = {listener: new_timed(DECISION_BOUNDS) for listener in listeners}
        self._first = tuple(self._timed)
        self._compared = zeros(product(COMPARISON, (*Access, UNKNOWN)))

    def observe(self, record: Record) -> Observer | None:
        """Count one request, and return what counts further requests that agree with it.

        Return None where each request must be looked at: a candidate judged it, or its labels are not those
        of its own values, as those of an action that no catalog lists yet.
        """
        entry, decision = record.entry, record.decision
        kind: Kind = (
            record.listener,
            record.mode,
            f"{record.service}:" if entry is None else entry.id,
            decision.reason,
            decision.detail,
            record.client_ip,
            record.signature,
        )
        counter, listed = self._kinds.get(kind), True
        if counter is None:
            found = self._listed(kind, record)
            listed = found == kind
            timed = self._timed.setdefault(found[0], new_timed(DECISION_BOUNDS))
            counter = self._kinds.setdefault(found, _Counter(timed))
        counter.observe(record)
        if record.candidate is not None:
            self._compare(record, record.candidate)
            return None
        return counter.observe if listed else None

    def _listed(self, kind: Kind, record: Record) -> Kind:
        """Return a kind with `UNKNOWN` for what no list contains, and with the nearest action."""
        listener, mode, action, reason, detail, client_ip, signature = kind
        actions = self._catalog().actions
        names = [action] if record.entry is None else [action, f"{record.entry.service}:"]
        return (
            listener if listener in self._timed else UNKNOWN,
            mode,
            next((each for each in names if each in actions), ""),
            reason,
            detail if detail in _DETAIL else UNKNOWN,
            client_ip if client_ip in _CLIENT_IP else UNKNOWN,
            signature if signature in _SIGNATURE else UNKNOWN,
        )

    def _compare(self, record: Record, candidate: Decision | Rejection) -> None:
        if candidate.reason in _FAILED:
            result = "error"
        elif bool(candidate) == bool(record.decision):
            result = "same"
        else:
            result = "newly_allowed" if candidate else "newly_denied"
        access = record.entry.access.value if record.entry is not None else UNKNOWN
        self._compared[result, access] += 1

    def listeners(self) -> tuple[str, ...]:
        """Return the listeners of all requests so far, those without a request included."""
        return tuple(self._timed.copy())

    def snapshot(self) -> Snapshot:
        """Return the current numbers. Any thread may call it while requests are counted."""
        kinds, timed = self._kinds.copy(), self._timed.copy()
        catalog = self._catalog()  # read after the copies, so that it has every action that they count
        shown = catalog.services if len(catalog.services) <= ZERO_SERVICES else ()
        decisions: Counter[Labels] = zeros(
            (listener, service, access, _decision(reason), reason.value)
            for listener, (service, access), reason in chain(
                product(timed, catalog.accesses, _FIRST_REASONS),
                # An alert counts calls of unlisted actions by service; such a call has no access.
                product(timed, ((each, UNKNOWN) for each in shown), (Reason.ACTION_UNKNOWN,)),
            )
        )
        denials = zeros((listener, reason.value) for listener, reason in product(timed, _DENIALS))
        actions: Counter[Labels] = Counter()
        causes, methods, results = (
            zeros(product(CAUSES)),
            zeros(product(CLIENT_IP)),
            zeros(product(SIGNATURE)),
        )
        passed = zeros(product(self._first, (*Access, UNKNOWN)))
        for kind, counter in kinds.items():
            listener, mode, action_id, reason, detail, client_ip, signature = kind
            count = counter.count
            service, access, action = catalog.actions[action_id]
            decisions[listener, service, access, _decision(reason), str(reason)] += count
            actions[service, action, _decision(reason)] += count
            if client_ip is not None:
                methods[client_ip,] += count
            if signature is not None:
                results[signature,] += count
            if reason is Reason.ALLOWED:
                continue
            denials[listener, str(reason)] += count
            cause = detail or str(reason)
            causes[cause if cause in _DETAIL else UNKNOWN,] += count
            if mode == "shadow" and (reason in SHADOWED or cause == _VERSION):
                passed[listener, access] += count
        return {
            "camguard_decisions_total": decisions,
            "camguard_action_decisions_total": actions,
            "camguard_denials_total": denials,
            "camguard_denials_by_detail_total": causes,
            "camguard_decision_duration_seconds": histograms(timed),
            "camguard_client_ip_total": methods,
            "camguard_signature_checks_total": results,
            "camguard_shadow_comparisons_total": self._compared.copy(),
            "camguard_shadow_passed_total": passed,
        }


def _decision(reason: str) -> str:
    return "allow" if reason == Reason.ALLOWED else "deny"
