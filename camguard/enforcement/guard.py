"""The enforcement point: from an ASGI request to an outcome, in one function that reads top to bottom.

`Guard.handle` walks a request through values, and takes none of them back:

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
Rule 2: stages return a `Rejection` or their value. The one `try` in `handle` turns anything unexpected into a
        refusal; there is no path from an exception to the application (T66).
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

from camguard.authn.authenticator import Caller, Claim, named_secret_id, signature_label
from camguard.bundle.model import Bundle
from camguard.enforcement.lane import Lane, LaneMaker, Resolved, note, resolve_under
from camguard.enforcement.late import WHOLE, LateJudge, new_call
from camguard.enforcement.modes import Modes
from camguard.enforcement.outcome import (
    DECISION_KEY,
    INTERNAL,
    RECORD_KEY,
    SERVICE_KEY,
    UNAVAILABLE,
    Answers,
    Authentication,
    Judgement,
    Outcome,
    Policies,
    answers_late,
    awaits_continue,
    compared,
    new_judgement,
    new_outcome,
    place_of,
    refusal_of,
    rejected,
)
from camguard.enforcement.target import NO_TARGET, Target, Targets
from camguard.engine.decision import Decision, Reason
from camguard.fast_tuple import constructor_of
from camguard.header_names import REQUEST_ID
from camguard.request.body import TOO_LARGE, BodyBuffer, HeldBody, Receive, Taken, stream
from camguard.request.client_address import AddressRules
from camguard.request.head import NO_CORRELATION, HeadRules, RequestHead, new_request_id, read_head
from camguard.request.params import Params
from camguard.request.rejection import Rejection, rejection
from camguard.request.waiting import Waiting
from camguard.settings.model import Settings
from camguard.telemetry.record import Conclusion, Observer, Record

_LOGGER = logging.getLogger(__name__)

ALLOWED: Final = Reason.ALLOWED
_OVERLOADED: Final = rejection("overloaded")
NOT_JUDGED: Final = rejected(None, NO_TARGET, INTERNAL)
_BODY_ON_GET: Final = rejection("body_on_get")

_record = constructor_of(Record)


class Guard:
    """Judges requests by one bundle at a time. One guard per listener.

    drains: whether the server keeps reading a body behind a refusal; the body of a denied call is then not
    taken. asked: as for `LateJudge`. in_flight: requests being served, from `handle` to `release`, but for
    those that wait for their body. faults: exceptions, of stages and of observers. lane: makes what
    recognises requests under one bundle.
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
        asked: bool = False,
        clock: Callable[[], float] = time.time,
        lane: LaneMaker = Lane,
    ) -> None:
        limits = settings.limits
        self.in_flight = self.faults = 0
        self.listener = listener
        self.answers = Answers.of(settings)
        self._names_request = self.answers.names_request
        self.observers, self.conclusions = observers, conclusions
        self._modes = Modes(settings.enforcement, listener)
        self._mode = self._modes.single  # None where parts of the calls have modes of their own
        self._settings, self._limits = settings, limits
        self._concurrency = limits.concurrency
        self._policies, self._candidate = policies, candidate
        self._authentication = authentication
        self._head_rules = HeadRules(settings)
        self._addresses = AddressRules(settings.client_ip).known
        waiting = Waiting(limits.waiting, limits.waiting_per_client)
        self._bodies = BodyBuffer(limits.buffered_bytes, limits.body_seconds, waiting)
        self._late = LateJudge(settings, authentication, self._modes.passes, asked=asked)
        self._clock, self._drains, self._lane = clock, drains, lane
        self._resolved: Resolved | None = None

    async def handle(  # noqa: C901, PLR0912, PLR0915 - one path in one order; a call per step would cost as much
        self, scope: Mapping[str, Any], receive: Receive
    ) -> Outcome | None:
        """Return the outcome of an `http` scope; None if the client left before its body was complete.

        The caller ends every outcome with `release`.
        """
        started = monotonic()
        first = judged = NOT_JUDGED
        decision: Decision | Rejection | None = None
        bundle = body = candidate = onward = outcome = None
        now = 0.0
        self.in_flight += 1
        try:
            try:
                now, bundle = self._clock(), self._policies.bundle
                first = judged = self._judge_head(scope, None, bundle, now, started)
                head, target = judged.head, judged.target
                decision = judged.decision
                passes = (
                    decision is None
                    or decision.reason is ALLOWED
                    or self._modes.passes(decision, judged.target)
                )
                streams = target.octets and head is not None and not self._authentication.needs_body(head)
                if (
                    head is not None
                    and not streams
                    and (passes or (not self._drains and answers_late(judged)))
                ):
                    taken = self._bodies.take(receive, head.declared, target.body_limit, target.source_ip)
                    if not isinstance(taken, HeldBody) and isinstance(taken, Coroutine):  # slow to ask
                        taken = await self._awaited(taken)
                        if isinstance(taken, HeldBody):  # everything is judged again, as of now
                            body = taken  # first, so that its bytes are given back whatever fails
                            now, bundle = self._clock(), self._policies.bundle
                            judged = self._judge_head(scope, head, bundle, now, monotonic())
                            decision = judged.decision
                            passes = decision is None or self._modes.passes(decision, judged.target)
                    if taken is None:
                        return None
                    if isinstance(taken, Rejection):
                        decision = _BODY_ON_GET if target.body is None and taken is TOO_LARGE else taken
                    else:
                        body = taken
                        if decision is not None and passes and (target.reads_plain or not body.plain):
                            content = self._late.content(judged.target, body, judged.params)
                            decision = content if isinstance(content, Rejection) else decision
                if decision is None:
                    judged = self._late.judge(judged, body, bundle, self._targets, now)
                    decision = INTERNAL if judged.decision is None else judged.decision
                if (
                    self._candidate is not None
                    and judged.call is not None
                    and not isinstance(decision, Rejection)
                ):
                    candidate = compared(self._candidate, judged.call, self._failed)
                if decision.reason is ALLOWED or self._modes.passes(decision, judged.target):
                    onward = self._onward(scope, judged, decision)
                    if body is None and head is not None:
                        holds, seconds = partial(self._still_passes, head), self._limits.body_seconds
                        receive = stream(receive, head.declared, target.body_limit, seconds, holds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the application must not be reached
                self._failed(error)
                decision, onward = INTERNAL, None
            record = self._record(judged, decision, candidate, bundle, now, started)
            if first.known is None and judged.head is not None and bundle is not None:
                note(self._under(bundle), scope, judged, record, bundle, self._failed)
            if onward is None:
                closes = body is None and awaits_continue(scope, judged.head)
                refused = refusal_of(record, self.answers, closes=closes)
                outcome = new_outcome((record, None, None, refused, 0))
            else:
                onward[RECORD_KEY] = record
                if body is None:
                    outcome = new_outcome((record, onward, receive, None, 0))
                else:
                    outcome = new_outcome((record, onward, body.receive, None, len(body.data)))
            return outcome
        finally:
            if body is not None and (outcome is None or onward is None):
                self._bodies.kept -= len(body.data)
            if outcome is None:
                self.in_flight -= 1

    def refuse(self, cause: Rejection, peer: str | None) -> Record:
        """Return the record of a request that is refused unread. Observers get it. peer: of the socket."""
        judged = rejected(None, Target(peer=peer), cause)
        return self._record(judged, cause, None, self._policies.bundle, self._clock(), monotonic())

    def _judge_head(  # noqa: C901, PLR0911, PLR0912 - one check after the other
        self,
        scope: Mapping[str, Any],
        head: RequestHead | None,
        bundle: Bundle | None,
        now: float,
        moment: float,
    ) -> Judgement:
        """Decide what the head alone can decide; the decision is None where the body is needed for it.

        head: the frozen head of a request that is judged again, else None. now: seconds since the epoch.
        moment: monotonic time in seconds.
        """
        if bundle is None or moment > self._policies.fresh_until:
            return rejected(head, NO_TARGET, UNAVAILABLE)
        if self.in_flight > self._concurrency:
            return rejected(head, NO_TARGET, _OVERLOADED)
        resolved = self._under(bundle)
        known = None
        if head is None:
            recognised = resolved.lane.recognize(scope, bundle, now)
            if recognised is not None and recognised.decision is not None:
                return recognised
            known = None if recognised is None else recognised.known
            frozen = read_head(scope, self._head_rules) if recognised is None else recognised.head
            if frozen is None or isinstance(frozen, Rejection):
                return rejected(None, NO_TARGET, INTERNAL if frozen is None else frozen)
            head = frozen
        target = known.target if known is not None else resolved.targets.known[head.target_key]
        if target.rejection is not None and not (head.query and target.source_ip is not None):
            return rejected(head, target, target.rejection)
        params: Params = ()
        if head.query:
            found = resolved.targets.with_query(head, self._limits.params)
            if isinstance(found, Rejection):
                return rejected(head, target, found)
            params, target = found
            if target.rejection is not None:
                return rejected(head, target, target.rejection)
        if (head.declared or 0) > target.body_limit:
            return rejected(head, target, _BODY_ON_GET if target.body is None else TOO_LARGE)
        if target.body is None and head.layout.chunked:
            return rejected(head, target, _BODY_ON_GET)
        if known is not None and known.decision is not None:
            known = None  # what is kept of the decision does not hold now, so that it is noted again
        start = target.start
        if start is None or head.layout.signed or head.query:
            if head.layout.signed or head.query or target.caller is None or target.shared:
                service, trusted, form = target.host_service, target.peer_trusted, target.caller is None
                claim: Claim | Rejection
                claim = self._authentication.claim(head, service, params, trusted, form, now)
            else:
                claim = target.caller
            if isinstance(claim, Rejection):
                return rejected(head, target, claim)
            return new_judgement((head, target, params, claim, None, None, None, False, known))
        caller = target.caller if isinstance(target.caller, Caller) else None
        if isinstance(start, Rejection):
            return new_judgement((head, target, (), None, caller, None, start, True, known))
        call = new_call((*start, now, WHOLE, None, None, target.context, None))
        return new_judgement((head, target, (), None, caller, call, bundle.decide(call), True, known))

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
            judged = self._judge_head({}, head, bundle, now, monotonic())
            if judged.decision is None:
                judged = self._late.judge(judged, None, bundle, self._targets, now)
        except Exception as error:  # noqa: BLE001 - a call that cannot be judged does not go on
            self._failed(error)
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
        """Return the record of a request, after giving it to the observers."""
        head, target, caller, call, known = (
            judged.head, judged.target, judged.caller, judged.call, judged.known
        )  # fmt: skip
        if known is not None and head is not None and decision is known.decision:
            of_request = (candidate, monotonic() - started)
            # Tuples are added, because unpacking makes a list first.
            facts = (now, head.request_id) + known.facts + of_request + known.names + head.correlation  # noqa: RUF005
            record = _record(facts)
        else:
            principal = secret_id = signature = None
            if caller is not None:
                principal, secret_id, _, signature = caller
            elif head is not None and isinstance(decision, Rejection):
                signature = signature_label(decision)
                secret_id = named_secret_id(head, judged.params)
            # A rejected request never became a call.
            resources = () if call is None or isinstance(decision, Rejection) else call.resources
            record = _record((
                now, new_request_id() if head is None else head.request_id, self.listener,
                self._mode or self._modes.of(target), decision, target.entry, principal, secret_id,
                target.service, target.action, resources,
                target.source_ip, target.egress_ip, target.peer, target.address_method, signature,
                "" if bundle is None else bundle.revision, candidate, monotonic() - started,
                target.cam_names or None, target.host,
                *(NO_CORRELATION if head is None else head.correlation),
            ))  # fmt: skip
        for observe in self.observers:
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - the decision stands
                self._failed(error)
        return record

    def release(self, outcome: Outcome) -> None:
        """End a request: stop counting it, and its body."""
        self.in_flight -= 1
        self._bodies.kept -= outcome.body_bytes

    def conclude(
        self, record: Record, status: int | None, error: str | None = None, answered: int | None = None
    ) -> None:
        """Give the end of a request to the conclusions, as `Conclusion` names it."""
        for conclude in self.conclusions:
            try:
                conclude(record, status, error, answered)
            except Exception as failure:  # noqa: BLE001 - the answer is on its way
                self._failed(failure)

    @property
    def held(self) -> int:
        """Bytes of bodies that are held now."""
        return self._bodies.held

    @property
    def waiting(self) -> int:
        """Requests whose body is not complete."""
        return self._bodies.waiting.count

    def _under(self, bundle: Bundle) -> Resolved:
        """Return what was resolved under a bundle; it is kept as long as the bundle is in force."""
        resolved = self._resolved
        if resolved is None or resolved[0]() is not bundle:
            parts = self._settings, self._addresses, self._authentication, self._head_rules
            compares = self._candidate is not None
            resolved = self._resolved = resolve_under(bundle, *parts, self._lane, compares=compares)
        return resolved

    def _targets(self, bundle: Bundle) -> Targets:
        return self._under(bundle).targets

    def _failed(self, error: Exception) -> None:
        """Note a fault."""
        self.faults += 1
        _LOGGER.error("%s at %s", type(error).__name__, place_of(error))
