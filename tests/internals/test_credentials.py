"""The cache of signing keys stays bounded."""

from __future__ import annotations

import pytest

from camguard.authn.credentials import parse_keys

ENTRY = b'{"AKIDx":{"secret_key":"EXAMPLE-SECRET-KEY-0000000000000","principal":"uin/100000000101"}}'
MOST = 4096


@pytest.mark.parametrize("secret_id", [b"AKIDx", b"AKIDunknown"], ids=["a known id", "an unknown id"])
def test_the_signing_keys_of_known_and_of_unknown_ids_are_bounded(secret_id: bytes) -> None:
    keys = parse_keys(ENTRY, "keys.json")
    signing_key = keys.derive(secret_id, "2023-11-14", "aiart")
    for number in range(10_000):
        keys.cache(b"%d" % number, signing_key)
    caches = (keys.known_ids, keys._unknown_ids)
    sizes = sorted(map(len, caches))
    assert sizes[0] == 0
    assert 0 < sizes[1] <= MOST
    keys.cache(b"x" * 10_000, signing_key)
    assert keys.cached(b"x" * 10_000) is None, "a text that is too long is not cached"
