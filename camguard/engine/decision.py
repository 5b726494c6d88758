"""The decision on a call, and the closed list of its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a call passes or not: a label of metrics, a field of the decision log, a word of the case files."""

    __hash__ = str.__hash__  # that of Enum is a Python function, and every request looks its reason up

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicit_deny"
    UNDETERMINED_DENY = "undetermined_deny"  # a deny applies because it cannot be evaluated
    NO_ALLOW = "no_allow"
    LAYER_LIMIT = "layer_limit"  # the boundary, session or account layer does not allow the call

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


# The reasons of denials by the engine; the other reasons are those of requests that never became a call.
DENIALS = (
    *(Reason.EXPLICIT_DENY, Reason.UNDETERMINED_DENY, Reason.NO_ALLOW, Reason.LAYER_LIMIT),
    *(Reason.PRINCIPAL_UNKNOWN, Reason.ACTION_UNKNOWN, Reason.ACTION_INVALID, Reason.SERVICE_UNKNOWN),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one call.

    statements: the deciding statements as policy id and index, `("aiart-full#0",)`: the allows of the
        identity layer that hold, or the denies that apply, in the order of layers and documents. Empty for
        other reasons.
    layer: the layer that decided: account, identity, boundary, session or general; None if no policy decided.
    detail: the exact cause within the reason, e.g. `header_duplicate`; a constant, never text from a request.
    """

    reason: Reason
    statements: tuple[str, ...] = ()
    layer: str | None = None
    detail: str | None = None

    def __bool__(self) -> bool:
        """Return True for allow only, so that `if decision:` cannot mean "there is a decision"."""
        return self.reason is Reason.ALLOWED
