"""Recognises requests: what a combination of deciding headers came to is used again.

A caller sends the same deciding headers call after call. The guard judges such a request the whole way once,
and `Lane.note` keeps what the guard's own result says: the target of the headers and, where the head alone
determined the call, the decision and the stretch of time for which it holds. `Lane.recognize` finds that
again for a request with the same names of headers in the same order, the same method, the same peer and the
same deciding values, and `Lane.admit` tells whether the kept decision may be used now. A request that is not
recognised goes the whole way. Recognition decides nothing by itself.

Rule 1: a lane belongs to one bundle and one guard. What it keeps was judged in one mode, which is one of the
        kept facts; a decision belongs, besides, to one stretch of time. Nothing of a key or of a signature is
        kept here: who has signed is proven for each request (T83).
Rule 2: what depends on a value that is not part of the key is judged for each request: sizes, control
        characters, the declared length, the port of the peer, the time, the body (THREATS 3.2.7), signatures,
        and the names that callers give to their requests.
Rule 3: the headers are frozen before anything else, as `camguard.request.head` freezes them (T26).
Rule 4: everything that is kept is bounded in number and size (T101).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import ref

from camguard.bounded_cache import BoundedCache
from camguard.bundle.model import Bundle
from camguard.enforcement.outcome import Judgement, Known, new_judgement
from camguard.enforcement.target import Target, Targets, UnsignedCallers, targets_under
from camguard.request.client_address import AddressKey, ClientAddress
from camguard.request.head import (
    CONTROLS,
    LENGTH_DIGITS,
    LINE_COST,
    NO_CORRELATION,
    READY_IDS,
    HeadRules,
    RequestHead,
    correlation_of,
    new_head,
    new_request_id,
)
from camguard.request.header_rules import HeaderLayout, Take
from camguard.settings.model import Settings
from camguard.telemetry.record import Record

_PLANS: Final = 1024
_PLAN_BYTES: Final = 4096  # of the names of a plan
_KNOWN: Final = 16_384  # kept combinations: some 20 MiB when full
_KEY_BYTES: Final = 1536
_NOT_SIGNED: Final = (None, None, None, None)

# The places in a Record of what a combination of deciding headers determines, two slices of it.
_FACTS: Final = slice(Record._fields.index("listener"), Record._fields.index("candidate"))
_NAMES: Final = slice(Record._fields.index("cam_action"), Record._fields.index("trace_id"))

# The number of the plan, the method, the peer's address as text, and the deciding values.
KnownKey: TypeAlias = tuple[int, str, str, bytes]


def _declared(digits: bytes) -> int | None:
    """Return a declared length in bytes; None where it is not well formed."""
    return int(digits) if digits.isdigit() and len(digits) <= LENGTH_DIGITS else None


_LENGTHS: Final[BoundedCache[bytes, int | None]] = BoundedCache(_declared)


class Plan(NamedTuple):
    """What a sequence of header names comes to before any value is looked at.

    number: distinguishes the plans of one lane. most: bytes that all values may have together. take: takes
    the values and returns those that decide. length: the place of the declared length, None where there is
    none. layout: of these names.
    """

    number: int
    most: int
    take: Take
    length: int | None
    layout: HeaderLayout


class Lane:
    """The combinations of deciding headers that were judged under one bundle.

    rules: by which the guard reads heads. decides: whether decisions are kept; not where a second bundle must
    judge each call, too.
    """

    def __init__(self, rules: HeadRules, *, decides: bool) -> None:
        self._rules = rules
        self._decides = decides
        self._plans: BoundedCache[tuple[bytes, ...], Plan] = BoundedCache(entries=_PLANS)
        self._known: BoundedCache[KnownKey, Known] = BoundedCache(
            entries=_KNOWN, longest=_KEY_BYTES, size=lambda key: len(key[2]) + len(key[3])
        )
        self._numbered = 0

    def recognize(  # noqa: C901, PLR0911 - one check after the other, as in `read_head`
        self, scope: Mapping[str, Any], bundle: Bundle, now: float
    ) -> Judgement | None:
        """Return the judgement on an `http` scope whose deciding headers were met before.

        Its decision is None where the request must be judged further than its head was read. None for a
        request that was not met, or that may be refused for its head: it must go the whole way. now: seconds
        since the epoch.
        """
        lines = tuple(scope["headers"])  # before anything else: Rule 3
        if scope["query_string"] or scope["path"] != "/" or scope.get("root_path"):
            return None
        if (scope.get("raw_path") or b"/") != b"/" or not lines or len(lines) > self._rules.lines:
            return None
        names, values = zip(*lines)  # noqa: B905 - pairs, by the ASGI specification
        plan = self._plans.get(names)
        client = scope.get("client")
        if plan is None or not client:
            return None
        number, most, take, length, layout = plan
        text = b" ".join(values)
        size = len(text)
        if size > most or len(text.translate(None, CONTROLS)) != size:
            return None
        host, port = client
        if port == 0 or not isinstance(host, str):
            return None
        method = scope["method"]
        # No value holds a line break, because none holds a control character.
        known = self._known.get((number, method, host, b"\n".join(take(values))))
        if known is None:
            return None
        declared = None
        if length is not None:
            declared = _LENGTHS[values[length]]
            if declared is None or declared > known.target.body_limit:
                return None
        request_id = READY_IDS.pop() if READY_IDS else new_request_id()
        signing = layout.signing((*values, None)) if layout.signed else _NOT_SIGNED
        correlation = NO_CORRELATION
        if layout.correlating is not None:
            correlation = correlation_of(*layout.correlating((*values, None)))
        fixed = (request_id, method, b"", lines, known.ended, layout, declared)
        head = new_head(fixed + known.naming + (*signing, correlation))
        if self.admit(known, bundle, now):
            return new_judgement(
                (head, known.target, (), None, known.caller, None, known.decision, True, known)
            )
        return new_judgement((head, known.target, (), None, None, None, None, False, known))

    def admit(self, known: Known, bundle: Bundle, now: float) -> bool:
        """Tell whether a kept decision holds now. now: seconds since the epoch.

        The principal's table must still be at hand: otherwise the evaluator looks it up and counts that, with
        and without recognition.
        """
        caller = known.caller
        return known.begin <= now < known.end and caller is not None and caller[0] in bundle.evaluator.recent

    def note(self, client: Any, target: Target, judged: Judgement, record: Record, bundle: Bundle) -> None:
        """Keep what a request came to that went the whole way, where it may be used again.

        client: of its scope. target: of its head alone. judged: its last judgement. record: of it.
        """
        head = judged.head
        if head is None or head.query or target.rejection is not None or head.layout.chunked:
            return
        if head.layout.size > _PLAN_BYTES:
            return
        if head.declared is None and head.method != "GET":
            return
        host = client[0] if client else None
        if not host or not isinstance(host, str) or target.peer != host or _may_name_peer(head, host):
            return
        decided: tuple[Any, ...] = ()
        if judged.of_head:
            decision, call = judged.decision, judged.call
            if record.decision is not decision:
                return  # the body was refused: nothing is said of a request with another body
            stretch = bundle.evaluator.stretch(call) if self._decides and call is not None else None
            if stretch is not None:
                decided = (judged.caller, decision, *stretch, record[_FACTS], record[_NAMES])
        plan = self._plan(head)
        values = tuple([value for _, value in head.lines])
        key = (plan.number, head.method, host, b"\n".join(plan.take(values)))
        known = Known(target, head.ended, _naming(head), *decided)
        self._known[key] = known

    def _plan(self, head: RequestHead) -> Plan:
        names, layout = tuple([name for name, _ in head.lines]), head.layout
        plan = self._plans.get(names)
        if plan is None:
            self._numbered += 1
            most = min(self._rules.value_bytes, self._rules.bytes - layout.size - LINE_COST * len(names))
            length = None if layout.length < 0 else layout.length
            plan = Plan(self._numbered, most, layout.decisive, length, layout)
            self._plans[names] = plan
        return plan


def _may_name_peer(head: RequestHead, host: str) -> bool:
    """Tell whether `X-Forwarded-For` may hold the peer's address with a port: then the port decides (T05)."""
    values = (*(value for _, value in head.lines), None)
    text = b",".join(head.layout.forwarded_for(values)).decode("latin-1")
    return ":" in text and host in text


