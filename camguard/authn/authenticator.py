"""The caller of a request: a principal that a signature proves or a trusted proxy names (THREATS 3.4).

Rule 1: there is no anonymous principal; a request that names no caller is refused.
Rule 2: a signature that is present must be valid, even where a trusted proxy names the caller. Signature and
        proxy must name the same principal.
Rule 3: the identity header counts from a trusted proxy alone; from any other peer the header is refused.

mode        who calls is                             a signature                 a trusted proxy's header
signature   who signed                               must be there, and good     must agree
header      who the header says                      must be good (*)            must be there
either      who signed, else who the header says     must be good                must agree
claimed     the owner of the secret id, unverified   must be there, is believed  must agree

(*) If there are keys. Without a keys file camguard cannot verify signatures in mode `header`: it then ignores
the signature and forwards it, and the upstream may verify it.
"""

from __future__ import annotations

import logging
import re
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, TypeAlias

from camguard.authn.credentials import Credential, Key, Keys, shorten
from camguard.authn.hmac_v1 import check_v1, claim_v1, signs_v1
from camguard.authn.replay_guard import SignatureLog
from camguard.authn.tc3 import check_tc3, claim_tc3, named_credential, signed_payload, verify_tc3
from camguard.bounded_cache import BoundedCache
from camguard.engine.decision import Reason
from camguard.errors import Problem, SettingsError
from camguard.fast_tuple import constructor_of
from camguard.grammar import PRINCIPAL, SECRET_ID, UIN
from camguard.policy.model import Policy
from camguard.request.head import RequestHead
from camguard.request.params import Params, parse_params
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import IdentitySettings

_LOGGER = logging.getLogger(__name__)

SIGNATURE_LABELS: Final = ("valid", "invalid", "expired", "malformed", "unknown_key", "replayed", "claimed")
_LABELS: Final = {
    Reason.SIGNATURE_INVALID: "invalid",
    Reason.SIGNATURE_EXPIRED: "expired",
    Reason.SIGNATURE_MALFORMED: "malformed",
    Reason.SECRET_ID_UNKNOWN: "unknown_key",
    Reason.SIGNATURE_REPLAYED: "replayed",
}
CLAIMED: Final = (
    'identity.mode is "claimed": a secret id is believed without verifying its signature. Whoever reaches '
    "camguard can call as anyone whose secret id they know, unless the upstream verifies that signature."
)

_NAMED_SECRET_ID = re.compile(rf"TC3-HMAC-SHA256 Credential=({SECRET_ID.pattern})/".encode())
_SIGNATURES: Final = 65_536  # T105: some 36 MiB when full
_HEX_LENGTH: Final = 64

_MISSING: Final = rejection("principal_missing")
_CONFLICT: Final = rejection("principal_conflict")
_UNTRUSTED: Final = rejection("identity_header_untrusted")
_HEADER_INVALID: Final = rejection("identity_header_invalid")
_MALFORMED: Final = rejection("auth_malformed")
_V1_OFF: Final = rejection("signature_v1_disabled")
_REPLAYED: Final = rejection("signature_replay")


class KeySource(Protocol):
    """The source of the keys in use: a `KeyStore`."""

    @property
    def keys(self) -> Keys:
        """The keys in use; read once per request."""


class Caller(NamedTuple):
    """Who calls.

    secret_id: shortened; None where no key was involved. session: what a temporary credential may do at most.
    signature: one of SIGNATURE_LABELS (`valid` or `claimed`), None where none was judged.
    """

    principal: str
    secret_id: str | None
    session: Policy | None
    signature: str | None


_caller = constructor_of(Caller)

# What the head alone tells of the caller: all, the credential of a signature still to be checked, or nothing.
Claim: TypeAlias = Caller | Credential | None


