"""From a detail to the refusal that it stands for. A first version: identity only (threats section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from camguard.engine.decision import Decision, Reason


class Detail(NamedTuple):
    """How one fault is answered. status: in the `http` style."""

    reason: Reason
    status: int
    code: str


_AUTHORIZATION = "AuthFailure.InvalidAuthorization"
_SIGNATURE = "AuthFailure.SignatureFailure"

DETAILS: Final[Mapping[str, Detail]] = MappingProxyType(
    {
        "principal_missing": Detail(Reason.PRINCIPAL_MISSING, 401, _AUTHORIZATION),
        "principal_conflict": Detail(Reason.PRINCIPAL_CONFLICT, 403, _AUTHORIZATION),
        "identity_header_untrusted": Detail(Reason.IDENTITY_UNTRUSTED, 403, _AUTHORIZATION),
        "identity_header_invalid": Detail(Reason.IDENTITY_UNTRUSTED, 403, _AUTHORIZATION),
        "auth_malformed": Detail(Reason.SIGNATURE_MALFORMED, 403, _AUTHORIZATION),
        "signature_v1_disabled": Detail(Reason.SIGNATURE_MALFORMED, 403, _AUTHORIZATION),
        "unsigned_payload": Detail(Reason.SIGNATURE_MALFORMED, 403, _AUTHORIZATION),
        "service_conflict": Detail(Reason.SERVICE_CONFLICT, 400, "InvalidParameter"),
        "secret_id_unknown": Detail(Reason.SECRET_ID_UNKNOWN, 403, "AuthFailure.SecretIdNotFound"),
        "signature_invalid": Detail(Reason.SIGNATURE_INVALID, 403, _SIGNATURE),
        "signature_v1_ambiguous": Detail(Reason.SIGNATURE_INVALID, 403, _SIGNATURE),
        "body_unavailable": Detail(Reason.SIGNATURE_INVALID, 403, _SIGNATURE),
        "signature_replay": Detail(Reason.SIGNATURE_REPLAYED, 403, _SIGNATURE),
        "signature_expired": Detail(Reason.SIGNATURE_EXPIRED, 403, "AuthFailure.SignatureExpire"),
        "key_expired": Detail(Reason.SIGNATURE_EXPIRED, 403, "AuthFailure.TokenFailure"),
        "token_invalid": Detail(Reason.SIGNATURE_INVALID, 403, "AuthFailure.TokenFailure"),
    }
)


@cache
def refused(detail: str) -> Decision:
    """Return the one decision of a detail: the same object each time, so that `is` compares it."""
    return Decision(DETAILS[detail].reason, detail=detail)
