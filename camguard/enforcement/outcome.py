"""The values at the two ends of enforcement: how far a request was judged, and what happens next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from camguard.authn.authenticator import Claim
from camguard.authn.credentials import Caller, SigningKey
from camguard.bundle.model import Bundle
from camguard.enforcement.target import Target, UnsignedCallers
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.fast_tuple import constructor_of
from camguard.request.body import Receive
from camguard.request.head import Lines, RequestHead
from camguard.request.header_rules import EXPECT
from camguard.request.params import Params
from camguard.request.rejection import (
    Refusal,
    RefusalTemplate,
    Rejection,
    Style,
    refusal_template,
    rejection,
)
from camguard.settings.model import Settings
from camguard.telemetry.record import Observer, Record

if TYPE_CHECKING:
    from _hashlib import HASH

UNAVAILABLE: Final = rejection("policy_unavailable")
INTERNAL: Final = rejection("internal_error")

DECISION_KEY: Final = "camguard.decision"
SERVICE_KEY: Final = "camguard.service"
RECORD_KEY: Final = "camguard.record"
UPSTREAM_KEY: Final = "camguard.upstream_status"  # set by a relay whose answer is not its upstream's
UPSTREAM_ERROR_KEY: Final = "camguard.upstream_error"  # set by a relay: how the upstream failed, or None


class Policies(Protocol):
    """Where the bundle in force is found: `camguard.bundle.Store`."""

    @property
    def bundle(self) -> Bundle | None:
        """The bundle, None while none was loaded."""

    @property
    def fresh_until(self) -> float:
        """The monotonic time in seconds until which the bundle may be used without being confirmed."""


class Authentication(UnsignedCallers, Protocol):
    """Identifies callers: `camguard.authn.authenticator.Authenticator`."""

    def caller(  # noqa: PLR0913, PLR0917 - a request has so many faces; keywords would cost time per request
        self,
        head: RequestHead,
        service: str | None,
        body: bytes | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as above
        now: float,
        claim: Claim,
        /,
    ) -> Caller | Rejection:
        """Return the caller, or why the request is rejected."""

    def claim(  # noqa: PLR0913, PLR0917 - as caller
        self,
        head: RequestHead,
        service: str | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as caller
        form: bool,  # noqa: FBT001 - as caller
        now: float,
        /,
    ) -> Claim | Rejection:
        """Return what the head claims about the caller, or the rejection for which no body is needed."""

    def signed_service(self, head: RequestHead, /) -> str | None:
        """Return the service in the scope of a TC3 signature that was verified (T123)."""

    def needs_body(self, head: RequestHead, /) -> bool:
        """Tell whether the caller cannot be identified without the body."""

    def claimed_key(
        self, service: str | None, authorization: bytes, timestamp: bytes | None, now: float, /
    ) -> SigningKey | None:
        """Return the signing key that a head claims, None where only `claim` can tell."""

    def refused(  # noqa: PLR0913, PLR0917 - as caller
        self,
        signing_key: SigningKey,
        canonical: HASH,
        signing: tuple[Any, ...],
        service: str | None,
        body: bytes,
        now: float,
        head_of: Callable[[Any], RequestHead],
        met: Any,
        /,
    ) -> Rejection | None:
        """Return why a signature is rejected, None where the owner of its key is the caller."""


# What the middleware does next: pass the request on to the application, or send the refusal. The record; the
# scope and `receive` for the application, None with a refusal (in shadow mode a denied call passes); the
# refusal but for its request id, which is that of the record, or None; bytes of the body that the guard
# counts until `Guard.release`; the headers that camguard adds to the application's answer. A plain tuple,
# because that costs a tenth of what a NamedTuple costs.
Outcome: TypeAlias = tuple[Record, dict[str, Any] | None, Receive | None, RefusalTemplate | None, int, Lines]


@dataclass(frozen=True, slots=True)
class KeptDecision:
    """The decision on a combination of deciding headers, which with their caller determine the call.

    begin, end: seconds since the epoch, from which and before which the decision holds. facts: the fields of
    a record from `listener` on: those that the combination determines, and NO_CORRELATION. observers: are
    given the records of such requests. refusal: the answer but for its request id, None where such requests
    go on. source_ip, reads_plain, service: of the target. removed: the lines that do not go on, the last ones
    first. No header is added to such requests: only a shared host adds one, and there no decision is kept.
    """

    begin: float
    end: float
    principal: str
    decision: Decision
    facts: tuple[Any, ...]
    observers: tuple[Observer, ...]
    refusal: RefusalTemplate | None
    source_ip: int | None
    reads_plain: bool
    service: str | None
    removed: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What one combination of deciding headers came to under one bundle, as `enforcement.lane` keeps it.

    target: of the headers. ended: the places of the lines that do not go on, the last one first. naming: the
    fields of a `RequestHead` from target_key to identity. room: bytes that the other header values may have
    together. body_limit: of the target. kept: the decision where the head alone determines the call, None
    where none may be used again. signed: the decisions on callers whose signature was verified, by the id of
    the caller; None where such a decision may not be used again. canonical: `usual_request` of `authn.tc3`
    where such requests are signed and the signature covers their body; None elsewhere.
    """

    target: Target
    ended: tuple[int, ...]
    naming: tuple[Any, ...]
    room: int
    body_limit: int
    kept: KeptDecision | None
    signed: dict[int, tuple[Caller, KeptDecision | None]]
    canonical: HASH | None


