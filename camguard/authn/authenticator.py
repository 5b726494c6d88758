"""Identifies the caller: a principal that a signature proves or that a trusted proxy names (THREATS 3.4).

`Authenticator.claim` judges what the head alone shows, before a byte of the body is taken: most requests that
must be refused are refused there. What it returns is given to `Authenticator.caller` with the body, so that
`Authorization` is read once for each request.

Rule 1: there is no anonymous principal. A request that names no caller is rejected.
Rule 2: a signature that is present must be good, even if a trusted proxy names the caller, and both must name
        the same principal.
Rule 3: where `identity.keys_max_age_seconds` is set, keys that were not confirmed for so long prove nothing
        (T131).
Rule 4: the identity header counts only if a trusted proxy sent it. A request of another peer that has it is
        rejected.

mode        the caller is                            a signature                  a trusted proxy's header
signature   the owner of the key that signed         must be present, and good    must name the same one
header      the principal in the header              must be good (*)             must be present
either      the owner of the key that signed,        must be good                 must name the same one
            else the principal in the header
claimed     the owner of the secret id, unverified   must be present, unverified  must name the same one

(*) If there are keys. Without a keys file no signature can be verified in mode `header`: it is then ignored
and goes on to an upstream that can verify it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from camguard.authn.credentials import AccessKey, Caller, KeyRing, SigningKey, shorten
from camguard.authn.hmac_v1 import carries_v1, check_v1, claim_v1
from camguard.authn.known_head import claimed_key, verify_known
from camguard.authn.replay_guard import ReplayGuard, binding_of
from camguard.authn.tc3 import (
    SIGNATURE_LENGTH,
    claim_tc3,
    read_authorization,
    scope_service,
    signed_payload,
    verify_tc3,
)
from camguard.bounded_cache import BoundedCache
from camguard.engine.decision import Reason
from camguard.errors import Problem, SettingsError
from camguard.grammar import PRINCIPAL, SECRET_ID, UIN
from camguard.request.head import RequestHead
from camguard.request.params import Params, parse_params
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import IdentitySettings

if TYPE_CHECKING:
    from _hashlib import HASH

_LOGGER = logging.getLogger(__name__)

_LABELS: Final = {
    Reason.SIGNATURE_INVALID: "invalid",
    Reason.SIGNATURE_EXPIRED: "expired",
    Reason.SIGNATURE_MALFORMED: "malformed",
    Reason.SECRET_ID_UNKNOWN: "unknown_key",
    Reason.SIGNATURE_REPLAYED: "replayed",
}
CLAIMED: Final = (
    'identity.mode is "claimed": signatures are not verified. A client that reaches camguard can call as any '
    "principal whose secret id it knows, unless the upstream verifies the signature."
)

_NAMED_SECRET_ID = re.compile(rf"TC3-HMAC-SHA256 {{1,8}}Credential=({SECRET_ID.pattern})/".encode())
_BINDINGS: Final = 65_536  # T105: some 36 MiB when full

_MISSING: Final = rejection("principal_missing")
_CONFLICT: Final = rejection("principal_conflict")
_UNTRUSTED: Final = rejection("identity_header_untrusted")
_HEADER_INVALID: Final = rejection("identity_header_invalid")
_MALFORMED: Final = rejection("auth_malformed")
_V1_OFF: Final = rejection("signature_v1_disabled")
_REPLAYED: Final = rejection("signature_replay")
_UNAVAILABLE: Final = rejection("policy_unavailable")
_SERVICE_UNKNOWN: Final = rejection("service_unknown")


class KeySource(Protocol):
    """Where the keys in use are found: a `KeyStore`."""

    @property
    def keys(self) -> KeyRing:
        """The keys in use; read once per request."""


# What the head alone shows: the caller, the key of a TC3 signature that covers the body, or nothing.
Claim: TypeAlias = Caller | SigningKey | None


class Authenticator:
    """Identifies the caller of each request by one set of settings and the keys in use.

    stale: tells whether the keys are too old to prove anything; None where the settings allow any age.
    replay_guard: None where signatures are not bound to calls.
    """

    __slots__ = (
        *("_header_callers", "_keys", "_needs_header", "_needs_signature", "_settings", "_stale"),
        "replay_guard",
    )

    def __init__(
        self, settings: IdentitySettings, keys: KeySource | None, stale: Callable[[], bool] | None
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._stale = stale
        self._needs_header = settings.mode == "header"
        self._needs_signature = settings.mode in {"signature", "claimed"}
        self._header_callers: BoundedCache[bytes, Caller | Rejection] = BoundedCache(_header_caller)
        self.replay_guard = ReplayGuard(_BINDINGS) if settings.bind_signatures else None

    def claim(  # noqa: C901, PLR0911, PLR0912, PLR0913, PLR0917 - one check after the other, as caller
        self,
        head: RequestHead,
        service: str | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as caller
        form: bool,  # noqa: FBT001 - as peer_trusted
        now: float,
    ) -> Claim | Rejection:
        """Return what the head alone shows of the caller, or the rejection for which no body is needed.

        params: of the query. form: whether the body is a form, which may carry a v1 signature. The other
        arguments are those of `caller`. Over a shared host, a request without a TC3 signature that will be
        verified names no service.
        """
        if service is None and not self._verifies(head):
            return _SERVICE_UNKNOWN
        if self._keys is None:
            return self.unsigned(head.identity, peer_trusted)
        named: Caller | Rejection | None = None
        if head.identity is not None:
            named = self._named_by_proxy(head.identity, peer_trusted)
            if isinstance(named, Rejection):
                return named
        settings = self._settings
        in_query = bool(params) and carries_v1(params)
        if head.authorization is None:
            if in_query:
                if not settings.allow_v1:
                    return _V1_OFF
                return _MALFORMED if head.method == "POST" and not form else None
            if named is not None and not self._needs_signature:
                return None if form else named
            return None if form and settings.allow_v1 and not self._needs_header else _MISSING
        if in_query:
            return _MALFORMED
        if self._stale is not None and self._stale():
            return _UNAVAILABLE
        if settings.mode == "claimed":
            access_key = claim_tc3(head, service, self._keys.keys, now)
            return access_key if isinstance(access_key, Rejection) else None
        if head.content_sha256 is not None:
            payload = signed_payload(head, b"", unsigned_allowed=settings.allow_unsigned_payload)
            if isinstance(payload, Rejection):
                return payload
        signing_key = read_authorization(head, service, self._keys.keys, now)
        if named is None and self._needs_header and not isinstance(signing_key, Rejection):
            return _MISSING
        return signing_key

    def caller(  # noqa: PLR0911, PLR0913, PLR0917 - as many values decide; keywords cost time per request
        self,
        head: RequestHead,
        service: str | None,
        body: bytes | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as above
        now: float,
        claim: Claim = None,
    ) -> Caller | Rejection:
        """Return the caller, or why the request is rejected.

        service: of the host; None over a shared host, where only the signature names one (T123). body: the
        bytes that go on, None where they were not delivered. params: of the form where the body is one, else
        of the query. now: seconds since the epoch. claim: what `claim` returned for the same head at the same
        moment.
        """
        kind = type(claim)
        if kind is Caller:
            return claim  # type: ignore[return-value]  # by its type
        if kind is SigningKey and head.identity is None and not (params or head.query or self._needs_header):
            return self._verified(head, service, body, claim, now)  # type: ignore[arg-type]  # by its type
        if self._keys is None or (head.authorization is None and not _carries_v1_anywhere(head, params)):
            return self.unsigned(head.identity, peer_trusted)
        named = None if head.identity is None else self._named_by_proxy(head.identity, peer_trusted)
        if isinstance(named, Rejection):
            return named
        if self._stale is not None and self._stale():
            return _UNAVAILABLE
        signer = self._signer(head, service, body, params, self._keys.keys, now, claim)
        if isinstance(signer, Rejection):
            return signer
        if named is None:
            return _MISSING if self._needs_header else signer
        return signer if named.principal == signer.principal else _CONFLICT

    def unsigned(self, identity: bytes | None, peer_trusted: bool) -> Caller | Rejection:  # noqa: FBT001
        """Return the caller of a request without a signature, or why the request is rejected.

        identity: the value of the identity header. peer_trusted: whether the peer is a trusted proxy.
        """
        named = None if identity is None else self._named_by_proxy(identity, peer_trusted)
        if isinstance(named, Rejection):
            return named
        return _MISSING if named is None or self._needs_signature else named

    def _verifies(self, head: RequestHead) -> bool:
        """Tell whether the request has a TC3 signature that will be verified, and not only believed."""
        return head.authorization is not None and self._keys is not None and self._settings.mode != "claimed"

    def signed_service(self, head: RequestHead) -> str | None:
        """Return the service in the scope of a TC3 signature that was verified (T123)."""
        return None if head.authorization is None else scope_service(head.authorization)

    def needs_body(self, head: RequestHead) -> bool:
        """Tell whether the caller cannot be identified without the body: a signature covers it."""
        if head.authorization is None or head.method != "POST" or self._keys is None:
            return False
        return self._settings.mode != "claimed" and (
            head.content_sha256 is None or self.replay_guard is not None
        )

    def claimed_key(
        self, service: str | None, authorization: bytes, timestamp: bytes | None, now: float
    ) -> SigningKey | None:
        """Return the signing key that `claim` returns for a head; None where only `claim` can tell.

        The guard calls this only for a head whose caller was verified before, and in which no header is about
        the payload. service, now: as for `claim`.
        """
        if self._keys is None or timestamp is None or (self._stale is not None and self._stale()):
            return None
        return claimed_key(authorization, timestamp, service, self._keys.keys, now)

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
    ) -> Rejection | None:
        """Return why `caller` rejects a request, None where the owner of `signing_key` has signed it.

        signing_key: as `claimed_key` returned it. signing: the values that `HeaderLayout.signing` takes. The
        other arguments are those of `verify_known`.
        """
        authorization, timestamp, token, _ = signing
        access_key = verify_known(
            canonical, authorization, timestamp, token, signing_key, body, now, head_of, met
        )
        if isinstance(access_key, Rejection):
            return access_key
        if self.replay_guard is not None:
            signature = authorization[-SIGNATURE_LENGTH:]
            if not self.replay_guard.admits(signature, binding_of(head_of(met), service, body), now):
                return _REPLAYED
        return None

    def _named_by_proxy(self, identity: bytes, peer_trusted: bool) -> Caller | Rejection:  # noqa: FBT001
        """Return the caller that the identity header names, if the peer may name one."""
        return self._header_callers[identity] if peer_trusted else _UNTRUSTED

    def _signer(  # noqa: PLR0913, PLR0917 - as caller
        self,
        head: RequestHead,
        service: str | None,
        body: bytes | None,
        params: Params,
        keys: KeyRing,
        now: float,
        claim: Claim,
    ) -> Caller | Rejection:
        """Return the caller who made the one signature in the request, or why the request is rejected."""
        unverified = self._settings.mode == "claimed"
        access_key: AccessKey | Rejection
        if head.authorization is None:
            if not self._settings.allow_v1:
                return _V1_OFF
            access_key = (claim_v1 if unverified else check_v1)(head, body, params, keys, now)
        elif _carries_v1_anywhere(head, params):
            return _MALFORMED
        elif unverified:
            access_key = claim_tc3(head, service, keys, now)
        else:
            signing_key: SigningKey | Rejection
            if isinstance(claim, SigningKey):
                signing_key = claim
            else:
                signing_key = read_authorization(head, service, keys, now)
            if isinstance(signing_key, Rejection):
                return signing_key
            return self._verified(head, service, body, signing_key, now)
        if isinstance(access_key, Rejection):
            return access_key
        return access_key.caller._replace(signature="claimed") if unverified else access_key.caller

    def _verified(
        self, head: RequestHead, service: str | None, body: bytes | None, signing_key: SigningKey, now: float
    ) -> Caller | Rejection:
        """Return the caller of a TC3 signature that is good and not bound to another call, or a rejection.

        signing_key: as `read_authorization` returned it.
        """
        payload: bytes | Rejection | None = body
        if body is None or head.content_sha256 is not None:
            payload = signed_payload(head, body, unsigned_allowed=self._settings.allow_unsigned_payload)
            if isinstance(payload, Rejection):
                return payload
        access_key = verify_tc3(head, signing_key, payload, now)  # type: ignore[arg-type]  # by the lines above
        if isinstance(access_key, Rejection):
            return access_key
        if self.replay_guard is not None and head.authorization is not None:
            signature = head.authorization[-SIGNATURE_LENGTH:]
            if not self.replay_guard.admits(signature, binding_of(head, service, body), now):
                return _REPLAYED
        return access_key.caller


def _header_caller(identity: bytes) -> Caller | Rejection:
    """Return the caller that a value of the identity header names: a uin, or a principal."""
    text = identity.decode("ascii", "replace")
    principal = f"uin/{text}" if UIN.fullmatch(text) else text
    if not PRINCIPAL.fullmatch(principal):
        return _HEADER_INVALID
    return Caller(principal, None, None, None)


def _carries_v1_anywhere(head: RequestHead, params: Params) -> bool:
    """Tell whether a v1 signature, or half of one, stands anywhere an upstream might look for it."""
    if params and carries_v1(params):
        return True
    if head.query and head.method == "POST":  # params may be those of the form
        in_query = parse_params(head.query, len(head.query) + 1, _MALFORMED)
        return isinstance(in_query, Rejection) or carries_v1(in_query)
    return False


def authenticator(
    settings: IdentitySettings, keys: KeySource | None, stale: Callable[[], bool] | None = None
) -> Authenticator:
    """Return the authenticator for these settings.

    keys: None only in mode `header` (see the module's table). stale: as for `Authenticator`. Logs a warning
    in mode `claimed`.
    Raises SettingsError where the mode needs keys and there are none.
    """
    if keys is None and settings.mode != "header":
        raise SettingsError(
            Problem(
                "identity.keys_file", "SettingsError", f'identity.mode "{settings.mode}" needs a keys file'
            )
        )
    if settings.mode == "claimed":
        _LOGGER.warning(CLAIMED)
    return Authenticator(settings, keys, stale)


def signature_label(cause: Rejection) -> str | None:
    """Return the result of the signature check behind a rejection, None where no signature caused it."""
    return _LABELS.get(cause.reason)


def named_secret_id(head: RequestHead, params: Params) -> str | None:
    """Return the secret id in a rejected request, shortened, for its record. It was not verified."""
    if head.authorization is not None:
        match = _NAMED_SECRET_ID.match(head.authorization)
        return shorten(match[1].decode()) if match else None
    for name, value in params:
        if name == "SecretId" and SECRET_ID.fullmatch(value):
            return shorten(value)
    return None
