"""The answer to a proxy that asked about a request.

Rule 1: 200 lets the request pass, 403 refuses it, and 503 says that nothing could be decided. Every answer
        names the decision in a header, so that a proxy can test for an allow instead of for a status, and no
        answer may be kept (T140).
Rule 2: the body of a refusal is the envelope that the vendor's SDKs read. nginx throws it away, so in its
        dialect one header holds it, too.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.enforcement.outcome import Answers, refusal_of
from camguard.engine.decision import Reason
from camguard.fast_tuple import constructor_of
from camguard.grammar import REVISION_DIGITS
from camguard.header_names import REQUEST_ID
from camguard.request.head import Line, Lines
from camguard.request.rejection import BODY_NOT_SHOWN, Refusal, Rejection
from camguard.telemetry.record import Record

ALLOWED: Final = 200
REFUSED: Final = 403
UNDECIDED: Final = 503
DECISION: Final = b"x-camguard-decision"
ERROR: Final = b"x-camguard-error"  # the envelope in one line
MISSING: Final = b"x-camguard-missing"
REASON: Final = b"x-camguard-reason"
REVISION: Final = b"x-camguard-revision"
SHADOW: Final = b"x-camguard-shadow"

_UNDECIDED: Final = frozenset((Reason.POLICY_UNAVAILABLE, Reason.OVERLOADED, Reason.INTERNAL_ERROR))
_ALLOW: Final = (DECISION, b"allow")
_DENY: Final = (DECISION, b"deny")
_SHADOWED: Final = (SHADOW, b"deny")
_NO_STORE: Final = (b"cache-control", b"no-store")
_EMPTY: Final = (b"content-length", b"0")
_PARTS: Final = {each: (MISSING, part.encode()) for part, each in BODY_NOT_SHOWN.items()}


class Answer(NamedTuple):
    """What a proxy is answered. headers: in lower case."""

    status: int
    headers: list[Line]
    body: bytes


_answer = constructor_of(Answer)


def allowed(record: Record) -> Answer:
    """Return the answer to a request that may pass, in shadow mode also to one that is denied."""
    reason = record.decision.reason
    headers = [*_ALLOWS[reason, record.revision], (REQUEST_ID, record.request_id.encode())]
    if reason is not Reason.ALLOWED:
        headers.append(_SHADOWED)
    return _answer((ALLOWED, headers, b""))


def refused(record: Record, refusal: Refusal, *, in_header: bool) -> Answer:
    """Return the answer to a request that may not pass. in_header: whether a header repeats the body."""
    decision = record.decision
    own = [*_DENIALS[decision.reason, record.revision], (REQUEST_ID, record.request_id.encode())]
    if isinstance(decision, Rejection) and decision in _PARTS:
        own.append(_PARTS[decision])
    if in_header:
        own.append((ERROR, refusal.body))
    own += [line for line in refusal.headers if line[0] != REQUEST_ID]
    status = UNDECIDED if decision.reason in _UNDECIDED else REFUSED
    return _answer((status, own, refusal.body))


def unread(record: Record, answers: Answers, *, in_header: bool) -> Answer:
    """Return the answer to a subrequest that names no request."""
    return refused(record, refusal_of(record, answers, closes=False), in_header=in_header)


def _lines(own: Line, more: Lines, of: tuple[Reason, str]) -> Lines:
    """Return the lines of an answer that its reason and its revision determine."""
    reason, revision = of
    return (
        own,
        (REASON, reason.encode()),
        (REVISION, revision[:REVISION_DIGITS].encode()),
        _NO_STORE,
        *more,
    )


_REVISIONS: Final = 16  # that are remembered, with every reason
_ALLOWS: Final[BoundedCache[tuple[Reason, str], Lines]] = BoundedCache(
    partial(_lines, _ALLOW, (_EMPTY,)), entries=_REVISIONS * len(Reason)
)
_DENIALS: Final[BoundedCache[tuple[Reason, str], Lines]] = BoundedCache(
    partial(_lines, _DENY, ()), entries=_REVISIONS * len(Reason)
)