class Judgement(NamedTuple):
    """How far a request was judged: head, target, caller, call, and the decision on it.

    head: None where it was not read or is rejected. decision: None while the body is needed for it. params:
    of the query. claim: what the head claims about the caller. of_head: whether the head alone determined
    the call. known: what its deciding headers came to before, None where the request went the whole way.
    kept: the decision that was kept and used again, or None.
    """

    head: RequestHead | None
    target: Target
    params: Params
    claim: Claim
    caller: Caller | None
    call: Call | None
    decision: Decision | Rejection | None
    of_head: bool
    known: Known | None
    kept: KeptDecision | None


new_judgement = constructor_of(Judgement)


def kept_of(
    found: tuple[Caller, KeptDecision | None] | None, bundle: Bundle, now: float
) -> KeptDecision | None:
    """Return a kept decision if it holds now, under the bundle under which it was kept.

    The principal's table must still be at hand: otherwise the evaluator looks it up and counts that, with and
    without recognition.
    """
    kept = None if found is None else found[1]
    if kept is None or not (kept.begin <= now < kept.end and kept.principal in bundle.evaluator.recent):
        return None
    return kept


class Result(NamedTuple):
    """What a request came to that went the whole way.

    judged: its last judgement. observers: are given the records of requests that agree with this one.
    refusal: the answer but for its request id, None where the request went on.
    """

    judged: Judgement
    record: Record
    observers: tuple[Observer, ...]
    refusal: RefusalTemplate | None


def rejected(
    head: RequestHead | None, target: Target, cause: Rejection, known: Known | None = None
) -> Judgement:
    """Return the judgement on a request that never became a call. known: as for `Judgement`."""
    return new_judgement((head, target, (), None, None, None, cause, False, known, None))


class Answers(NamedTuple):
    """How requests are answered.

    style: of refusals. discloses: whether a refusal names its cause to a caller who is known (T138).
    names_request: whether the request id goes to the upstream and back to the caller.
    """

    style: Style
    discloses: bool
    names_request: bool

    @classmethod
    def of(cls, settings: Settings) -> Answers:
        """Return what the settings say. In mode `claimed` no caller is proven, and nothing is disclosed."""
        enforcement = settings.enforcement
        discloses = enforcement.disclose == "detail" and settings.identity.mode != "claimed"
        return cls(enforcement.status_style, discloses, enforcement.request_id_header)


def answers_late(judged: Judgement) -> bool:
    """Tell whether the body of a denied call may be taken, as its client might not read an early answer.

    Not of a client that waits for `100 Continue`.
    """
    return judged.of_head and judged.head is not None and not judged.head.layout.awaits_continue


def compared(
    candidate: Policies, call: Call | None, failed: Callable[[Exception], None]
) -> Decision | Rejection | None:
    """Return what the candidate bundle decides of a call, if there is one. failed: is given an exception."""
    if call is None:
        return None
    try:
        bundle = candidate.bundle
        return UNAVAILABLE if bundle is None else bundle.decide(call)
    except Exception as error:  # noqa: BLE001 - a bundle on trial must not refuse what is in force
        failed(error)
        return INTERNAL


def refusal_of(record: Record, answers: Answers, *, closes: bool) -> Refusal:
    """Return the answer to a request that may not pass. closes: as for `template_of`."""
    return template_of(record, answers, closes=closes).of(record.request_id)


def template_of(record: Record, answers: Answers, *, closes: bool) -> RefusalTemplate:
    """Return the answer to a request that may not pass, but for its request id.

    closes: whether the connection ends behind it. Without `100 Continue` a client may send its body or not
    (RFC 9110 section 10.1.1): the next bytes on the connection are then ambiguous.
    """
    action = record.entry.id if record.entry is not None else None
    if (
        action is not None and record.cam_action is not None
    ):  # the vendor's denials show the CAM name (DEC-68)
        action = record.cam_action.partition(",")[0]
    if action is None and record.service is not None and record.action is not None:
        action = f"{record.service}:{record.action}"
    template = refusal_template(
        record.decision,
        action=action,
        resource=record.resources[0] if record.resources else "*",
        style=answers.style,
        # A record has a principal only if the caller was authenticated.
        discloses=answers.discloses and record.principal is not None,
        names_request=answers.names_request,
    )
    return template.closing() if closes else template


def awaits_continue(scope: Mapping[str, Any], head: RequestHead | None) -> bool:
    """Tell whether the client waits for `100 Continue`; yes, where its head could not be read."""
    if head is not None:
        return head.layout.awaits_continue
    try:
        return any(name == EXPECT for name, _ in scope["headers"])
    except (KeyError, TypeError, ValueError):
        return True


def place_of(error: Exception) -> str:
    """Return where an exception was raised, as `file:line`. Its message may quote the request (T113)."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "nowhere"
