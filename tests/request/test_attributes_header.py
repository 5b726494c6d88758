"""The header in which a trusted proxy supplies condition keys (T137)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from camguard.request.attributes_header import read_attributes
from camguard.request.rejection import Rejection
from camguard.settings import Settings
from tests.stage import (
    ALICE,
    FROM_OFFICE,
    OFFICE,
    PROXY,
    SETTINGS,
    FixedPolicies,
    Line,
    Play,
    Reply,
    Request,
    bundle,
    changed,
    sdk,
)

KEYS = frozenset(("qcs:mfa", "qcs:vpc", "cos:x"))
NAME = b"x-corp-attributes"

# text of the header, the keys that it supplies, or the end of the detail that rejects it
TEXTS = [
    pytest.param(b"{}", {}, id="T137 no key at all"),
    pytest.param(b'{"qcs:mfa": "true"}', {"qcs:mfa": ("true",)}, id="T137 a text"),
    pytest.param(b'{"cos:x": ["a", "b"]}', {"cos:x": ("a", "b")}, id="T137 a list of texts"),
    pytest.param(b'{"cos:x": []}', {"cos:x": ()}, id="T137 an empty list is supplied and absent"),
    pytest.param(
        b'{"qcs:mfa": "true", "qcs:vpc": [], "cos:x": "a"}',
        {"qcs:mfa": ("true",), "qcs:vpc": (), "cos:x": ("a",)},
        id="T137 every key that is listed",
    ),
    pytest.param('{"cos:x": "é"}'.encode(), {"cos:x": ("é",)}, id="T137 UTF-8"),
    pytest.param(b'{"cos:x": "\\u00e9"}', {"cos:x": ("é",)}, id="T137 an escape"),
    pytest.param(b"", "invalid", id="T137 an empty value"),
    pytest.param(b"[]", "invalid", id="T137 a list"),
    pytest.param(b"null", "invalid", id="T137 null"),
    pytest.param(b'"x"', "invalid", id="T137 a text alone"),
    pytest.param(b'{"cos:y": "a"}', "invalid", id="T137 a key that is not listed"),
    pytest.param(b'{"COS:x": "a"}', "invalid", id="T137 a key in other capitals"),
    pytest.param(b'{"cos:x": 1}', "invalid", id="T137 a number"),
    pytest.param(b'{"cos:x": true}', "invalid", id="T137 a boolean"),
    pytest.param(b'{"cos:x": null}', "invalid", id="T137 a value of null"),
    pytest.param(b'{"cos:x": {}}', "invalid", id="T137 an object"),
    pytest.param(b'{"cos:x": ["a", 1]}', "invalid", id="T137 a number in a list"),
    pytest.param(b'{"cos:x": [["a"]]}', "invalid", id="T137 a list in a list"),
    pytest.param(b'{"cos:x": "a", "cos:x": "b"}', "invalid", id="T137 a key twice"),
    pytest.param(b'{"cos:x": "a", "cos:\\u0078": "b"}', "invalid", id="T137 a key twice, once escaped"),
    pytest.param(b'{"cos:x": "a"} {}', "invalid", id="T137 two objects"),
    pytest.param(b'{"cos:x": "a"},{}', "invalid", id="T137 two lines that were joined"),
    pytest.param(b'{"cos:x": "a",}', "invalid", id="T137 a comma at the end"),
    pytest.param(b"{'cos:x': 'a'}", "invalid", id="T137 single quotes"),
    pytest.param(b'{"cos:x": "\xe9"}', "invalid", id="T137 bytes that are no UTF-8"),
    pytest.param(b'{"cos:x": "\\ud800"}', "invalid", id="T137 half of a surrogate pair"),
    pytest.param(b"[" * 10_000, "invalid", id="T137 very deep"),
    pytest.param(
        b'{"cos:x": [' + b'"",' * 998 + b'""]}', {"cos:x": ("",) * 999}, id="T137 as many values as may be"
    ),
    pytest.param(b'{"cos:x": [' + b'"",' * 999 + b'""]}', "invalid", id="T137 a value too many"),
]


@pytest.mark.parametrize(("text", "found"), TEXTS)
def test_the_text_of_the_header(text: bytes, found: Any) -> None:
    read = read_attributes(text, KEYS, peer_trusted=True)
    detail = read.detail.removeprefix("attributes_header_") if isinstance(read, Rejection) else None
    assert (detail or read) == found


@pytest.mark.parametrize("text", [b"{}", b"", b'{"cos:x": "a"}'])
def test_t137_nobody_but_a_trusted_proxy_may_send_it(text: bytes) -> None:
    read = read_attributes(text, KEYS, peer_trusted=False)
    assert isinstance(read, Rejection)
    assert read.detail == "attributes_header_untrusted"


# --- a whole request ---------------------------------------------------------------------------------------

WITH_FACTOR = {
    "version": "2.0",
    "statement": [
        {"effect": "allow", "action": "*", "resource": "*", "condition": {"bool_equal": {"qcs:mfa": "true"}}},
        {
            "effect": "deny",
            "action": "*",
            "resource": "*",
            "condition": {"string_equal": {"qcs:vpc": "vpc-bad"}},
        },
    ],
}
POLICIES = {"office": WITH_FACTOR, "instances": WITH_FACTOR}
ATTRIBUTES = changed("attributes", header=NAME.decode(), keys=KEYS)
GOOD = b'{"qcs:mfa": "true", "qcs:vpc": []}'


def judged_by(settings: Settings = ATTRIBUTES) -> Play:
    return Play(settings, policies=FixedPolicies(bundle(POLICIES)))


def reply(*lines: Line, client: Any = (PROXY, 40000), play: Play | None = None, **named: Any) -> Reply:
    return (play or judged_by()).reply_to(lines=sdk(FROM_OFFICE, *lines), client=client, **named)


# lines beside the usual ones, detail
REQUESTS = [
    pytest.param(((NAME, GOOD),), "allowed", id="T137 the proxy proves a second factor"),
    pytest.param(((NAME, b'{"qcs:mfa": "false", "qcs:vpc": []}'),), "no_allow", id="T137 it denies it"),
    pytest.param(((NAME, b'{"qcs:mfa": "true"}'),), "undetermined_deny", id="T137 a listed key is not given"),
    pytest.param(((NAME, b'{"qcs:mfa": "true", "qcs:vpc": "vpc-bad"}'),), "explicit_deny", id="T137 a value"),
    pytest.param((), "undetermined_deny", id="T137 no header"),
    pytest.param(((NAME, b"x"),), "attributes_header_invalid", id="T137 no JSON"),
    pytest.param(((NAME, GOOD), (NAME, GOOD)), "header_duplicate", id="T137 two lines"),
    pytest.param(((b"x_corp_attributes", GOOD),), "header_alias", id="T137 a twin with an underscore"),
    pytest.param(((b"x-corp_attributes", GOOD),), "header_alias", id="T137 a mixed twin"),
    pytest.param(
        ((NAME, GOOD), (b"connection", NAME)), "header_hop_by_hop", id="T137 the name in Connection"
    ),
    pytest.param(((NAME, GOOD + b"\t"),), "header_malformed", id="T137 a tab behind it"),
]


@pytest.mark.parametrize(("lines", "detail"), REQUESTS)
def test_a_request_with_attributes(lines: tuple[Line, ...], detail: str) -> None:
    got = reply(*lines)
    assert got.detail == detail
    assert got.passed is (detail == "allowed")


def test_t137_a_client_that_sends_it_is_rejected_with_a_query_too() -> None:
    for query in (b"", b"Action=QueryArea", b"A=1"):
        got = reply((NAME, GOOD), client=(OFFICE, 40000), query=query)
        assert got.detail == "attributes_header_untrusted"


def test_t137_the_header_never_goes_on() -> None:
    got = reply((NAME, GOOD))
    assert NAME not in dict(got.reached[0][0]["headers"])
    plain = Play(SETTINGS).reply_to(lines=sdk(FROM_OFFICE, (b"x-camguard-attributes", GOOD)))
    assert b"x-camguard-attributes" not in dict(plain.reached[0][0]["headers"]), "not even where none is set"


def test_t137_t101_what_was_cached_belongs_to_the_same_attributes() -> None:
    """One connection after the other sends the same headers but for the attributes."""
    play = judged_by()
    details = [
        reply((NAME, b'{"qcs:mfa": "%s", "qcs:vpc": []}' % value), play=play).detail
        for value in (b"true", b"false", b"true", b"false")
    ]
    assert details == ["allowed", "no_allow", "allowed", "no_allow"]


def test_t137_a_key_that_no_policy_names_changes_nothing() -> None:
    asked = Play(ATTRIBUTES)
    found = reply((NAME, b'{"cos:x": "a"}'), play=asked)
    assert found.detail == "allowed"
    assert found.records[0].decision.statements == ("office#0",)


def test_t137_a_candidate_is_given_keys_that_only_its_policies_name() -> None:
    play = Play(ATTRIBUTES, candidate=FixedPolicies(bundle(POLICIES)))
    (record,) = asyncio.run(play.serve(Request(lines=sdk(FROM_OFFICE, (NAME, GOOD))))).records
    assert record.principal == ALICE
    assert record.candidate is not None
    assert record.candidate.reason == "allowed"
