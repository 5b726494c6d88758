"""Why a request never becomes a call, and how a request that may not pass is answered.

A `Rejection` is what `request` and `authn` return for a request that cannot be judged: one ready row of a
closed list. The engine alone makes a `Decision`. Both are false and carry a reason and a detail; `refusal`
turns either of them into the HTTP answer.

Rule 1: in style `sdk` every answer is HTTP 200 with the envelope and the content type `application/json`
        exactly: with a charset the vendor's SDK takes a refusal for a success, and it repeats a call after
        another status.
Rule 2: a message is a constant but for action, resource and request id, and the detail where it is disclosed
        (T138). A principal that is unknown reads the same answer as one without permission (T119).
Rule 3: the bytes of an answer are made once, as a `RefusalTemplate`; each request adds its id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

from camguard.bounded_cache import BoundedCache
from camguard.engine.decision import DENIALS, Decision, Reason
from camguard.fast_tuple import constructor_of
from camguard.header_names import REQUEST_ID

Style = Literal["sdk", "http"]


@dataclass(frozen=True, slots=True, eq=False)
class Rejection:
    """Why a request never becomes a call. There is one object for each detail; compare with `is`.

    detail: the exact cause, a word of a closed list. status: of the style `http` (THREATS 4). code, message:
    of the error in the envelope. close: whether the connection ends behind the answer, because what follows
    on it cannot be trusted or is an unwanted body.
    """

    detail: str
    reason: Reason
    status: int
    code: str
    message: str
    close: bool = False

    statements: ClassVar[tuple[str, ...]] = ()  # so that records and logs read it like a Decision
    layer: ClassVar[None] = None

    def __bool__(self) -> bool:
        """False: a request that was rejected may not pass."""
        return False


_ACTION = "The action of the request is missing, ambiguous or not well formed."
_IDENTITY = "The identity of the request is missing, ambiguous or not well formed."
_SIGNATURE = "The signature of the request could not be accepted."
_REQUEST = "The request is not well formed."
_PROTOCOL = "The request uses a method, path, content type or protocol feature that is not supported."
_SIZE = "The request exceeds a size limit."
_LATER = "The service is not available, try again later."
_PRODUCT = "The product does not exist or is not served here."
_INTERNAL = "An internal error has occurred."
_NO_ACTION = "The action does not exist or is not served here."
_NO_VERSION = "The action does not exist in this version."
_NO_SECRET_ID = "The SecretId is not found."  # noqa: S105 - a message, not a secret
_NO_ADDRESS = "The source address of the request is not known."
_SLOW = "The request took too long to arrive."
_EXPIRED = "The signature of the request has expired."
_DENIED = "AuthFailure.UnauthorizedOperation"
_UNPROVEN = "AuthFailure.InvalidAuthorization"
_NO_ID = "AuthFailure.SecretIdNotFound"
_UNSIGNED = "AuthFailure.SignatureFailure"
_LATE = "AuthFailure.SignatureExpire"

_ROWS = (
    Rejection("action_missing", Reason.ACTION_MISSING, 400, "MissingParameter", _ACTION),
    Rejection("action_invalid", Reason.ACTION_INVALID, 400, "InvalidParameter", _ACTION),
    Rejection("action_conflict", Reason.ACTION_CONFLICT, 400, "InvalidParameter", _ACTION),
    Rejection("action_duplicate", Reason.ACTION_CONFLICT, 400, "InvalidParameter", _ACTION),
    Rejection("action_alias", Reason.ACTION_CONFLICT, 400, "InvalidParameter", _ACTION),
    Rejection("action_unknown", Reason.ACTION_UNKNOWN, 403, "InvalidAction", _NO_ACTION),
    Rejection("version_unknown", Reason.UNSUPPORTED, 400, "NoSuchVersion", _NO_VERSION),
    Rejection("version_invalid", Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
    Rejection("region_invalid", Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
    Rejection("query_malformed", Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
    Rejection("body_malformed", Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
    Rejection("param_ambiguous", Reason.MALFORMED, 400, "InvalidParameter", _REQUEST),
    Rejection("too_many_params", Reason.TOO_LARGE, 400, "InvalidParameter", _SIZE),
    Rejection("service_unknown", Reason.SERVICE_UNKNOWN, 403, "NoSuchProduct", _PRODUCT),
    Rejection("service_conflict", Reason.SERVICE_CONFLICT, 400, "InvalidParameter", _REQUEST),
    Rejection("host_missing", Reason.HOST_INVALID, 400, "InvalidRequest", _REQUEST),
    Rejection("host_invalid", Reason.HOST_INVALID, 400, "InvalidRequest", _REQUEST),
    Rejection("header_duplicate", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
    Rejection("header_alias", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
    Rejection("header_malformed", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST, close=True),
    Rejection("header_hop_by_hop", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
    Rejection("framing", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST, close=True),
    Rejection("body_on_get", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST, close=True),
    Rejection("front_header_invalid", Reason.MALFORMED, 400, "InvalidRequest", _REQUEST),
    Rejection("forwarded_too_long", Reason.TOO_LARGE, 400, "InvalidRequest", _SIZE),
    Rejection("headers_too_large", Reason.TOO_LARGE, 431, "RequestSizeLimitExceeded", _SIZE, close=True),
    Rejection("query_too_large", Reason.TOO_LARGE, 414, "RequestSizeLimitExceeded", _SIZE),
    Rejection("body_too_large", Reason.TOO_LARGE, 413, "RequestSizeLimitExceeded", _SIZE, close=True),
    Rejection("method_not_allowed", Reason.UNSUPPORTED, 405, "UnsupportedProtocol", _PROTOCOL),
    Rejection("path_not_allowed", Reason.UNSUPPORTED, 404, "UnsupportedProtocol", _PROTOCOL),
    Rejection("trailers_possible", Reason.UNSUPPORTED, 411, "UnsupportedProtocol", _PROTOCOL, close=True),
    Rejection("body_not_shown", Reason.UNSUPPORTED, 403, "UnsupportedProtocol", _PROTOCOL),
    Rejection("content_type", Reason.UNSUPPORTED, 415, "UnsupportedProtocol", _PROTOCOL),
    Rejection("content_encoding", Reason.UNSUPPORTED, 415, "UnsupportedProtocol", _PROTOCOL),
    Rejection("expectation_failed", Reason.UNSUPPORTED, 417, "UnsupportedProtocol", _PROTOCOL, close=True),
    Rejection("upgrade_refused", Reason.UNSUPPORTED, 400, "InvalidRequest", _PROTOCOL, close=True),
    Rejection("websocket_refused", Reason.UNSUPPORTED, 400, "InvalidRequest", _PROTOCOL, close=True),
    Rejection("request_timeout", Reason.TIMED_OUT, 408, "InvalidRequest", _SLOW, close=True),
    Rejection("client_ip_invalid", Reason.CLIENT_IP_INVALID, 403, _DENIED, _NO_ADDRESS),
    Rejection("principal_missing", Reason.PRINCIPAL_MISSING, 401, _UNPROVEN, _IDENTITY),
    Rejection("principal_conflict", Reason.PRINCIPAL_CONFLICT, 403, _UNPROVEN, _IDENTITY),
    Rejection("front_untrusted", Reason.IDENTITY_UNTRUSTED, 403, _UNPROVEN, _IDENTITY),
    Rejection("identity_header_untrusted", Reason.IDENTITY_UNTRUSTED, 403, _UNPROVEN, _IDENTITY),
    Rejection("identity_header_invalid", Reason.IDENTITY_UNTRUSTED, 403, _UNPROVEN, _IDENTITY),
    Rejection("attributes_header_untrusted", Reason.IDENTITY_UNTRUSTED, 403, _UNPROVEN, _IDENTITY),
    Rejection("attributes_header_invalid", Reason.IDENTITY_UNTRUSTED, 403, _UNPROVEN, _IDENTITY),
    Rejection("auth_malformed", Reason.SIGNATURE_MALFORMED, 403, _UNPROVEN, _IDENTITY),
    Rejection("unsigned_payload", Reason.SIGNATURE_MALFORMED, 403, _UNPROVEN, _IDENTITY),
    Rejection("signature_v1_disabled", Reason.SIGNATURE_MALFORMED, 403, _UNPROVEN, _IDENTITY),
    Rejection("secret_id_unknown", Reason.SECRET_ID_UNKNOWN, 403, _NO_ID, _NO_SECRET_ID),
    Rejection("token_invalid", Reason.SIGNATURE_INVALID, 403, "AuthFailure.TokenFailure", _SIGNATURE),
    Rejection("signature_invalid", Reason.SIGNATURE_INVALID, 403, _UNSIGNED, _SIGNATURE),
    Rejection("body_unavailable", Reason.SIGNATURE_INVALID, 403, _UNSIGNED, _SIGNATURE),
    Rejection("key_expired", Reason.SIGNATURE_EXPIRED, 403, "AuthFailure.TokenFailure", _SIGNATURE),
    Rejection("signature_v1_ambiguous", Reason.SIGNATURE_INVALID, 403, _UNSIGNED, _SIGNATURE),
    Rejection("signature_replay", Reason.SIGNATURE_REPLAYED, 403, _UNSIGNED, _SIGNATURE),
    Rejection("signature_expired", Reason.SIGNATURE_EXPIRED, 403, _LATE, _EXPIRED),
    Rejection("policy_unavailable", Reason.POLICY_UNAVAILABLE, 503, "ServiceUnavailable", _LATER),
    Rejection("overloaded", Reason.OVERLOADED, 503, "RequestLimitExceeded", _LATER, close=True),
    Rejection("internal_error", Reason.INTERNAL_ERROR, 500, "InternalError", _INTERNAL, close=True),
    # The gateway answers these for an allowed call whose upstream failed.
    Rejection("upstream_error", Reason.INTERNAL_ERROR, 502, "InternalError", _INTERNAL),
    Rejection("upstream_timeout", Reason.TIMED_OUT, 504, "InternalError", _INTERNAL),
)  # fmt: skip
REJECTIONS: Mapping[str, Rejection] = MappingProxyType({row.detail: row for row in _ROWS})
AFTER_ALLOW = frozenset(
    ("upstream_error", "upstream_timeout")
)  # details of answers to calls that were allowed


# The part of a call that only the body could have shown, where a front does not show bodies, and the
# rejection that names it. All of them have the detail `body_not_shown`.
BodyPart = Literal["action", "resources", "signature", "tags"]
_PARTS: Mapping[BodyPart, str] = MappingProxyType(
    {
        "action": "the form in it may name the action",
        "resources": "it names the resources of the action",
        "signature": "the signature of the caller covers it or may be in it",
        "tags": "it names the tags on which policies depend",
    }
)
_NOT_SHOWN = "The proxy in front shows no request body, and the call cannot be decided without it: %s."
BODY_NOT_SHOWN: Mapping[BodyPart, Rejection] = MappingProxyType(
    {part: replace(REJECTIONS["body_not_shown"], message=_NOT_SHOWN % why) for part, why in _PARTS.items()}
)


def cause_of(decision: Decision | Rejection) -> str:
    """Return the word that names the cause of a denial most exactly: its detail, else its reason."""
    return decision.detail or decision.reason


# Every word that `cause_of` returns for a denial.
CAUSES: tuple[str, ...] = tuple(sorted({*REJECTIONS, *map(str, DENIALS)} - AFTER_ALLOW))


def rejection(detail: str) -> Rejection:
    """Return the row of a detail; always the same object."""
    return REJECTIONS[detail]


class Refusal(NamedTuple):
    """The whole HTTP answer to a request that may not pass."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


