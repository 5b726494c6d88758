"""What a caller is told who may not pass: an error that the vendor's SDKs understand.

Rule 1: every answer is HTTP 200 with the envelope and `application/json` exactly (DEC-53): with a charset
        the vendor's SDK takes a refusal for a success, after another status it repeats the call.
Rule 2: a message is a constant but for action, resource and request id. An unknown principal reads the same
        as one without permission (T119).
Rule 3: bytes are made once; a request adds its id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.engine.decision import Decision, Reason
from camguard.fast_tuple import maker_of

Style = Literal["sdk", "http"]


class Refusal(NamedTuple):
    """How one fault is told.

    status: of the `http` style (THREATS 4). close: what follows on the connection cannot be trusted, or is a
    body nobody wants.
    """

    reason: Reason
    status: int
    code: str
    message: str
    close: bool = False


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


_answer = maker_of(Answer)

_ACTION = "The action of the request is missing, ambiguous or not well formed."
_IDENTITY = "The identity of the request is missing, ambiguous or not well formed."
_SIGNATURE = "The signature of the request could not be accepted."
_REQUEST = "The request is not well formed."
_PROTOCOL = "The request uses a method, path, content type or protocol feature that is not supported."
_SIZE = "The request exceeds a size limit."
_LATER = "The service is not available, try again later."
_PRODUCT = "The product does not exist or is not served here."
_INTERNAL = "An internal error has occurred."
_DENIED = "AuthFailure.UnauthorizedOperation"

DETAILS: Mapping[str, Refusal] = MappingProxyType(
    {
        "action_missing": Refusal(Reason.ACTION_MISSING, 400, "MissingParameter", _ACTION),
        "action_invalid": Refusal(Reason.ACTION_INVALID, 400, "InvalidParameter", _ACTION),
        "action_conflict": Refusal(Reason.ACTION_CONFLICT, 400, "InvalidParameter", _ACTION),
        "action_duplicate": Refusal(Reason.ACTION_CONFLICT, 400, "InvalidParameter", _ACTION),
        "action_alias": Refusal(Reason.ACTION_CONFLICT, 400, "InvalidParameter", _ACTION),
        "action_unknown": Refusal(
            Reason.ACTION_UNKNOWN, 403, "InvalidAction", "The action does not exist or is not served here."
        ),
        "version_unknown": Refusal(
            Reason.UNSUPPORTED, 400, "NoSuchVersion", "The action does not exist in this version."
        ),
        "version_invalid": Refusal(Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
        "region_invalid": Refusal(Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
        "query_malformed": Refusal(Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
        "body_malformed": Refusal(Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
        "param_ambiguous": Refusal(Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
        "too_many_params": Refusal(Reason.TOO_LARGE, 400, "InvalidParameter", _SIZE),
        "service_unknown": Refusal(Reason.SERVICE_UNKNOWN, 403, "NoSuchProduct", _PRODUCT),
        "service_conflict": Refusal(Reason.SERVICE_CONFLICT, 400, "InvalidParameter", _REQUEST),
        "host_missing": Refusal(Reason.HOST_INVALID, 400, "InvalidRequest", _REQUEST),
        "host_invalid": Refusal(Reason.HOST_INVALID, 400, "InvalidRequest", _REQUEST),
        "header_duplicate": Refusal(Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
        "header_alias": Refusal(Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
        "header_malformed": Refusal(Reason.MALFORMED, 400, "InvalidRequest", _REQUEST, close=True),
        "header_hop_by_hop": Refusal(Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
        "framing": Refusal(Reason.MALFORMED, 400, "InvalidRequest", _REQUEST, close=True),
        "body_on_get": Refusal(Reason.MALFORMED, 400, "InvalidRequest", _REQUEST, close=True),
        "forwarded_too_long": Refusal(Reason.TOO_LARGE, 400, "InvalidRequest", _SIZE),
        "headers_too_large": Refusal(Reason.TOO_LARGE, 431, "RequestSizeLimitExceeded", _SIZE, close=True),
        "query_too_large": Refusal(Reason.TOO_LARGE, 414, "RequestSizeLimitExceeded", _SIZE),
        "body_too_large": Refusal(Reason.TOO_LARGE, 413, "RequestSizeLimitExceeded", _SIZE, close=True),
        "method_not_allowed": Refusal(Reason.UNSUPPORTED, 405, "UnsupportedProtocol", _PROTOCOL),
        "path_not_allowed": Refusal(Reason.UNSUPPORTED, 404, "UnsupportedProtocol", _PROTOCOL),
        "trailers_possible": Refusal(Reason.UNSUPPORTED, 411, "UnsupportedProtocol", _PROTOCOL, close=True),
        "content_type": Refusal(Reason.UNSUPPORTED, 415, "UnsupportedProtocol", _PROTOCOL),
        "content_encoding": Refusal(Reason.UNSUPPORTED, 415, "UnsupportedProtocol", _PROTOCOL),
        "expectation_failed": Refusal(Reason.UNSUPPORTED, 417, "UnsupportedProtocol", _PROTOCOL, close=True),
        "upgrade_refused": Refusal(Reason.UNSUPPORTED, 400, "InvalidRequest", _PROTOCOL, close=True),
        "websocket_refused": Refusal(Reason.UNSUPPORTED, 400, "InvalidRequest", _PROTOCOL, close=True),
        "request_timeout": Refusal(
            Reason.TIMED_OUT, 408, "InvalidRequest", "The request took too long to arrive.", close=True
        ),
        "client_ip_invalid": Refusal(
            Reason.CLIENT_IP_INVALID, 403, _DENIED, "The source address of the request is not known."
        ),
        "principal_missing": Refusal(
            Reason.PRINCIPAL_MISSING, 401, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "principal_conflict": Refusal(
            Reason.PRINCIPAL_CONFLICT, 403, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "identity_header_untrusted": Refusal(
            Reason.IDENTITY_UNTRUSTED, 403, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "identity_header_invalid": Refusal(
            Reason.IDENTITY_UNTRUSTED, 403, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "auth_malformed": Refusal(
            Reason.SIGNATURE_MALFORMED, 403, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "unsigned_payload": Refusal(
            Reason.SIGNATURE_MALFORMED, 403, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "signature_v1_disabled": Refusal(
            Reason.SIGNATURE_MALFORMED, 403, "AuthFailure.InvalidAuthorization", _IDENTITY
        ),
        "secret_id_unknown": Refusal(
            Reason.SECRET_ID_UNKNOWN, 403, "AuthFailure.SecretIdNotFound", "The SecretId is not found."
        ),
        "token_invalid": Refusal(Reason.SIGNATURE_INVALID, 403, "AuthFailure.TokenFailure", _SIGNATURE),
        "signature_invalid": Refusal(
            Reason.SIGNATURE_INVALID, 403, "AuthFailure.SignatureFailure", _SIGNATURE
        ),
        "body_unavailable": Refusal(
            Reason.SIGNATURE_INVALID, 403, "AuthFailure.SignatureFailure", _SIGNATURE
        ),
        "key_expired": Refusal(Reason.SIGNATURE_EXPIRED, 403, "AuthFailure.TokenFailure", _SIGNATURE),
        "signature_v1_ambiguous": Refusal(
            Reason.SIGNATURE_INVALID, 403, "AuthFailure.SignatureFailure", _SIGNATURE
        ),
        "signature_replay": Refusal(
            Reason.SIGNATURE_REPLAYED, 403, "AuthFailure.SignatureFailure", _SIGNATURE
        ),
        "signature_expired": Refusal(
            Reason.SIGNATURE_EXPIRED,
            403,
            "AuthFailure.SignatureExpire",
            "The signature of the request has expired.",
        ),
        "policy_unavailable": Refusal(Reason.POLICY_UNAVAILABLE, 503, "ServiceUnavailable", _LATER),
        "overloaded": Refusal(Reason.OVERLOADED, 503, "RequestLimitExceeded", _LATER, close=True),
        "internal_error": Refusal(Reason.INTERNAL_ERROR, 500, "InternalError", _INTERNAL, close=True),
        # No decisions: what the gateway answers when an allowed call finds no upstream.
        "upstream_error": Refusal(Reason.INTERNAL_ERROR, 502, "InternalError", _INTERNAL),
        "upstream_timeout": Refusal(Reason.TIMED_OUT, 504, "InternalError", _INTERNAL),
    }
)

# What CAM says no with, as each service's error list prints it; all others say it the second way (DEC-52).
SERVICE_CODES: Mapping[str, str] = MappingProxyType({"aiart": "AuthFailure.UnauthorizedOperation"})
DEFAULT_CODE = "UnauthorizedOperation"
# CAM 15.2, forms 2 and 1: request id, action, resource.
_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "AuthFailure.UnauthorizedOperation": (
            "You are not authorized to perform this operation. Check your CAM policies, and ensure that you "
            "are using the correct access keys. [[request id:%s]you are not authorized to perform operation "
            "(%s)\nresource (%s) has no permission\n]"
        ),
        "UnauthorizedOperation": (
            "[request id:%s]you are not authorized to perform operation (%s)\n"
            "resource (%s) has no permission\n"
        ),
    }
)
_FORBIDDEN = 403
_BUSY = 503
_RESOURCE_SHOWN = 256
_JSON = (b"content-type", b"application/json")
_ID = "0" * 36  # as long as any request id

_DECISIONS = {name: Decision(refusal.reason, detail=name) for name, refusal in DETAILS.items()}


def refused(detail: str) -> Decision:
    """Return the ready decision of one row of DETAILS; always the same object."""
    return _DECISIONS[detail]


class _Ready(NamedTuple):
    """An answer but for its request id, which stands wherever two pieces meet."""

    status: Mapping[Style, int]
    headers: Mapping[Style, tuple[tuple[bytes, bytes], ...]]
    pieces: tuple[bytes, ...]

    def answer(self, request_id: str, style: Style) -> Answer:
        body = request_id.encode().join(self.pieces)
        return _answer((self.status[style], self.headers[style], body))


def _ready(status: int, code: str, message: str, *, close: bool = False) -> _Ready:
    """Return an answer. message: with `_ID` where the request id belongs."""
    envelope = {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": _ID}}
    whole = json.dumps(envelope, separators=(",", ":")).encode()
    headers: tuple[tuple[bytes, bytes], ...] = (_JSON, (b"content-length", b"%d" % len(whole)))
    if close:
        headers += ((b"connection", b"close"),)
    http = (*headers, (b"retry-after", b"1")) if status == _BUSY else headers
    return _Ready(
        {"sdk": 200, "http": status}, {"sdk": headers, "http": http}, tuple(whole.split(_ID.encode()))
    )


_READY = {
    name: _ready(each.status, each.code, each.message, close=each.close) for name, each in DETAILS.items()
}
# Decisions that were made elsewhere and carry no detail. What is not here is policy's no.
_REASONS = {reason: reason.value for reason in Reason if reason.value in DETAILS}


def _denied(named: tuple[str, str]) -> _Ready:
    """Return the denial of one action (`service:Name`) on one resource."""
    action, resource = named
    code = SERVICE_CODES.get(action.partition(":")[0], DEFAULT_CODE)
    return _ready(_FORBIDDEN, code, _FORMS[code] % (_ID, action, resource))


_DENIALS: BoundedCache[tuple[str, str], _Ready] = BoundedCache(_denied, size=lambda named: len(named[1]))


def answer(
    decision: Decision,
    request_id: str,
    *,
    action: str | None = None,
    resource: str | None = "*",
    style: Style = "sdk",
) -> Answer:
    """Return the refusal of a call.

    action: `service:Name` of the catalog, or of its grammar; never text that was not checked.
    resource: what the call was about; None where it could not be told.
    request_id: a UUID in its usual 36 characters.
    """
    detail = decision.detail if decision.detail in _READY else _REASONS.get(decision.reason)
    if detail is not None:
        return _READY[detail].answer(request_id, style)
    if action is None:
        return _READY["internal_error"].answer(request_id, style)
    return _DENIALS[action, (resource or "*")[:_RESOURCE_SHOWN]].answer(request_id, style)
