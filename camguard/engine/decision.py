"""The answer, and which of a closed list of reasons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a call passes or not: metrics label, log field, and word of the case files."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicit_deny"
    UNDETERMINED_DENY = "undetermined_deny"  # a deny that could not be evaluated counted
    NO_ALLOW = "no_allow"
    LAYER_LIMIT = "layer_limit"  # boundary, session or account layer does not allow

    ACTION_UNKNOWN = "action_unknown"
    ACTION_MISSING = "action_missing"
    ACTION_INVALID = "action_invalid"
    ACTION_CONFLICT = "action_conflict"
    SERVICE_UNKNOWN = "service_unknown"
    SERVICE_CONFLICT = "service_conflict"
    HOST_INVALID = "host_invalid"

    PRINCIPAL_MISSING = "principal_missing"
    PRINCIPAL_UNKNOWN = "principal_unknown"
    PRINCIPAL_CONFLICT = "principal_conflict"
    IDENTITY_UNTRUSTED = "identity_untrusted"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_INVALID = "signature_invalid"
    SIGNATURE_EXPIRED = "signature_expired"
    SIGNATURE_REPLAYED = "signature_replayed"
    SECRET_ID_UNKNOWN = "secret_id_unknown"  # noqa: S105 - the name of a reason, not a secret

    CLIENT_IP_INVALID = "client_ip_invalid"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    TIMED_OUT = "timed_out"
    POLICY_UNAVAILABLE = "policy_unavailable"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one call.

    statements: those that decided, `("aiart-full#0",)` (policy id # index): the allows of the identity
        layer that hold, or the denies that count, in the order of layers and documents; else empty.
    layer: the layer that decided: account, identity, boundary, session or general; None outside of policy.
    detail: which of several faults one reason stands for, e.g. `header_duplicate`; a constant, never input.
    """

    reason: Reason
    statements: tuple[str, ...] = ()
    layer: str | None = None
    detail: str | None = None

    def __bool__(self) -> bool:
        """True only for allow, so that `if decision:` cannot mean "there is an answer"."""
        return self.reason is Reason.ALLOWED
