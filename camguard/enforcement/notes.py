"""What is kept of requests that went the whole way, so that requests like them are recognised.

`Notes.note` keeps what the guard's own result says of a combination of deciding headers: their target, and
the decision with the stretch of time for which it holds. `camguard.enforcement.lane` finds it again.

Rule 1: nothing of a key is kept, and nothing of a signature but the beginning of the canonical request, which
        the key of the combination determines. Who has signed is proven for each request (T83), and only then
        the decision on this caller is looked up. A key that was read anew is another caller.
Rule 2: everything that is kept is bounded in number and size (T101).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from camguard.authn.tc3 import usual_request
from camguard.bounded_cache import BoundedCache
from camguard.bundle.model import Bundle
from camguard.enforcement.outcome import Judgement, KeptDecision, Known, Result
from camguard.enforcement.target import Target
from camguard.engine.decision import Decision
from camguard.request.head import (
    LINE_COST,
    MOST_UNPACKED,
    NO_CORRELATION,
    UNPACKER_OF,
    HeadRules,
    Line,
    RequestHead,
    Unpacker,
    unpacker,
)
from camguard.request.header_rules import HeaderLayout, taker
from camguard.telemetry.record import Record

if TYPE_CHECKING:
    from _hashlib import HASH

_PLANS: Final = 1024
_QUICK: Final = 64  # plans of a lane whose lines are read by a compiled text; that takes 0.2 to 1.4 ms
_PLAN_BYTES: Final = 4096  # of the names of a plan
_KNOWN: Final = 16_384  # kept combinations: some 20 MiB when full
_KEY_BYTES: Final = 1536
_CALLERS: Final = 64  # kept decisions on signed requests with the same deciding headers

# The places in a Record of what a combination of deciding headers determines.
_FACTS: Final = slice(Record._fields.index("listener"), Record._fields.index("trace_id"))

# The number of the plan, the method, the peer's address as text, and the deciding values.
KnownKey: TypeAlias = tuple[int, str, str, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sequence of header names comes to before any value is looked at.

    number: distinguishes the plans of one lane. read: takes as many lines, and returns their names, the
    values that decide, the others, and `apart`: of the others, those that the lane looks at in each request,
    as `_apart` orders them. layout: of these names. most: bytes that all values may have together.
    """

    names: tuple[bytes, ...]
    number: int
    read: Unpacker
    layout: HeaderLayout
    most: int


class Notes:
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

    def note(self, head: RequestHead, target: Target, result: Result, bundle: Bundle) -> None:
        """Keep what a request came to that went the whole way, where it may be used again.

        head, target: of the request, and of its head alone.
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
        if target.peer is None or _may_name_peer(head, target.peer):
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
        _, decisive, rest, _ = plan.read(head.lines)
        key = (plan.number, head.method, target.peer, b"\n".join(decisive))
        deciding = sum(len(value) for _, value in head.lines) - sum(map(len, rest))
        room = plan.most - (len(head.lines) - 1) - deciding
        canonical = _canonical(head)
        known = Known(target, head.ended, _naming(head), room, target.body_limit, kept, {}, canonical)
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
            _spans(head.ended),
        )

    def _plan(self, head: RequestHead) -> Plan:
        names, layout = tuple([name for name, _ in head.lines]), head.layout
        plan = self._plans.get(names)
        if plan is None:
            self._numbered += 1
            most = min(self._rules.value_bytes, self._rules.bytes - layout.size - LINE_COST * len(names))
            decisive = layout.decisive(tuple(range(len(names))))
            rest = tuple([place for place in range(len(names)) if place not in decisive])
            quick = self._numbered <= _QUICK and len(names) <= MOST_UNPACKED
            read = (unpacker if quick else _uncompiled_unpacker)(
                len(names), decisive, rest, _apart(layout, len(names))
            )
            plan = Plan(names, self._numbered, read, layout, most)
            self._plans[names] = plan
        self._last[len(names)] = plan
        return plan


def _apart(layout: HeaderLayout, count: int) -> tuple[int | None, ...]:
    """Return the places of the declared length, of SIGNING and of CORRELATING. An absent one is None."""
    places = (*range(count), None)
    correlating = (None, None) if layout.correlating is None else layout.correlating(places)
    return (None if layout.length < 0 else layout.length, *layout.signing(places), *correlating)


def _uncompiled_unpacker(count: int, *groups: tuple[int | None, ...]) -> Unpacker:
    """Return what `unpacker` returns, made without compiling a text."""
    unpack = UNPACKER_OF[count]
    takers = [taker(tuple(count if place is None else place for place in group)) for group in groups]

    def read(lines: Sequence[Line]) -> tuple[tuple[Any, ...], ...]:
        names, values = unpack(lines)
        values = (*values, None)  # at the place `count`
        return names, *[take(values) for take in takers]

    return read


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


def _canonical(head: RequestHead) -> HASH | None:
    """Return the beginning of the canonical request of a signed request, as `Known` keeps it."""
    if not head.layout.signed or head.content_type is None or head.content_sha256 is not None:
        return None
    return usual_request(head.method, head.content_type, head.host)


def _spans(ended: tuple[int, ...]) -> tuple[slice, ...]:
    """Return places, the last one first, as the fewest slices."""
    spans: list[slice] = []
    for place in ended:
        if spans and spans[-1].start == place + 1:
            spans[-1] = slice(place, spans[-1].stop)
        else:
            spans.append(slice(place, place + 1))
    return tuple(spans)


def _may_name_peer(head: RequestHead, peer: str) -> bool:
    """Tell whether `X-Forwarded-For` may hold the peer's address with a port: then the port decides (T05)."""
    values = tuple([value for _, value in head.lines])
    text = b",".join(head.layout.forwarded_for(values)).decode("latin-1")
    return ":" in text and peer in text


def _naming(head: RequestHead) -> tuple[Any, ...]:
    """Return the fields of a head from target_key to identity."""
    first, last = RequestHead._fields.index("target_key"), RequestHead._fields.index("identity")
    return tuple(head)[first : last + 1]