def _naming(head: RequestHead) -> tuple[Any, ...]:
    """Return the fields of a head from target_key to identity."""
    first, last = RequestHead._fields.index("target_key"), RequestHead._fields.index("identity")
    return tuple(head)[first : last + 1]


class LaneMaker(Protocol):
    """Makes the lane of one bundle: `Lane` itself."""

    def __call__(self, rules: HeadRules, *, decides: bool) -> Lane:
        """Return an empty lane."""


class Resolved(NamedTuple):
    """What was resolved under one bundle, which is not kept alive: the targets and the lane."""

    bundle: ref[Bundle]
    targets: Targets
    lane: Lane


def resolve_under(  # noqa: PLR0913, PLR0917 - what targets and lane are made of
    bundle: Bundle,
    settings: Settings,
    addresses: Mapping[AddressKey, ClientAddress],
    callers: UnsignedCallers,
    rules: HeadRules,
    lane: LaneMaker,
    *,
    compares: bool,
) -> Resolved:
    """Return empty targets and an empty lane under a bundle. compares: whether a candidate judges calls, too.

    The policies of a candidate may name keys that those in force do not name.
    """
    targets = targets_under(bundle, settings, addresses, callers, every_key=compares)
    return Resolved(ref(bundle), targets, lane(rules, decides=not compares))


def note(  # noqa: PLR0913, PLR0917 - the result of one request
    resolved: Resolved,
    scope: Mapping[str, Any],
    judged: Judgement,
    record: Record,
    bundle: Bundle,
    failed: Callable[[Exception], None],
) -> None:
    """Let the lane keep what a request came to. failed: is given an exception, which changes nothing else."""
    head = judged.head
    if head is None:
        return
    try:
        target = resolved.targets.known[head.target_key]
        resolved.lane.note(scope.get("client"), target, judged, record, bundle)
    except Exception as error:  # noqa: BLE001 - the decision stands
        failed(error)