_refusal = constructor_of(Refusal)

# The code of a denial, as the error list of the service prints it; other services use the default (DEC-52).
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
_SDK_STATUS = 200
_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")
_ID = "0" * 36  # as long as any request id


@dataclass(frozen=True, slots=True)
class RefusalTemplate:
    """A refusal but for its request id.

    headers: those that name no request. pieces: of the body; the request id stands wherever two of them meet.
    names_request: whether the answer has the header `x-camguard-request-id`.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    pieces: tuple[bytes, ...]
    names_request: bool

    def of(self, request_id: str) -> Refusal:
        """Return the refusal of one request. request_id: a UUID in its usual 36 characters."""
        name = request_id.encode()
        headers = (*self.headers, (REQUEST_ID, name)) if self.names_request else self.headers
        return _refusal((self.status, headers, name.join(self.pieces)))

    def closing(self) -> RefusalTemplate:
        """Return the template of a refusal behind which the connection ends."""
        return self if _CLOSE in self.headers else replace(self, headers=(*self.headers, _CLOSE))


_TemplateKey = tuple[str, str | None, str, Style, bool, bool]

# Rejections are found by detail; those of BODY_NOT_SHOWN, which share one, by message.
_BY_MESSAGE = {row: row.message for row in BODY_NOT_SHOWN.values()}
_ROWS_BY_KEY = {**REJECTIONS, **{message: row for row, message in _BY_MESSAGE.items()}}


def _template(key: _TemplateKey) -> RefusalTemplate:
    """Return the template that `refusal_template` keeps under a key."""
    word, action, resource, style, discloses, names_request = key
    row = _ROWS_BY_KEY.get(word, REJECTIONS["internal_error"] if action is None else None)
    if row is not None:
        status, code, message, close, cause = row.status, row.code, row.message, row.close, row.detail
    else:
        assert action is not None  # noqa: S101 - for mypy: without an action the first line has a row
        code = SERVICE_CODES.get(action.partition(":")[0], DEFAULT_CODE)
        status, message, close, cause = _FORBIDDEN, _FORMS[code] % (_ID, action, resource), False, word
    if discloses:
        message = f"{message} [{cause}]"
    envelope = {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": _ID}}
    whole = json.dumps(envelope, separators=(",", ":")).encode()
    headers: tuple[tuple[bytes, bytes], ...] = (_JSON, (b"content-length", b"%d" % len(whole)))
    if close:
        headers += (_CLOSE,)
    if style == "http" and status == _BUSY:
        headers += (_RETRY,)
    shown = status if style == "http" else _SDK_STATUS
    return RefusalTemplate(shown, headers, tuple(whole.split(_ID.encode())), names_request)


# No key is long: a resource is cut to _RESOURCE_SHOWN, and an action has the form of the catalog.
_TEMPLATES: BoundedCache[_TemplateKey, RefusalTemplate] = BoundedCache(_template)


def refusal_template(  # noqa: PLR0913 - what an answer names, each by a keyword
    cause: Decision | Rejection,
    *,
    action: str | None = None,
    resource: str | None = "*",
    style: Style = "sdk",
    discloses: bool = False,
    names_request: bool = False,
) -> RefusalTemplate:
    """Return the answer to a request that was rejected, or to a call that was denied, but for its request id.

    action: `service:Name` of the catalog, or of its grammar; never text that was not checked.
    resource: what the call was about; None where it could not be bound.
    discloses: whether the message ends with the cause (T138). names_request: whether the answer has the
    header `x-camguard-request-id`.
    """
    # A Decision on a name that the catalog lacks has no detail; its reason is the detail of a row.
    word = cause_of(cause)
    if isinstance(cause, Rejection):
        word = _BY_MESSAGE.get(cause, word)
    if word in _ROWS_BY_KEY:
        action = resource = None  # such an answer names neither
    return _TEMPLATES[word, action, (resource or "*")[:_RESOURCE_SHOWN], style, discloses, names_request]


def refusal(  # noqa: PLR0913 - as `refusal_template`
    cause: Decision | Rejection,
    request_id: str,
    *,
    action: str | None = None,
    resource: str | None = "*",
    style: Style = "sdk",
    discloses: bool = False,
    names_request: bool = False,
) -> Refusal:
    """Return the answer to a request that was rejected, or to a call that was denied.

    request_id: a UUID in its usual 36 characters. The other arguments are those of `refusal_template`.
    """
    template = refusal_template(
        cause, action=action, resource=resource, style=style, discloses=discloses, names_request=names_request
    )
    return template.of(request_id)
