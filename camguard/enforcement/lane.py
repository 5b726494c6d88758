"""Recognises requests: what a combination of deciding headers came to is used again.

A caller sends the same deciding headers call after call. The guard judges such a request the whole way once,
and `Lane.note` keeps what the guard's own result says: the target of the headers and, where the head alone
determined the call, the decision and the stretch of time for which it holds. `Lane.recognize` finds that
again for a request with the same names of headers in the same order, the same method, the same peer and the
same deciding values. A request that is not recognised goes the whole way, and so does the rest of a request
without a kept decision that holds now. Recognition decides nothing by itself.

Rule 1: a lane belongs to one bundle and one guard. What it keeps was judged in one mode, which is one of the
        kept facts; a decision belongs, besides, to one stretch of time. Nothing of a key or of a signature is
        kept here: who has signed is proven for each request (T83), and only then the decision on this caller
        is looked up. A key that was read anew is another caller.
Rule 2: what depends on a value that is not part of the key is judged for each request: sizes, control
        characters, the declared length, the port of the peer, the time, the body (THREATS 3.2.7), signatures,
        and the names that callers give to their requests.
Rule 3: the headers are frozen before anything else, as `camguard.request.head` freezes them (T26).
Rule 4: everything that is kept is bounded in number and size (T101).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from weakref import ref

from camguard.bounded_cache import BoundedCache
from camguard.bundle.model import Bundle
from camguard.enforcement.outcome import Judgement, KeptDecision, Known, Result
from camguard.enforcement.target import Target, Targets, UnsignedCallers, targets_under
from camguard.engine.decision import Decision
from camguard.request.client_address import AddressKey, ClientAddress
from camguard.request.head import (
    APART,
    CONTROLS,
    LENGTH_DIGITS,
    LINE_COST,
    NO_CORRELATION,
    Apart,
    HeadRules,
    Line,
    RequestHead,
)
from camguard.request.header_rules import HeaderLayout, Take, taker
from camguard.settings.model import Settings
from camguard.telemetry.record import Record

_PLANS: Final = 1024
_PLAN_BYTES: Final = 4096  # of the names of a plan
_KNOWN: Final = 16_384  # kept combinations: some 20 MiB when full
_KEY_BYTES: Final = 1536
_CALLERS: Final = 64  # kept decisions on signed requests with the same deciding headers

# The places in a Record of what a combination of deciding headers determines.
_FACTS: Final = slice(Record._fields.index("listener"), Record._fields.index("trace_id"))

# What this makes of a text is ASCII where the text has no control character, and never where it has one.
_ONLY_ASCII: Final = bytes(0x80 if byte in CONTROLS else min(byte, 0x7E) for byte in range(256))

# The number of the plan, the method, the peer's address as text, and the deciding values.
KnownKey: TypeAlias = tuple[int, str, str, bytes]


def _declared(digits: bytes) -> int | None:
    """Return a declared length in bytes; None where it is not well formed."""
    return int(digits) if digits.isdigit() and len(digits) <= LENGTH_DIGITS else None


_LENGTHS: Final[BoundedCache[bytes, int | None]] = BoundedCache(_declared)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sequence of header names comes to before any value is looked at.

    number: distinguishes the plans of one lane. apart: returns the names and the values of as many lines.
    take: takes the values and returns those that decide; rest: returns the others. length: the place of the
    declared length, None where there is none. layout: of these names. most: bytes that all values may have
    together.
    """

    names: tuple[bytes, ...]
    number: int
    apart: Apart
    take: Take
    rest: Take
    length: int | None
    layout: HeaderLayout
    most: int


# A request whose deciding headers were met before: what they came to; the decision, if it holds now; lines,
# values, layout, method, and bytes of the body, None where not declared. No class, because it costs more.
Met: TypeAlias = tuple[
    Known, KeptDecision | None, tuple[Line, ...], tuple[bytes, ...], HeaderLayout, str, int | None
]