class Authenticator:
    """Made once from settings and keys; called once per request."""

    __slots__ = ("_header_callers", "_keys", "_needs_header", "_needs_signature", "_rules", "signatures")

    def __init__(self, rules: IdentitySettings, keys: KeySource | None) -> None:
        self._rules = rules
        self._keys = keys
        self._needs_header = rules.mode == "header"
        self._needs_signature = rules.mode in {"signature", "claimed"}
        self._header_callers: BoundedCache[bytes, Caller | Rejection] = BoundedCache(self._header_caller)
        self.signatures = SignatureLog(_SIGNATURES) if rules.bind_signatures else None

    def caller(  # noqa: PLR0911, PLR0913, PLR0917 - a request has that many faces; keywords cost time per request
        self,
        head: RequestHead,
        service: str,
        body: bytes | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as above
        now: float,
        claim: Claim = None,
    ) -> Caller | Rejection:
        """Return who calls, or the refusal.

        service: what the host names. body: the bytes that go on, None where they were not delivered.
        params: of the query, or of the form where the body is one. now: seconds since the epoch.
        claim: what `claim` returned for the same head at the same moment.
        """
        kind = type(claim)
        if kind is Caller:
            return claim  # type: ignore[return-value]  # by its type
        if kind is Credential and head.identity is None and not (params or head.query or self._needs_header):
            return self._verified(head, service, body, claim, now)  # type: ignore[arg-type]  # by its type
        if self._keys is None or (head.authorization is None and not _carries_v1(head, params)):
            return self.unsigned(head.identity, peer_trusted)
        named = None if head.identity is None else self._named_by_header(head.identity, peer_trusted)
        if isinstance(named, Rejection):
            return named
        proved = self._prove(head, service, body, params, now, claim)
        if isinstance(proved, Rejection):
            return proved
        if named is None:
            return _MISSING if self._needs_header else proved
        return proved if named.principal == proved.principal else _CONFLICT

    def claim(  # noqa: C901, PLR0911, PLR0913, PLR0917 - one check after the other, as caller
        self,
        head: RequestHead,
        service: str,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as caller
        form: bool,  # noqa: FBT001 - as peer_trusted
        now: float,
    ) -> Claim | Rejection:
        """Return what the head claims about the caller, or the refusal for which no body is needed.

        params: of the query. form: whether the body is a form, which may carry a v1 signature.
        """
        if self._keys is None:
            return self.unsigned(head.identity, peer_trusted)
        named = None if head.identity is None else self._named_by_header(head.identity, peer_trusted)
        if isinstance(named, Rejection):
            return named
        rules = self._rules
        v1 = bool(params) and signs_v1(params)
        if head.authorization is None:
            if v1:
                if not rules.allow_v1:
                    return _V1_OFF
                return _MALFORMED if head.method == "POST" and not form else None
            if named is not None and not self._needs_signature:
                return None if form else named
            by_v1 = form and rules.allow_v1 and not (self._needs_header and named is None)
            return None if by_v1 else _MISSING
        if v1:
            return _MALFORMED
        keys = self._keys.keys
        if rules.mode == "claimed":
            key = claim_tc3(head, service, keys, now)
            return key if isinstance(key, Rejection) else None
        covered = signed_payload(head, b"", unsigned_allowed=rules.allow_unsigned_payload)
        if isinstance(covered, Rejection):
            return covered
        credential = named_credential(head, service, keys, now)
        if named is None and self._needs_header and not isinstance(credential, Rejection):
            return _MISSING
        return credential

    def unsigned(self, identity: bytes | None, peer_trusted: bool) -> Caller | Rejection:  # noqa: FBT001
        """Return who calls where nothing is signed, or the refusal. identity: what the header says."""
        named = None if identity is None else self._named_by_header(identity, peer_trusted)
        if isinstance(named, Rejection):
            return named
        return _MISSING if named is None or self._needs_signature else named

    def needs_body(self, head: RequestHead) -> bool:
        """Tell whether the identity cannot be had without the body: a signature that covers it."""
        if head.authorization is None or head.method != "POST" or self._keys is None:
            return False
        return self._rules.mode != "claimed" and (head.content_sha256 is None or self.signatures is not None)

    def _named_by_header(self, raw: bytes, peer_trusted: bool) -> Caller | Rejection:  # noqa: FBT001 - as above
        """Return whom the identity header names, if the peer may say so."""
        if not peer_trusted:
            return _UNTRUSTED
        return self._header_callers[raw]

    def _header_caller(self, raw: bytes) -> Caller | Rejection:
        text = raw.decode("ascii", "replace")
        principal = f"uin/{text}" if UIN.fullmatch(text) else text
        if not PRINCIPAL.fullmatch(principal):
            return _HEADER_INVALID
        return Caller(principal, None, None, None)

    def _prove(  # noqa: PLR0913, PLR0917 - as caller
        self, head: RequestHead, service: str, body: bytes | None, params: Params, now: float, claim: Claim
    ) -> Caller | Rejection:
        """Return the principal of the one signature in the request, or the refusal."""
        rules = self._rules
        keys = self._keys.keys  # type: ignore[union-attr]  # asked only where there are keys
        claimed = rules.mode == "claimed"
        key: Key | Rejection
        if isinstance(claim, Credential) and not _carries_v1(head, params):
            return self._verified(head, service, body, claim, now)
        if head.authorization is None:
            if not rules.allow_v1:
                return _V1_OFF
            key = (claim_v1 if claimed else check_v1)(head, body, params, keys, now)
        elif _carries_v1(head, params):
            return _MALFORMED
        elif claimed:
            key = claim_tc3(head, service, keys, now)
        else:
            payload = signed_payload(head, body, unsigned_allowed=rules.allow_unsigned_payload)
            key = payload if isinstance(payload, Rejection) else check_tc3(head, service, payload, keys, now)
            return key if isinstance(key, Rejection) else self._bound(head, service, body, key, now)
        if isinstance(key, Rejection):
            return key
        return Caller(key.principal, key.label, key.session, "claimed" if claimed else "valid")

    def _verified(
        self, head: RequestHead, service: str, body: bytes | None, credential: Credential, now: float
    ) -> Caller | Rejection:
        """Return the principal of a TC3 signature of which only the body's part was not judged yet."""
        payload = signed_payload(head, body, unsigned_allowed=self._rules.allow_unsigned_payload)
        key = payload if isinstance(payload, Rejection) else verify_tc3(head, credential, payload, now)
        return key if isinstance(key, Rejection) else self._bound(head, service, body, key, now)

    def _bound(
        self, head: RequestHead, service: str, body: bytes | None, key: Key, now: float
    ) -> Caller | Rejection:
        """Return the owner of a key that signed this call, unless its signature is bound to another call."""
        if self.signatures is not None and head.authorization is not None:
            signature = head.authorization[-_HEX_LENGTH:]
            if not self.signatures.bound(signature, _binding(head, service, body), now):
                return _REPLAYED
        return _caller((key.principal, key.label, key.session, "valid"))


