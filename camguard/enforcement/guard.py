"""From an ASGI request to a decision, and to what goes on.

Rule 1: one request, one frozen head, one bundle, one decision. Nothing of a request stays here but counts.
        Where the body had to be waited for, all is judged again when it is complete, under the bundle and the
        keys that are in force at that moment. A request that waits is not being served.
Rule 2: stages return a refusal or None; the one `try` in `judge` makes a refusal of anything unexpected.
        There is no path from an exception to the application (T66).
Rule 3: observers hear of a decision after it stands; whatever they do, it stands.
Rule 4: shadow lets pass what policy denies, and nothing else. What can be read two ways, or is not who it
        says, is refused there too: its record would be worth nothing, and forwarding it would be a new risk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple
from weakref import ref

from camguard.authn.authenticator import named_secret_id, signature_label
from camguard.bundle.model import Bundle
from camguard.enforcement.interfaces import Policies, Who
from camguard.enforcement.reading import Reader, Seen
from camguard.enforcement.resource_binding import fill_templates
from camguard.enforcement.service_index import Directory
from camguard.enforcement.target import WHOLE, Meanings
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.fast_tuple import maker_of
from camguard.request.body import Intake, Receive, Taken, replay, stream
from camguard.request.head import Lines
from camguard.request.header_rules import EXPECT
from camguard.request.rejection import Answer, answer, refused
from camguard.request.request_id import new_request_id
from camguard.request.waiting import Waiting
from camguard.settings.model import Settings
from camguard.telemetry.record import Conclusion, Observer, Record

_LOGGER = logging.getLogger(__name__)

# The answers of policy and catalog to a call that was read and whose caller is known.
SHADOWED: Final = frozenset(
    (
        Reason.EXPLICIT_DENY,
        Reason.UNDETERMINED_DENY,
        Reason.NO_ALLOW,
        Reason.LAYER_LIMIT,
        Reason.ACTION_UNKNOWN,
        Reason.PRINCIPAL_UNKNOWN,
    )
)
DECISION_KEY: Final = "camguard.decision"
SERVICE_KEY: Final = "camguard.service"
RECORD_KEY: Final = "camguard.record"
UPSTREAM_KEY: Final = "camguard.upstream_status"  # set by a relay whose answer is not its upstream's

ALLOWED: Final = Reason.ALLOWED
_UNAVAILABLE: Final = refused("policy_unavailable")
_OVERLOADED: Final = refused("overloaded")
_INTERNAL: Final = refused("internal_error")
_VERSION_UNKNOWN: Final = refused("version_unknown")

_call = maker_of(Call)
_record = maker_of(Record)


class Judged(NamedTuple):
    """What came of one request.

    scope, receive: what the application gets, None where it must not be called; in shadow mode a denied call
    goes on. held: bytes of its body that are counted until `Guard.release`. unasked: whether the client waits
    to be asked for a body that nobody will ask for.
    """

    record: Record
    scope: dict[str, Any] | None
    receive: Receive | None
    held: int
    unasked: bool


_judged = maker_of(Judged)


def _waits(seen: Seen, scope: Mapping[str, Any]) -> bool:
    """Tell whether the client waits to be asked for its body; yes, where its head could not be read."""
    if seen.lines is not None:
        return seen.lines.shape.waits
    try:
        return any(name == EXPECT for name, _ in scope["headers"])
    except (KeyError, TypeError, ValueError):
        return True


class Guard:
    """Everything that judges, settled. One guard per listener.

    drains: whether the server reads on behind a refusal: a denied call's body is then not taken. in_flight:
    requests being served, counted by whoever serves them; those that wait for their body are not. faults:
    exceptions of observers.
    """

    def __init__(  # noqa: PLR0913 - the parts of the house, each named
        self,
        settings: Settings,
        policies: Policies,
        who: Who,
        *,
        candidate: Policies | None = None,
        observers: tuple[Observer, ...] = (),
        conclusions: tuple[Conclusion, ...] = (),
        listener: str = "middleware",
        drains: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.in_flight = 0
        self.faults = 0
        self.listener = listener
        self.style = settings.enforcement.status_style
        self.conclusions = conclusions
        self._mode = settings.enforcement.mode
        self._judge_unknown = settings.enforcement.unknown_action == "judge"
        self._roots = settings.hosts.roots
        self._limits = settings.limits
        self._concurrency = settings.limits.concurrency
        self._policies = policies
        self._candidate = candidate
        self._who = who
        self._reader = Reader(settings, who.needs_body)
        limits = settings.limits
        waiting = Waiting(limits.waiting, limits.waiting_per_client)
        self._intake = Intake(limits.buffered_bytes, limits.body_seconds, waiting)
        self.observers = observers
        self._clock = clock
        self._drains = drains
        self._known: tuple[ref[Bundle], Meanings] | None = None  # a ref: no bundle lives on in here

    async def judge(  # noqa: C901 - one way, in one order; a call for each step would cost what the step does
        self, scope: Mapping[str, Any], receive: Receive
    ) -> Judged | None:
        """Return what comes of an `http` scope; None if the client left before all of it was here."""
        started = perf_counter()
        seen = Seen()
        now = 0.0
        bundle = onward = replayed = None
        try:
            now = self._clock()
            bundle = self._policies.bundle
            decision = self._of_head(seen, scope, bundle, now)
            passes = decision is None or decision.reason is ALLOWED or self._tolerates(decision)
            if not seen.streams and (passes or self._takes_denied(seen)):
                assert seen.origin is not None  # noqa: S101 - for mypy: the head was read
                body = self._intake.take(receive, seen.declared, seen.limit, seen.origin.place)
                if not isinstance(body, bytes) and isinstance(body, Coroutine):  # slow to ask
                    body = await self._waited(body)
                    if isinstance(body, bytes):
                        lines, seen = seen.lines, Seen()
                        seen.lines, seen.body = lines, body  # first of all: it is given back whatever happens
                        now, bundle = self._clock(), self._policies.bundle
                        decision = self._of_head(seen, scope, bundle, now)
                        passes = decision is None or decision.reason is ALLOWED or self._tolerates(decision)
                if body is None:
                    return None
                refusal = self._reader.hold(seen, body, look=passes)
                if refusal is not None:
                    decision = refusal
                    seen.withdraw()
            if decision is None:
                decision = self._ask(seen, now)
            if self._candidate is not None and seen.call is not None:
                seen.candidate = self._compare(self._candidate, seen.call)
            if decision.reason is ALLOWED or self._tolerates(decision):
                replayed = self._body(seen, scope, receive)
                onward = self._onward(seen, scope, decision)
        except Exception as error:  # noqa: BLE001 - whatever it is, the application must not be reached
            self._failed(error)
            decision, onward = _INTERNAL, None
        finally:
            if onward is None and seen.body:
                self._intake.kept -= len(seen.body)
        record = self._record(seen, decision, bundle, now, started)
        if onward is None:
            return _judged((record, None, None, 0, seen.body is None and _waits(seen, scope)))
        onward[RECORD_KEY] = record
        return _judged((record, onward, replayed, len(seen.body or b""), False))

    def _of_head(
        self, seen: Seen, scope: Mapping[str, Any], bundle: Bundle | None, now: float
    ) -> Decision | None:
        """Decide before a byte of the body is taken, if the head tells all and there is a bundle."""
        if bundle is None or self._policies.stale:
            return _UNAVAILABLE
        if self.in_flight > self._concurrency:
            return _OVERLOADED
        seen.bundle = bundle
        known = self._known
        if known is None or known[0]() is not bundle:
            known = self._known = ref(bundle), self._meanings(bundle)
        seen.meanings = known[1]
        refusal = self._reader.read(seen, scope)
        if refusal is not None:
            return refusal
        told = seen.told
        if told is None:
            return self._claim(seen, now)
        seen.facts = told.facts
        if told.refusal is not None:
            return told.refusal
        call = seen.call = _call((*told.asked, now, WHOLE, None, None, None, None))
        return bundle.decide(call)

    def _claim(self, seen: Seen, now: float) -> Decision | None:
        """Refuse a caller of whom the head says enough for that."""
        named, origin = seen.named, seen.origin
        assert named and origin  # noqa: S101, PT018 - for mypy: both were read
        form = named.content is not None and named.content.kind == "form"
        claim = self._who.claimed_by(seen.head, named.service, seen.params, origin.trusted, form, now)
        if isinstance(claim, Decision):
            return self._unknown(seen, claim)
        seen.claim = claim
        return None

    def _unknown(self, seen: Seen, refusal: Decision) -> Decision:
        """Note what a refused caller said of itself."""
        seen.signature = signature_label(refusal)
        seen.secret_id = named_secret_id(seen.head, seen.params)
        return refusal

    def _ask(self, seen: Seen, now: float) -> Decision:
        """Find out who calls, ask the bundle, and read the body of whoever may make the call.

        Only where policies judge single resources the body is read before they are asked: it names them.
        """
        head, named, origin = seen.head, seen.named, seen.origin
        assert named and origin  # noqa: S101, PT018 - for mypy: both were read
        identity = self._who(head, named.service, seen.body, seen.params, origin.trusted, now, seen.claim)
        if isinstance(identity, Decision):
            return self._unknown(seen, identity)
        seen.identity = identity
        action, templates, decision = seen.meanings.action(named), named.templates, None
        if isinstance(action, Decision):
            decision = action
        elif templates is None:
            asked = identity.principal, action, origin.place, now, WHOLE, None, None, None, identity.session
            call = seen.call = _call(asked)
            decision = seen.bundle.decide(call)
        if decision is None or decision.reason is ALLOWED or self._tolerates(decision):
            refusal = None if seen.body is None else self._reader.inspect(seen, seen.body)
            if refusal is not None:
                seen.withdraw()
                return refusal
        if decision is not None:
            return decision
        assert templates is not None  # noqa: S101 - for mypy: a decision was returned above
        resources = fill_templates(templates, seen.parameters, named.region or "")
        named_in_body = (
            identity.principal,
            action,
            origin.place,
            now,
            resources,
            None,
            None,
            None,
            identity.session,
        )
        call = seen.call = _call(named_in_body)
        return seen.bundle.decide(call)

    async def _waited(self, body: Awaitable[Taken]) -> Taken:
        """Return a body that has to be waited for. A request that waits is not counted as being served."""
        self.in_flight -= 1
        try:
            return await body
        finally:
            self.in_flight += 1

    def _holds(self, lines: Lines, scope: Mapping[str, Any]) -> bool:
        """Tell whether a call whose body passed through unread would still go on if it were judged now."""
        try:
            seen, now, bundle = Seen(), self._clock(), self._policies.bundle
            seen.lines = lines
            decision = self._of_head(seen, scope, bundle, now)
            if decision is None:
                decision = self._ask(seen, now)
        except Exception as error:  # noqa: BLE001 - what cannot be judged does not go on
            self._failed(error)
            return False
        return decision.reason is ALLOWED or self._tolerates(decision)

    def _takes_denied(self, seen: Seen) -> bool:
        """Tell whether the body of a denied call is taken, for its client might not hear the answer before.

        Not where the server reads on by itself, nor of a client that waits to be asked for it.
        """
        if self._drains or seen.facts is None or seen.lines is None:
            return False
        return not seen.lines.shape.waits

    def _tolerates(self, decision: Decision) -> bool:
        """Tell whether a denied call goes on: shadow mode, and a denial of policy or catalog."""
        return self._mode == "shadow" and (decision.reason in SHADOWED or decision is _VERSION_UNKNOWN)

    def _compare(self, candidate: Policies, call: Call) -> Decision:
        """Return what the candidate bundle decides of the same call."""
        try:
            bundle = candidate.bundle
            return _UNAVAILABLE if bundle is None else bundle.decide(call)
        except Exception as error:  # noqa: BLE001 - what is only tried must not refuse what is in force
            self._failed(error)
            return _INTERNAL

    def _onward(self, seen: Seen, scope: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
        """Return the scope of the application: the frozen head, and what was decided."""
        onward = dict(scope)  # a copy: what a middleware adds must not leak back (ASGI)
        lines, named = seen.lines, seen.named
        assert lines is not None and named is not None  # noqa: S101, PT018 - for mypy: nothing passes unread
        onward["headers"] = list(lines.headers)  # a list: frameworks expect one
        onward[DECISION_KEY] = decision
        onward[SERVICE_KEY] = named.service
        return onward

    def _body(self, seen: Seen, scope: Mapping[str, Any], receive: Receive) -> Receive:
        """Return the `receive` of the application: the judged bytes, or those that need no judging."""
        if seen.body is not None:
            return replay(seen.body, receive)
        assert seen.lines is not None  # noqa: S101 - for mypy: nothing passes unread
        holds = partial(self._holds, seen.lines, scope)
        return stream(receive, seen.declared, seen.limit, self._limits.body_seconds, holds)

    def _record(
        self, seen: Seen, decision: Decision, bundle: Bundle | None, now: float, started: float
    ) -> Record:
        """Write down what was decided, and tell it to the observers."""
        record = _record(
            (
                now,
                new_request_id(),
                self.listener,
                self._mode,
                decision,
                *(seen.facts or seen.found_facts()),
                "" if bundle is None else bundle.revision,
                seen.candidate,
                perf_counter() - started,
            )
        )
        for observe in self.observers:
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - the decision stands
                self._failed(error)
        return record

    def answer(self, record: Record) -> Answer:
        """Return the refusal that a record's decision comes to."""
        action = record.entry.id if record.entry is not None else None
        if action is None and record.service is not None and record.action is not None:
            action = f"{record.service}:{record.action}"
        resource = record.resources[0] if record.resources else "*"
        return answer(record.decision, record.request_id, action=action, resource=resource, style=self.style)

    def release(self, judged: Judged) -> None:
        """Stop counting the body of a request that is over."""
        self._intake.kept -= judged.held

    def conclude(self, record: Record, upstream_status: int | None) -> None:
        """Tell those who wait for the end of a request. upstream_status: None where none was reached."""
        for conclude in self.conclusions:
            try:
                conclude(record, upstream_status)
            except Exception as error:  # noqa: BLE001 - the answer is on its way
                self._failed(error)

    @property
    def held(self) -> int:
        """Bytes of bodies that are held now."""
        return self._intake.held

    @property
    def waiting(self) -> int:
        """Requests whose body is not complete."""
        return self._intake.waiting.count

    def _meanings(self, bundle: Bundle) -> Meanings:
        """Return what requests may say under a bundle; called when the bundle is first met."""
        directory = Directory(bundle.catalog, bundle.owner, self._roots, self._limits)
        return Meanings(directory, self._reader.origins, self._who, judge_unknown=self._judge_unknown)

    def _failed(self, error: Exception) -> None:
        """Note a fault by type and place; its message may quote the request (T113)."""
        self.faults += 1
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "nowhere"
        _LOGGER.error("%s at %s", type(error).__name__, place)