class Lane:
    """The combinations of deciding headers that were judged under one bundle.

    rules: by which the guard reads heads. decides: whether decisions are kept; not where a second bundle must
    judge each call, too.
    """

    def __init__(self, rules: HeadRules, *, decides: bool) -> None:
        self._rules = rules
        self.decides = decides
        self._plans: BoundedCache[tuple[bytes, ...], Plan] = BoundedCache(entries=_PLANS)
        # The plan that was used last, by the number of lines. A comparison of names costs half of a look-up,
        # because names come in new objects whose hash must be computed.
        self._last: dict[int, Plan] = {}
        self._known: BoundedCache[KnownKey, Known] = BoundedCache(
            entries=_KNOWN, longest=_KEY_BYTES, size=lambda key: len(key[2]) + len(key[3])
        )
        self._numbered = 0

    def recognize(  # noqa: C901, PLR0911 - one check after the other, as in `read_head`
        self, scope: Mapping[str, Any], bundle: Bundle, now: float
    ) -> Met | None:
        """Return what an earlier request with the deciding headers of an `http` scope came to.

        The decision in it is None where the decision must be made anew. Return None where no such request was
        met, or where the head of this one may be refused: it must go the whole way. now: seconds since the
        epoch.
        """
        lines = tuple(scope["headers"])  # before anything else: Rule 3
        plan, client = self._last.get(len(lines)), scope.get("client")
        if plan is None or not client or scope["query_string"] or scope["path"] != "/":
            return None
        if scope.get("root_path") or (scope.get("raw_path") or b"/") != b"/":
            return None
        names, values = plan.apart(lines)
        if plan.names != names:
            plan = self._plans.get(names)
            if plan is None:
                return None
            self._last[len(lines)] = plan
        length = plan.length
        host, port = client
        if port == 0 or type(host) is not str:
            return None
        method = scope["method"]
        # The kept key holds one line break between two values and no other control character. So the values
        # of an equal key are the same values, and need no further look.
        known = self._known.get((plan.number, method, host, b"\n".join(plan.take(values))))
        if known is None:
            return None
        others = b"".join(plan.rest(values))
        if len(others) > known.room or not others.translate(_ONLY_ASCII).isascii():
            return None
        declared = None
        if length is not None:
            declared = _LENGTHS[values[length]]
            if declared is None or declared > known.body_limit:
                return None
        kept = known.kept
        # As `kept_of` tells, without a call.
        if kept is not None and not (
            kept.begin <= now < kept.end and kept.principal in bundle.evaluator.recent
        ):
            kept = None
        return known, kept, lines, values, plan.layout, method, declared

    def note(self, client: Any, head: RequestHead, target: Target, result: Result, bundle: Bundle) -> None:
        """Keep what a request came to that went the whole way, where it may be used again.

        client: of its scope. head, target: of the request, and of its head alone.
        """
        if result.judged.known is not None:
            self._note_caller(result.judged.known, head, result, bundle)
            return
        if head.query or target.rejection is not None or head.layout.chunked:
            return
        if head.layout.size > _PLAN_BYTES:
            return
        if head.declared is None and head.method != "GET":
            return
        host = client[0] if client else None
        if not host or not isinstance(host, str) or target.peer != host or _may_name_peer(head, host):
            return
        kept = None
        if result.judged.of_head:
            if result.record.decision is not result.judged.decision:
                return  # the body was refused: nothing is said of a request with another body
            if result.refusal is not None and head.layout.awaits_continue:
                # The body of a recognised request is not asked for, even if that of this one was awaited.
                result = result._replace(refusal=result.refusal.closing())
            kept = self._kept(head, target, result, bundle)
        plan = self._plan(head)
        values = tuple([value for _, value in head.lines])
        key = (plan.number, head.method, host, b"\n".join(plan.take(values)))
        room = plan.most - (len(values) - 1) - (sum(map(len, values)) - sum(map(len, plan.rest(values))))
        known = Known(target, head.ended, _naming(head), room, target.body_limit, kept, {})
        self._note_caller(known, head, result, bundle)
        self._known[key] = known

    def _note_caller(self, known: Known, head: RequestHead, result: Result, bundle: Bundle) -> None:
        """Keep the decision on a caller whose signature was verified, or that it may not be used again."""
        judged, target = result.judged, known.target
        caller, form = judged.caller, target.body is not None and target.body.kind == "form"
        if caller is None or caller.signature != "valid" or judged.call is None or not self.decides:
            return
        kept = None
        if judged.target is target and target.resources is None and not form:
            kept = self._kept(head, target, result, bundle)
        if len(known.signed) >= _CALLERS:
            known.signed.clear()
        known.signed[id(caller)] = (caller, kept)

    def _kept(self, head: RequestHead, target: Target, result: Result, bundle: Bundle) -> KeptDecision | None:
        """Return the decision as it is kept; None where it may not be used again."""
        caller, call, decision = result.judged.caller, result.judged.call, result.judged.decision
        if not self.decides or caller is None or call is None or not isinstance(decision, Decision):
            return None
        stretch = bundle.evaluator.stretch(call)
        if stretch is None or target.octets:
            return None
        return KeptDecision(
            *stretch,
            caller.principal,
            decision,
            tuple(result.record)[_FACTS] + NO_CORRELATION,
            result.observers,
            result.refusal,
            target.source_ip,
            target.reads_plain,
            target.service,
            target.added,
            _spans(head.ended),
        )

    def _plan(self, head: RequestHead) -> Plan:
        names, layout = tuple([name for name, _ in head.lines]), head.layout
        plan = self._plans.get(names)
        if plan is None:
            self._numbered += 1
            most = min(self._rules.value_bytes, self._rules.bytes - layout.size - LINE_COST * len(names))
            length = None if layout.length < 0 else layout.length
            places = tuple(range(len(names)))
            decisive = frozenset(layout.decisive(places))
            rest = taker(tuple([place for place in places if place not in decisive]))
            apart = APART[len(names)]
            plan = Plan(names, self._numbered, apart, layout.decisive, rest, length, layout, most)
            self._plans[names] = plan
        self._last[len(names)] = plan
        return plan


def keeps_more(known: Known | None, judged: Judgement) -> bool:
    """Tell whether there is something to keep of a request that went the whole way.

    known: what its deciding headers came to before. It lacks the decision on a caller whose signature was
    verified where there is none yet, or where the kept one does not hold now.
    """
    caller = judged.caller
    if known is None:
        return True
    if judged.kept is not None or caller is None or caller.signature != "valid" or judged.call is None:
        return False
    found = known.signed.get(id(caller))
    return found is None or found[1] is not None


def _spans(ended: tuple[int, ...]) -> tuple[slice, ...]:
    """Return places, the last one first, as the fewest slices."""
    spans: list[slice] = []
    for place in ended:
        if spans and spans[-1].start == place + 1:
            spans[-1] = slice(place, spans[-1].stop)
        else:
            spans.append(slice(place, place + 1))
    return tuple(spans)


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


@dataclass(frozen=True, slots=True)
class Resolved:
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
        resolved.lane.note(scope.get("client"), head, target, result, bundle)
    except Exception as error:  # noqa: BLE001 - the decision stands
        failed(error)
