"""The cache of identity headers stays bounded."""

from __future__ import annotations

from camguard.authn.authenticator import authenticator
from camguard.settings.model import IdentitySettings


def test_the_callers_that_identity_headers_name_are_bounded() -> None:
    authn = authenticator(IdentitySettings(mode="header"), None)
    for number in range(10_000, 20_000):
        assert authn.unsigned(b"%d" % number, peer_trusted=True)
    assert 0 < len(authn._header_callers) <= 4096
