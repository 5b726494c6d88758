"""The recognised way: a request whose deciding headers were judged before takes the decision of then.

A caller sends the same deciding headers call after call. The guard judges such a request the whole way once,
and `camguard.enforcement.notes` keeps what the guard's own result says: the target of the headers and, where
the head alone determined the call, the decision and the stretch of time for which it holds. `Lane.recognize`
finds that again for a request with the same names of headers in the same order, the same method, the same
peer and the same deciding values. Where nothing is signed, that is the decision. Where the request is signed,
the decision on its caller is looked up when the signature is verified.

`RecognisedWay` passes or refuses such a request. A request that is not recognised goes the whole way, and so
does every request of which something else than its signature and its body must be judged. The recognised way
decides nothing by itself.

Rule 1: a lane belongs to one bundle and one guard. What it keeps was judged in one mode, which is one of the
        kept facts; a decision belongs, besides, to one stretch of time.
Rule 2: what depends on a value that is not part of the key is judged for each request: sizes, control
        characters, the declared length, the port of the peer, the time, the body (THREATS 3.2.7), signatures
        with their time, day, service, key and token (T83), and the names that callers give to their requests.
Rule 3: the headers are frozen before anything else, as `camguard.request.head` freezes them (T26).
Rule 4: the order of refusals is that of the whole way. The replay guard is asked once, when nothing but the
        decision can refuse the request any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias

from camguard.bounded_cache import BoundedCache
from camguard.bundle.model import Bundle
from camguard.enforcement.notes import Notes, keeps_more
from camguard.enforcement.outcome import (
    DECISION_KEY,
    RECORD_KEY,
    SERVICE_KEY,
    Authentication,
    KeptDecision,
    Known,
    Outcome,
    Policies,
    Result,
    kept_of,
    place_of,
)
from camguard.enforcement.target import Targets, UnsignedCallers, targets_under
from camguard.header_names import REQUEST_ID
from camguard.request.body import NOT_SHOWN, BodyBuffer, HeldBody, Receive, Taken, is_plain
from camguard.request.client_address import AddressKey, ClientAddress
from camguard.request.head import (
    CONTROLS,
    LENGTH_DIGITS,
    READY_IDS,
    HeadRules,
    Line,
    RequestHead,
    correlation_of,
    new_request_id,
)
from camguard.request.header_rules import HeaderLayout
from camguard.request.rejection import Rejection
from camguard.request.waiting import Waiting
from camguard.settings.model import Settings
from camguard.telemetry.record import Record

_LOGGER = logging.getLogger(__name__)

# What this makes of a text is ASCII where the text has no control character, and never where it has one.
_ONLY_ASCII: Final = bytes((byte in CONTROLS) << 7 for byte in range(256))


def _declared(digits: bytes) -> int | None:
    """Return a declared length in bytes; None where it is not well formed."""
    return int(digits) if digits.isdigit() and len(digits) <= LENGTH_DIGITS else None


_LENGTHS: Final[BoundedCache[bytes, int | None]] = BoundedCache(_declared)


# A request whose deciding headers were met before: what they came to; the decision, if it holds now; the
# lane's own copy of the lines; `apart` of `Plan.read`; layout, method, and bytes of the body, None where not
# declared. No class, because it costs more.
Met: TypeAlias = tuple[Known, KeptDecision | None, list[Line], tuple[Any, ...], HeaderLayout, str, int | None]

# With what a request goes the whole way: now, in seconds since the epoch; the bundle; what the lane
# recognised, with the kept decision if the body was asked for; that body; an exception that occurred until
# then; why the signature is rejected.
Begun: TypeAlias = tuple[
    float,
    Bundle | None,
    Met | None,
    Taken | Coroutine[Any, Any, Taken],
    Exception | None,
    Rejection | None,
]


class Lane(Notes):
    """Recognises requests by what is kept of earlier ones under one bundle."""

    def recognize(  # noqa: C901, PLR0911 - one check after the other, as in `read_head`
        self, scope: Mapping[str, Any], bundle: Bundle, now: float
    ) -> Met | None:
        """Return what an earlier request with the deciding headers of an `http` scope came to.

        The decision in it is None where the decision must be made anew. Return None where no such request was
        met, or where the head of this one may be refused: it must go the whole way. now: seconds since the
        epoch.
        """
        lines = [*scope["headers"]]  # before anything else: Rule 3
        plan = self._last.get(len(lines))
        if plan is None or scope["query_string"] or scope["path"] != "/":
            return None
        try:
            client, root, raw = scope["client"], scope["root_path"], scope["raw_path"]
        except KeyError:  # servers may leave them out; most do not, and `get` would cost twice as much
            client, root, raw = scope.get("client"), scope.get("root_path"), scope.get("raw_path")
        if not client or root or (raw and raw != b"/"):
            return None
        names, decisive, rest, apart = plan.read(lines)
        if plan.names != names:
            plan = self._plans.get(names)
            if plan is None:
                return None
            self._last[len(lines)] = plan
            _, decisive, rest, apart = plan.read(lines)
        host, port = client
        if port == 0 or type(host) is not str:
            return None
        method = scope["method"]
        # The kept key holds one line break between two values and no other control character. So the values
        # of an equal key are the same values, and need no further look.
        known = self._known.get((plan.number, method, host, b"\n".join(decisive)))
        if known is None:
            return None
        others = b"".join(rest)
        if len(others) > known.room or not others.translate(_ONLY_ASCII).isascii():
            return None
        declared = None
        length = apart[0]
        if length is not None:
            declared = _LENGTHS[length]
            if declared is None or declared > known.body_limit:
                return None
        kept = known.kept
        # As `kept_of` tells, without a call.
        if kept is not None and not (
            kept.begin <= now < kept.end and kept.principal in bundle.evaluator.recent
        ):
            kept = None
        return known, kept, lines, apart, plan.layout, method, declared


class LaneFactory(Protocol):
    """Makes the lane of one bundle: `Lane` itself."""

    def __call__(self, rules: HeadRules, *, decides: bool) -> Lane:
        """Return an empty lane."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was resolved under one bundle, which is not kept alive: the targets and the lane.

    token: of the bundle.
    """

    token: object
    targets: Targets
    lane: Lane


def resolve_under(  # noqa: PLR0913, PLR0917 - what targets and lane are made of
    bundle: Bundle,
    settings: Settings,
    addresses: Mapping[AddressKey, ClientAddress],
    callers: UnsignedCallers,
    rules: HeadRules,
    lane: LaneFactory,
    *,
    compares: bool,
) -> Resolved:
    """Return empty targets and an empty lane under a bundle. compares: whether a candidate judges calls, too.

    The policies of a candidate may name keys that those in force do not name.
    """
    targets = targets_under(bundle, settings, addresses, callers, every_key=compares)
    return Resolved(bundle.token, targets, lane(rules, decides=not compares))


def note(
    resolved: Resolved,
    known: Known | None,
    result: Result,
    bundle: Bundle,
    failed: Callable[[Exception], None],
) -> None:
    """Let the lane keep what a request came to.

    known: what its deciding headers came to before. failed: is given an exception, which changes nothing
    else.
    """
    head = result.judged.head
    if head is None or not keeps_more(known, result.judged):
        return
    try:
        target = resolved.targets.known[head.target_key]
        resolved.lane.note(head, target, result, bundle)
    except Exception as error:  # noqa: BLE001 - the decision stands
        failed(error)


class Resolving(Protocol):
    """Keeps what was resolved under the bundle in force: `camguard.enforcement.early.EarlyJudge`."""

    resolved: Resolved | None

    def under(self, bundle: Bundle) -> Resolved:
        """Return what was resolved under a bundle."""

    def head_of(self, met: Met) -> RequestHead:
        """Return the head of a request that was recognised."""


class RecognisedWay:
    """The guard as far as kept decisions reach. `Guard` (`camguard.enforcement.guard`) goes on from there.

    The arguments are those of the guard. early: knows the lane.
    """

    def __init__(  # noqa: PLR0913 - parts of the guard, each named
        self,
        settings: Settings,
        policies: Policies,
        authentication: Authentication,
        early: Resolving,
        *,
        drains: bool,
        for_proxy: bool,
        clock: Callable[[], float],
    ) -> None:
        limits = settings.limits
        self.in_flight = self.faults = 0
        self._policies, self._authentication, self._resolving = policies, authentication, early
        self._clock, self._drains, self._for_proxy = clock, drains, for_proxy
        self._concurrency = limits.concurrency
        self._names_request = settings.enforcement.request_id_header
        waiting = Waiting(limits.waiting, limits.waiting_per_client)
        self.bodies = BodyBuffer(limits.buffered_bytes, limits.body_seconds, waiting)

    def handle(  # noqa: C901, PLR0911, PLR0912, PLR0915 - one path in one order, as in `_whole_way`
        self, scope: Mapping[str, Any], receive: Receive
    ) -> Outcome | Coroutine[Any, Any, Outcome | None]:
        """Return the outcome of an `http` scope whose decision is kept; else a coroutine that returns it.

        The coroutine returns None if the client left before its body was complete. The caller ends every
        outcome with `release`. A recognised request has no coroutine of its own, which would cost it 3 %.
        """
        started = monotonic()
        now = 0.0
        met: Met | None = None
        bundle = taken = body = onward = signing_key = None
        signing: tuple[Any, ...] = ()
        own: tuple[tuple[bytes, bytes], ...] = ()
        try:
            now, bundle = self._clock(), self._policies.bundle
            if bundle is None or started > self._policies.fresh_until or self.in_flight >= self._concurrency:
                return self._whole_way(scope, receive, started, (now, bundle, None, None, None, None))
            resolved = self._resolving.resolved  # as `EarlyJudge.under` finds it, without a call
            if resolved is None or resolved.token is not bundle.token:
                resolved = self._resolving.under(bundle)
            met = resolved.lane.recognize(scope, bundle, now)
            if met is None:
                return self._whole_way(scope, receive, started, (now, bundle, None, None, None, None))
            known, kept, lines, apart, layout, method, declared = met
            target, canonical = known.target, known.canonical
            if kept is None and canonical is not None and known.signed:
                signing = apart[1:5]
                authorization, timestamp, _, _ = signing
                signing_key = self._authentication.claimed_key(target.service, authorization, timestamp, now)
                if signing_key is not None and signing_key.access_key is not None:
                    kept = kept_of(known.signed.get(id(signing_key.access_key.caller)), bundle, now)
                    met = (known, kept, lines, apart, layout, method, declared)
            if kept is None:
                return self._whole_way(scope, receive, started, (now, bundle, met, None, None, None))
            refusal, facts = kept.refusal, kept.facts
            passes = refusal is None
            if passes or signing_key is not None or not (self._drains or layout.awaits_continue):
                taken = self.bodies.take(receive, declared, known.body_limit, kept.source_ip)
                if type(taken) is not HeldBody or (passes and (kept.reads_plain or not is_plain(taken.data))):
                    return self._whole_way(scope, receive, started, (now, bundle, met, taken, None, None))
                body = taken
                if signing_key is not None and canonical is not None:  # the second never without the first
                    cause = None
                    if body is not NOT_SHOWN:
                        cause = self._authentication.refused(
                            signing_key, canonical, signing, target.service, body.data, now,
                            self._resolving.head_of, met,
                        )  # fmt: skip
                    if cause is not None or body is NOT_SHOWN:
                        return self._whole_way(scope, receive, started, (now, bundle, met, body, None, cause))
            request_id = READY_IDS.pop() if READY_IDS else new_request_id()
            if passes and self._for_proxy:
                onward = {}
            elif passes:
                # A copy: what a middleware adds must not leak back (ASGI). `lines` is a list of this request
                # alone, and no code reads the received lines after this.
                onward = scope.copy() if type(scope) is dict else dict(scope)
                onward["headers"] = lines
                for span in kept.removed:
                    del lines[span]
                if self._names_request:
                    line = REQUEST_ID, request_id.encode()
                    own = (line,)
                    lines.append(line)
                onward[DECISION_KEY] = kept.decision
                onward[SERVICE_KEY] = kept.service
            if layout.correlating is not None:
                facts = facts[:-2] + correlation_of(apart[5], apart[6])
            # Tuples are added, because unpacking makes a list first. `_record` would cost a fifth more.
            record = tuple.__new__(Record, (now, request_id, monotonic() - started, None) + facts)  # noqa: RUF005
        except Exception as error:  # noqa: BLE001 - whatever it is, the application must not be reached
            return self._whole_way(scope, receive, started, (now, bundle, met, taken, error, None))
        for observe in kept.observers:  # as `_observed`, for observers that stay what they are
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - the decision stands
                self.failed(error)
        self.in_flight += 1
        if body is not None:
            if onward is not None:
                onward[RECORD_KEY] = record
                return record, onward, body.receive, None, len(body.data), own
            self.bodies.kept -= len(body.data)
        return record, None, None, refusal, 0, ()

    def _whole_way(
        self, scope: Mapping[str, Any], receive: Receive, started: float, begun: Begun
    ) -> Coroutine[Any, Any, Outcome | None]:
        """Return a coroutine that returns the outcome of a request of which no decision is kept."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """Note a fault: an exception that changes nothing of a decision."""
        self.faults += 1
        _LOGGER.error("%s at %s", type(error).__name__, place_of(error))
