"""From an ASGI request to a decision, and to what goes on (design 2, the six hops).

Rule 1: one request, one frozen head, one bundle, one decision. Nothing of a request stays here but counts.
Rule 2: stages return a refusal or None; the one `try` in `judge` makes a refusal of anything unexpected.
        There is no path from an exception to the application (threats T66).
Rule 3: observers hear of a decision after it stands; whatever they do, it stands.
Rule 4: shadow lets pass what policy denies, and nothing else. What can be read two ways, or is not who it
        says, is refused there too: its record would be worth nothing, and forwarding it would be a new risk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from camguard.bundle.model import Bundle
from camguard.edge.body import Receive, replay, stream
from camguard.edge.head import Head
from camguard.edge.identity import Identity, named_secret_id, signature_label
from camguard.edge.params import Params
from camguard.edge.reading import CLIENT_LEFT, Reader, Seen
from camguard.edge.record import Conclusion, Observer, Record
from camguard.edge.refusal import Answer, answer, refused
from camguard.edge.request_id import new_request_id
from camguard.edge.resources import fill_templates
from camguard.edge.wire import Directory
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.settings.model import Settings

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

_WHOLE: Final = ("*",)
_UNAVAILABLE: Final = refused("policy_unavailable")
_OVERLOADED: Final = refused("overloaded")
_INTERNAL: Final = refused("internal_error")
_ACTION_UNKNOWN: Final = refused("action_unknown")
_VERSION_UNKNOWN: Final = refused("version_unknown")


class Policies(Protocol):
    """Where the bundle in force is found: `camguard.bundle.Store`."""

    @property
    def bundle(self) -> Bundle | None:
        """The bundle, None while none was loaded."""

    @property
    def stale(self) -> bool:
        """Whether the bundle was not confirmed for too long."""


class Who(Protocol):
    """Finds out who calls: `camguard.edge.identity.Identify`."""

    def __call__(  # noqa: PLR0913, PLR0917 - as Identify
        self,
        head: Head,
        service: str,
        body: bytes | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as Identify
        now: float,
        /,
    ) -> Identity | Decision:
        """Return the caller, or the refusal."""

    def needs_body(self, head: Head) -> bool:
        """Tell whether the caller cannot be told without the body."""


class Judged(NamedTuple):
    """What came of one request.

    passes: whether it goes on; in shadow mode a denied one does. scope, receive: what the application gets,
    None where it does not pass. held: bytes of its body that are counted until `Guard.release`.
    """

    record: Record
    passes: bool
    scope: dict[str, Any] | None
    receive: Receive | None
    held: int


class _Asked(Seen):
    """What has been found out about one request, and what was asked about it."""

    identity: Identity | None = None
    signature: str | None = None
    secret_id: str | None = None
    call: Call | None = None
    candidate: Decision | None = None


class Guard:
    """Everything that judges, settled. One guard per listener.

    in_flight: requests being served, counted by whoever serves them. faults: exceptions of observers.
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
        self._concurrency = settings.limits.concurrency
        self._policies = policies
        self._candidate = candidate
        self._who = who
        self._reader = Reader(settings, who.needs_body)
        self._observers = observers
        self._clock = clock
        self._known: tuple[Bundle, Directory] | None = None

    async def judge(self, scope: Mapping[str, Any], receive: Receive) -> Judged | None:
        """Return what comes of an `http` scope; None if the client left before there was a decision."""
        started = perf_counter()
        asked = _Asked()
        now = 0.0
        bundle = None
        onward: tuple[dict[str, Any], Receive] | None = None
        try:
            now = self._clock()
            bundle = self._policies.bundle
            decision = await self._decide(asked, scope, receive, bundle, now)
            if decision is CLIENT_LEFT:
                return None
            passes = bool(decision) or (self._mode == "shadow" and decision.reason in SHADOWED)
            if passes:
                onward = self._onward(asked, scope, receive, decision)
            if self._candidate is not None:
                asked.candidate = self._compare(asked)
        except Exception as error:  # noqa: BLE001 - whatever it is, the application must not be reached
            self._failed(error)
            decision, passes, onward = _INTERNAL, False, None
        finally:
            if onward is None and asked.body:
                self._reader.intake.held -= len(asked.body)
        record = self._record(asked, decision, bundle, now, started)
        for observe in self._observers:
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - the decision stands
                self._failed(error)
        if onward is None:
            return Judged(record, passes=False, scope=None, receive=None, held=0)
        onward[0][RECORD_KEY] = record
        return Judged(record, True, onward[0], onward[1], len(asked.body or b""))  # noqa: FBT003 - per request

    async def _decide(
        self, asked: _Asked, scope: Mapping[str, Any], receive: Receive, bundle: Bundle | None, now: float
    ) -> Decision:
        """Read the request and decide on it."""
        if bundle is None or self._policies.stale:
            return _UNAVAILABLE
        if self.in_flight > self._concurrency:
            return _OVERLOADED
        directory = self._directory(bundle)
        refusal = self._reader.read(asked, scope, directory)
        if refusal is None and not self._reader.streams(asked):
            refusal = await self._reader.take(asked, receive, directory)
        if refusal is not None:
            return refusal
        return self._ask(asked, bundle, now)

    def _ask(self, asked: _Asked, bundle: Bundle, now: float) -> Decision:
        """Find out who calls, and ask the bundle."""
        head, site, source = asked.head, asked.site, asked.source
        assert head is not None and site is not None and source is not None  # noqa: S101, PT018 - for mypy: all were read
        identity = self._who(head, site.name, asked.body, asked.params, asked.trusted, now)
        if isinstance(identity, Decision):
            asked.signature = signature_label(identity)
            asked.secret_id = named_secret_id(head, asked.params)
            return identity
        asked.identity = identity
        asked.signature = identity.signature
        asked.secret_id = identity.secret_id
        entry = asked.entry
        if entry is None:
            if not self._judge_unknown:
                return _ACTION_UNKNOWN
            action = f"{site.name}:{(asked.action or b'').decode('ascii')}"
        else:
            action = entry.id
            if entry.version is not None and asked.version not in {None, entry.version}:
                return _VERSION_UNKNOWN
        resources: tuple[str | None, ...] = _WHOLE
        if asked.templates is not None:
            resources = fill_templates(asked.templates, asked.parameters, asked.region or "")
        call = asked.call = Call(
            identity.principal, action, source.place, now, resources, None, None, None, identity.session
        )
        return bundle.decide(call)

    def _compare(self, asked: _Asked) -> Decision | None:
        """Return what the candidate bundle decides of the same call; None where there was none."""
        if asked.call is None or self._candidate is None:
            return None
        try:
            bundle = self._candidate.bundle
            return _UNAVAILABLE if bundle is None else bundle.decide(asked.call)
        except Exception as error:  # noqa: BLE001 - what is only tried must not refuse what is in force
            self._failed(error)
            return _INTERNAL

    def _onward(
        self, asked: _Asked, scope: Mapping[str, Any], receive: Receive, decision: Decision
    ) -> tuple[dict[str, Any], Receive]:
        """Return scope and `receive` of the application: the frozen head, the judged bytes."""
        head, site = asked.head, asked.site
        assert head is not None and site is not None  # noqa: S101, PT018 - for mypy: nothing passes unread
        # A copy: what a middleware adds must not leak back (ASGI); a list: frameworks expect one.
        onward = {**scope, "headers": list(head.headers), DECISION_KEY: decision, SERVICE_KEY: site.name}
        if asked.body is not None:
            return onward, replay(asked.body, receive)
        limits = self._reader.limits
        return onward, stream(receive, asked.declared, limits.body_bytes, limits.body_seconds)

    def _record(
        self, asked: _Asked, decision: Decision, bundle: Bundle | None, now: float, started: float
    ) -> Record:
        entry, site, identity, call, source = (
            asked.entry,
            asked.site,
            asked.identity,
            asked.call,
            asked.source,
        )
        return Record(
            now,
            new_request_id(),
            self.listener,
            self._mode,
            decision,
            entry,
            identity.principal if identity is not None else None,
            asked.secret_id,
            site.name if site is not None else None,
            entry.name
            if entry is not None
            else asked.action.decode("ascii")
            if asked.action is not None
            else None,
            call.resources if call is not None else (),
            source.place if source is not None else None,
            asked.peer,
            asked.client_ip,
            asked.signature,
            bundle.revision if bundle is not None else "",
            asked.candidate,
            perf_counter() - started,
        )

    def answer(self, record: Record) -> Answer:
        """Return the refusal that a record's decision comes to."""
        action = None
        if record.service is not None and record.action is not None:
            action = f"{record.service}:{record.action}"
        resource = record.resources[0] if record.resources else "*"
        return answer(record.decision, record.request_id, action=action, resource=resource, style=self.style)

    def release(self, judged: Judged) -> None:
        """Stop counting the body of a request that is over."""
        self._reader.intake.held -= judged.held

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
        return self._reader.intake.held

    def _directory(self, bundle: Bundle) -> Directory:
        """Return what requests may name under a bundle, made when the bundle is first met."""
        known = self._known
        if known is None or known[0] is not bundle:
            known = self._known = bundle, Directory(bundle.catalog, bundle.owner, self._roots)
        return known[1]

    def _failed(self, error: Exception) -> None:
        """Note a fault by type and place; its message may quote the request (threats T113)."""
        self.faults += 1
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "nowhere"
        _LOGGER.error("%s at %s", type(error).__name__, place)
