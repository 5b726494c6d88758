"""The enforcement point: from an ASGI request to an outcome.

`handle`, the recognised way (`camguard.enforcement.lane`), passes or refuses a request whose decision is kept
and whose body holds nothing that decides. `Guard._whole_way` walks every other request through values, from
top to bottom, and takes none of them back:

    scope -> RequestHead -> Target -> early Decision -> body -> content -> Caller, Call -> Decision
    -> Record -> Outcome

Most requests are decided early: where nothing is signed and the action is judged as a whole, the head alone
determines the call, and the policies decide before a byte of the body is taken. The body is then only
searched for a second action. All other requests need the body for their decision: a signature covers it, a
form names the action, JSON names the resources. While a body is awaited, its request counts as waiting and
not as being served. When the body is complete, everything is judged again, under the bundle, the keys and the
clock of that moment.

Rule 1: one request, one frozen head, one bundle, one record. Nothing of a request stays in the guard but
        counts.
Rule 2: stages return a `Rejection` or their value. The one `try` in `_whole_way` turns anything unexpected
        into a refusal, also an exception that `handle` hands over; there is no path from an exception
        to the application (T66).
Rule 3: observers are given the record when the decision stands. An observer that raises changes nothing.
Rule 4: in shadow mode only denials of policy and catalog go on. A request that can be read in two ways, or
        whose caller is not proven, is refused there, too: its record would be worth nothing, and forwarding
        it would be a new risk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import monotonic
from typing import Any, Final

from camguard.authn.authenticator import named_secret_id, signature_label
from camguard.bundle.model import Bundle
from camguard.enforcement.early import BODY_ON_GET, EarlyJudge, head_of
from camguard.enforcement.lane import Begun, Lane, LaneFactory, RecognisedWay, note
from camguard.enforcement.late import LateJudge
from camguard.enforcement.modes import Modes
from camguard.enforcement.outcome import (
    DECISION_KEY,
    INTERNAL,
    RECORD_KEY,
    SERVICE_KEY,
    Answers,
    Authentication,
    Judgement,
    Outcome,
    Policies,
    Result,
    answers_late,
    awaits_continue,
    compared,
    rejected,
    template_of,
)
from camguard.enforcement.target import NO_TARGET, Target
from camguard.engine.decision import Decision, Reason
from camguard.fast_tuple import constructor_of
from camguard.header_names import REQUEST_ID
from camguard.request.body import TOO_LARGE, HeldBody, Receive, Taken, is_plain, stream
from camguard.request.head import NO_CORRELATION, RequestHead, new_request_id
from camguard.request.rejection import Rejection
from camguard.settings.model import Settings
from camguard.telemetry.record import Conclusion, Observer, Record

_LOGGER = logging.getLogger(__name__)

ALLOWED: Final = Reason.ALLOWED
NOT_JUDGED: Final = rejected(None, NO_TARGET, INTERNAL)

_record = constructor_of(Record)


class Guard(RecognisedWay):
    """Judges requests by one bundle at a time. One guard per listener.

    drains: whether the server keeps reading a body behind a refusal; the body of a denied call is then not
    taken. for_proxy: as for `LateJudge`; the scope that goes on is then empty, because the proxy that asks
    sends the request on itself. in_flight: requests being served, from `handle` to `release`, but for those
    that wait for their body. bodies: those that are held. faults: exceptions, of stages and of observers.
    lane: makes what recognises requests under one bundle.
    """

    def __init__(  # noqa: PLR0913 - the parts of the house, each named
        self,
        settings: Settings,
        policies: Policies,
        authentication: Authentication,
        *,
        candidate: Policies | None = None,
        observers: tuple[Observer, ...] = (),
        conclusions: tuple[Conclusion, ...] = (),
        listener: str = "middleware",
        drains: bool = False,
        for_proxy: bool = False,
        clock: Callable[[], float] = time.time,
        lane: LaneFactory = Lane,
    ) -> None:
        early = EarlyJudge(settings, policies, authentication, lane, compares=candidate is not None)
        super().__init__(
            settings, policies, authentication, early, drains=drains, for_proxy=for_proxy, clock=clock
        )
        self.listener = listener
        self.answers = Answers.of(settings)
        self.observers, self.conclusions = observers, conclusions
        self._modes = Modes(settings.enforcement, listener)
        self._mode = self._modes.single  # None where parts of the calls have modes of their own
        self._limits = settings.limits
        self._candidate, self._early = candidate, early
        self._late = LateJudge(settings, authentication, self._modes.passes, for_proxy=for_proxy)

    async def _whole_way(  # noqa: C901, PLR0912, PLR0915 - one path in one order; a call per step would cost as much
        self, scope: Mapping[str, Any], receive: Receive, started: float, begun: Begun
    ) -> Outcome | None:
        """Return the outcome of a request of which no decision is kept, or which its body may refuse."""
        now, bundle, met, taken, error, cause = begun
        judge = self._early.judge
        first = judged = NOT_JUDGED
        decision: Decision | Rejection | None
        body = candidate = onward = None
        outcome: Outcome | None = None
        self.in_flight += 1
        try:
            try:
                if isinstance(taken, HeldBody):
                    body = taken  # first, so that its bytes are given back whatever fails
                if met is not None and cause is not None:
                    first = judged = rejected(head_of(met), met[0].target, cause, met[0])
                else:
                    first = judged = judge(scope, None, met, bundle, now, started, self.in_flight)
                if error is not None:
                    raise error  # noqa: TRY301 - one way for all exceptions
                head, target = judged.head, judged.target
                decision = judged.decision
                passes = decision is None or self._modes.passes(decision, judged.target)
                streams = target.octets and head is not None and not self._authentication.needs_body(head)
                wanted = passes or (not self._drains and answers_late(judged))
                if head is not None and not streams and wanted:
                    if met is None or met[1] is None:
                        taken = self.bodies.take(receive, head.declared, target.body_limit, target.source_ip)
                    if not isinstance(taken, HeldBody) and isinstance(taken, Coroutine):  # slow to ask
                        taken = await self._awaited(taken)
                        if isinstance(taken, HeldBody):  # everything is judged again, as of now
                            body = taken  # first, so that its bytes are given back whatever fails
                            now, bundle = self._clock(), self._policies.bundle
                            judged = judge(scope, head, None, bundle, now, monotonic(), self.in_flight)
                            decision = judged.decision
                            passes = decision is None or self._modes.passes(decision, judged.target)
                    if taken is None:
                        return None
                    if isinstance(taken, Rejection):
                        decision = BODY_ON_GET if target.body is None and taken is TOO_LARGE else taken
                    else:
                        body = taken
                        if (
                            decision is not None
                            and passes
                            and (target.reads_plain or not is_plain(body.data))
                        ):
                            content = self._late.content(judged.target, body, judged.params)
                            decision = content if isinstance(content, Rejection) else decision
                if decision is None:
                    judged = self._late.judge(judged, body, bundle, self._early.targets, now)
                    decision = INTERNAL if judged.decision is None else judged.decision
                if self._candidate is not None and not isinstance(decision, Rejection):
                    candidate = compared(self._candidate, judged.call, self.failed)
                if decision.reason is ALLOWED or self._modes.passes(decision, judged.target):
                    onward = {} if self._for_proxy else self._onward(scope, judged, decision)
                    if body is None and head is not None:
                        holds, seconds = partial(self._still_passes, head), self._limits.body_seconds
                        receive = stream(receive, head.declared, target.body_limit, seconds, holds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the application must not be reached
                self.failed(error)
                decision, onward = INTERNAL, None
            head, kept, refusal = judged.head, judged.kept, None
            if kept is not None and head is not None and decision is kept.decision:
                facts = kept.facts[:-2] + head.correlation
                record = _record((now, head.request_id, monotonic() - started, None) + facts)  # noqa: RUF005
                refusal = kept.refusal
                self._observed(record, kept.observers)
            else:
                record = self._record(judged, decision, candidate, bundle, now, started)
                observers = self._observed(record, self.observers)
                if onward is None:
                    closes = body is None and awaits_continue(scope, head)
                    refusal = template_of(record, self.answers, closes=closes)
                known = first.known
                if head and bundle is not None and (known is None or first.claim is not judged.caller):
                    result = Result(judged, record, observers, refusal)
                    note(self._early.under(bundle), known, result, bundle, self.failed)
            if refusal is not None or onward is None:
                outcome = (record, None, None, refusal, 0, ())
            else:
                onward[RECORD_KEY] = record
                own = ((REQUEST_ID, record.request_id.encode()),) if self._names_request else ()
                if body is None:
                    outcome = (record, onward, receive, None, 0, own)
                else:
                    outcome = (record, onward, body.receive, None, len(body.data), own)
            return outcome
        finally:
            if outcome is None:
                self.in_flight -= 1
            if body is not None and (outcome is None or onward is None):
                self.bodies.kept -= len(body.data)

    def refuse(self, cause: Rejection, peer: str | None) -> Record:
        """Return the record of a request that is refused unread. Observers get it. peer: of the socket."""
        judged = rejected(None, Target(peer=peer), cause)
        record = self._record(judged, cause, None, self._policies.bundle, self._clock(), monotonic())
        self._observed(record, self.observers)
        return record

    async def _awaited(self, body: Awaitable[Taken]) -> Taken:
        """Return a body that has to be awaited. Meanwhile the request does not count as being served."""
        self.in_flight -= 1
        try:
            return await body
        finally:
            self.in_flight += 1

    def _still_passes(self, head: RequestHead) -> bool:
        """Tell whether a call whose body passed through unread would go on if it were judged now."""
        try:
            now, bundle = self._clock(), self._policies.bundle
            judged = self._early.judge({}, head, None, bundle, now, monotonic(), self.in_flight)
            if judged.decision is None:
                judged = self._late.judge(judged, None, bundle, self._early.targets, now)
        except Exception as error:  # noqa: BLE001 - a call that cannot be judged does not go on
            self.failed(error)
            return False
        return judged.decision is not None and self._modes.passes(judged.decision, judged.target)

    def _onward(
        self, scope: Mapping[str, Any], judged: Judgement, decision: Decision | Rejection
    ) -> dict[str, Any]:
        """Return the scope of the application: the frozen head, and what was decided."""
        assert judged.head is not None  # noqa: S101 - for mypy: what was not read is rejected
        onward = dict(scope)  # a copy: what a middleware adds must not leak back (ASGI)
        headers = list(judged.head.lines)  # as `RequestHead.onward` returns it, without a call
        for place in judged.head.ended:
            del headers[place]
        headers += judged.target.added
        if self._names_request:
            headers.append((REQUEST_ID, judged.head.request_id.encode()))
        onward["headers"] = headers
        onward[DECISION_KEY] = decision
        onward[SERVICE_KEY] = judged.target.service
        return onward

    def _record(  # noqa: PLR0913, PLR0917 - the values of one request, in the order in which they were found
        self,
        judged: Judgement,
        decision: Decision | Rejection,
        candidate: Decision | Rejection | None,
        bundle: Bundle | None,
        now: float,
        started: float,
    ) -> Record:
        """Return the record of a request that went the whole way."""
        head, target, caller, call = judged.head, judged.target, judged.caller, judged.call
        principal = secret_id = signature = None
        if caller is not None:
            principal, secret_id, _, signature = caller
        elif head is not None and isinstance(decision, Rejection):
            signature, secret_id = signature_label(decision), named_secret_id(head, judged.params)
        # A rejected request never became a call.
        resources = () if call is None or isinstance(decision, Rejection) else call.resources
        return _record((
            now, new_request_id() if head is None else head.request_id, monotonic() - started, candidate,
            self.listener, self._mode or self._modes.of(target), decision, target.entry, principal, secret_id,
            target.service, target.action, resources,
            target.source_ip, target.egress_ip, target.peer, target.address_method, signature,
            "" if bundle is None else bundle.revision, target.cam_names or None, target.host,
            *(NO_CORRELATION if head is None else head.correlation),
        ))  # fmt: skip

    def _observed(self, record: Record, observers: tuple[Observer, ...]) -> tuple[Observer, ...]:
        """Give a record to observers, and return the observers of further records that agree with it."""
        following: tuple[Observer, ...] = ()
        for observe in observers:
            try:
                following += (observe(record) or observe,)
            except Exception as error:  # noqa: BLE001 - the decision stands
                self.failed(error)
                following += (observe,)
        return following

    def release(self, outcome: Outcome) -> None:
        """End a request: stop counting it, and its body."""
        self.in_flight -= 1
        self.bodies.kept -= outcome[4]

    def conclude(
        self, record: Record, status: int | None, error: str | None = None, answered: int | None = None
    ) -> None:
        """Give the end of a request to the conclusions, as `Conclusion` names it."""
        for conclude in self.conclusions:
            try:
                conclude(record, status, error, answered)
            except Exception as failure:  # noqa: BLE001 - the answer is on its way
                self.failed(failure)

    @property
    def held(self) -> int:
        """Bytes of bodies that are held now."""
        return self.bodies.held

    @property
    def waiting(self) -> int:
        """Requests whose body is not complete."""
        return self.bodies.waiting.count