def _carries_v1(head: RequestHead, params: Params) -> bool:
    """Tell whether a v1 signature, or half of one, is anywhere that a reader might look for it."""
    if params and signs_v1(params):
        return True
    if head.query and head.method == "POST":  # params may be those of the form
        beside = parse_params(head.query, len(head.query) + 1, _MALFORMED)
        return isinstance(beside, Rejection) or signs_v1(beside)
    return False


def _binding(head: RequestHead, service: str, body: bytes | None) -> tuple[object, ...]:
    """Return what a signature may stand for once: everything that decides and that it leaves out."""
    unsigned_body = None if head.content_sha256 is None else sha256(body or b"").digest()
    return service, head.action, head.version, head.region, unsigned_body


def authenticator(rules: IdentitySettings, keys: KeySource | None) -> Authenticator:
    """Settle how callers are identified.

    keys: None only in mode `header` (see the module's table). Warns loudly of mode `claimed`.
    Raises SettingsError where the mode needs keys and there are none.
    """
    if keys is None and rules.mode != "header":
        raise SettingsError(
            Problem("identity.keys_file", "SettingsError", f'identity.mode "{rules.mode}" needs a keys file')
        )
    if rules.mode == "claimed":
        _LOGGER.warning(CLAIMED)
    return Authenticator(rules, keys)


def signature_label(decision: Rejection) -> str | None:
    """Return the result of the signature check behind a refusal, None where it was not about a signature."""
    return _LABELS.get(decision.reason)


def named_secret_id(head: RequestHead, params: Params) -> str | None:
    """Return the secret id that a refused request names, shortened, for its record.

    The id is not verified.
    """
    if head.authorization is not None:
        match = _NAMED_SECRET_ID.match(head.authorization)
        return shorten(match[1].decode()) if match else None
    for name, value in params:
        if name == "SecretId" and SECRET_ID.fullmatch(value):
            return shorten(value)
    return None
