"""The record of one request, which observers receive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from camguard.catalog.model import Action
from camguard.engine.decision import Decision, Reason
from camguard.request.rejection import Rejection

# Denials of policy and catalog of a call that was read and whose caller is known.
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


class Record(NamedTuple):
    """One request and its decision. Observers format the values; the guard only refers to them.

    The first four fields and the last two are of the request alone; the fields between them are the same for
    all requests that `enforcement.lane` recognises as alike.

    time: seconds since the epoch. request_id: also that of the refusal, and of `x-camguard-request-id` to the
    upstream and back. duration: seconds from frozen headers to decision. entry: the catalog's
    action, or None if the catalog lists none; labels of metrics come from it only. action, service,
    principal: text from the request, or None if it could not be read; never a label. service: the label of
    the host. cam_action: the names that policies were asked for, `cvm:CreateDisks`, several with a comma
    between them; None if the catalog does not list the action (DEC-68). secret_id: already shortened.
    source_ip: place of the client on the number line of `camguard.ipset`. egress_ip: the place that policies
    were compared with instead, or None where that is the same (T132). peer: the address of the socket, as
    text. client_ip: how the address was found (`peer`, `forwarded`, `mapped`, `invalid`), or None if the
    request was refused before. signature: the result of the signature check, a word of a closed list, or None
    without a check. candidate: the decision of the candidate bundle, or None without one.
    host: the value of `Host`, cut after HOST_LENGTH characters. trace_id, client_request_id: how the caller
    names the request, in `traceparent` and in `X-Request-Id`, or None; never a label.
    """

    time: float
    request_id: str
    duration: float
    candidate: Decision | Rejection | None
    listener: str
    mode: str  # "enforce" or "shadow"
    decision: Decision | Rejection
    entry: Action | None
    principal: str | None
    secret_id: str | None
    service: str | None
    action: str | None
    resources: tuple[str | None, ...]
    source_ip: int | None
    egress_ip: int | None
    peer: str | None
    client_ip: str | None
    signature: str | None
    revision: str
    cam_action: str | None = None
    host: str | None = None
    trace_id: str | None = None
    client_request_id: str | None = None


# Called once for each request, right after the decision. What it returns is None, or an observer that may be
# called in its place for requests whose records agree with this one in every field from `listener` to `host`.
Observer = Callable[[Record], Any]

# Called after the answer, with the status that the upstream or the application gave and the caller got, with
# the failure behind the decision (None, a kind of upstream error, or REPLY_INCOMPLETE; T130), and with the
# status that the caller got from whomever: None if no answer began.
Conclusion = Callable[[Record, int | None, str | None, int | None], None]
AUTHORIZER: Final = "authorizer"  # the listener of proxies that ask about a request before they forward it
HOST_LENGTH: Final = 253  # the longest host name
REPLY_INCOMPLETE: Final = "reply_incomplete"  # a part of the reply was sent, and the rest is missing
NO_REPLY: Final = "internal"  # the application, or camguard itself, failed before it sent anything
