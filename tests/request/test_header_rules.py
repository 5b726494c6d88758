"""The class of each header name, and the layout of a sequence of names (T20, T24, T35, T46, T70)."""

from __future__ import annotations

import pytest

from camguard.request.header_rules import SIGNING, HeaderClass, HeaderLayout, HeaderRules
from camguard.request.rejection import Rejection

IDENTITY, FORWARDED, ATTRIBUTES = b"x-camguard-principal", b"x-forwarded-for", b"x-corp-attributes"
RULES = HeaderRules(IDENTITY, FORWARDED, ATTRIBUTES)

# name, its class, or the detail of its rejection
CLASSES = [
    pytest.param(b"x-note", "ORDINARY", id="a header of no interest"),
    pytest.param(b"x_note", "ORDINARY", id="an underscore in a header of no interest"),
    pytest.param(b"x-tc-action", "SINGLE", id="a header that decides"),
    pytest.param(b"x-tc-anything", "SINGLE", id="every other header of the vendor"),
    pytest.param(b"content-md5", "SINGLE", id="every header of the content"),
    pytest.param(b"authorization", "SINGLE", id="the signature"),
    pytest.param(IDENTITY, "IDENTITY", id="the identity header"),
    pytest.param(ATTRIBUTES, "IDENTITY", id="T137 the header of attributes"),
    pytest.param(FORWARDED, "FORWARDED", id="the header that names the client"),
    pytest.param(b"connection", "CONNECTION", id="the header that names other headers"),
    pytest.param(b"te", "HOP", id="a header of one connection"),
    pytest.param(b"upgrade", "UPGRADE", id="a header that changes the protocol"),
    pytest.param(b"x-camguard-service", "SERVICE", id="T123 the header that names a service"),
    pytest.param(b"x-real-ip", "SPOOF", id="T06 another header that names a client"),
    pytest.param(b"x-tc-service", "SPOOF", id="a header of the vendor's name that names a target"),
    pytest.param(b"x-forwarded-host", "SPOOF", id="T46 every other header of a proxy"),
    pytest.param(b"x-camguard-anything", "SPOOF", id="every other header of camguard"),
    pytest.param(b"x_real_ip", "SPOOF", id="T06 such a header with underscores"),
    pytest.param(b"x_tc_action", "header_alias", id="T24 an underscore twin of a header that decides"),
    pytest.param(b"x.tc.action", "header_alias", id="T24 a dotted twin"),
    pytest.param(b"content_length", "header_alias", id="T24 an underscore twin of a header that frames"),
    pytest.param(b"x_camguard_principal", "header_alias", id="T70 an underscore twin of the identity header"),
    pytest.param(b"x_corp_attributes", "header_alias", id="T137 a twin of the header of attributes"),
    pytest.param(b"x_camguard_service", "header_alias", id="T123 a twin of the header that names a service"),
    pytest.param(b"x_forwarded_for", "header_alias", id="a twin of the header that names the client"),
    pytest.param(b"authori_ation", "ORDINARY", id="a sign in place of a letter is no twin"),
    pytest.param(b"X-Note", "header_malformed", id="a name in upper case, which ASGI forbids"),
    pytest.param(b"x note", "header_malformed", id="a name with a blank"),
    pytest.param(b"", "header_malformed", id="an empty name"),
    pytest.param(b"x" * 256, "ORDINARY", id="a name of 256 bytes"),
    pytest.param(b"x" * 257, "header_malformed", id="a name that is too long"),
]


@pytest.mark.parametrize(("name", "expected"), CLASSES)
def test_the_class_of_a_header(name: bytes, expected: str) -> None:
    found = RULES.header_class(name)
    assert (found.detail if isinstance(found, Rejection) else found.name) == expected


def test_a_name_is_a_token_in_small_letters() -> None:
    """RFC 9110 5.6.2 lists the signs of a token, and ASGI has every letter small."""
    accepted = {code for code in range(256) if RULES.header_class(b"y%cz" % code) is HeaderClass.ORDINARY}
    assert bytes(sorted(accepted)) == b"!#$%&'*+-.0123456789^_`abcdefghijklmnopqrstuvwxyz|~"


def test_the_headers_of_identity_and_client_are_those_of_the_settings() -> None:
    rules = HeaderRules(b"x-user", b"x-real-ip", b"")
    assert rules.header_class(b"x-user") is HeaderClass.IDENTITY
    assert rules.header_class(b"x-real-ip") is HeaderClass.FORWARDED
    assert rules.header_class(IDENTITY) is HeaderClass.SPOOF
    assert rules.header_class(FORWARDED) is HeaderClass.SPOOF


# names, the detail of the rejection
REJECTED = [
    pytest.param([b"x-note"], "host_missing", id="no host"),
    pytest.param([b"host", b"host"], "header_duplicate", id="a header that decides, twice"),
    pytest.param([b"host", IDENTITY, IDENTITY], "header_duplicate", id="T70 the identity header, twice"),
    pytest.param(
        [b"host", b"x-camguard-service"], "service_conflict", id="T123 a header that names a service"
    ),
    pytest.param([b"host", b"upgrade"], "upgrade_refused", id="an upgrade"),
    pytest.param([b"host", b"content-length", b"transfer-encoding"], "framing", id="two kinds of framing"),
    pytest.param([b"host", b"x_tc_action"], "header_alias", id="a twin of a header that decides"),
]


@pytest.mark.parametrize(("names", "detail"), REJECTED)
def test_a_sequence_of_names_that_is_rejected(names: list[bytes], detail: str) -> None:
    found = RULES.layout(tuple(names))
    assert isinstance(found, Rejection)
    assert found.detail == detail


def layout(*names: bytes) -> HeaderLayout:
    found = RULES.layout(names)
    assert isinstance(found, HeaderLayout)
    return found


def test_a_layout_takes_values_by_their_places() -> None:
    names = (b"x-tc-action", b"host", FORWARDED, b"x-note", FORWARDED, b"content-length", IDENTITY, b"te")
    found = layout(*names)
    values = (*names, None)  # each value is the name itself, and None stands behind them
    assert found.signing(values) == (None,) * len(SIGNING)
    deciding = (b"host", None, b"x-tc-action", None, None, IDENTITY, None)
    assert found.deciding(values) == (*deciding, FORWARDED, FORWARDED)
    assert found.forwarded_for(values) == (FORWARDED, FORWARDED)
    assert [names[place] for place in found.ended] == [b"te", IDENTITY, FORWARDED, FORWARDED]
    assert found.decisive(values) == (b"host", b"x-tc-action", IDENTITY, *(FORWARDED,) * 4)
    assert found.size == sum(map(len, names))
    assert names[found.length] == b"content-length"
    assert {names[place] for place in found.single} == {b"x-tc-action", b"host", b"content-length", IDENTITY}
    assert (found.chunked, found.signed, found.awaits_continue) == (False, False, False)


def test_a_layout_shows_what_depends_on_names_alone() -> None:
    names = (b"host", b"authorization", b"expect", b"transfer-encoding", b"connection", b"connection")
    found = layout(*names)
    assert (found.chunked, found.signed, found.awaits_continue) == (True, True, True)
    assert found.length == -1
    assert found.connection == (4, 5)
    assert found.ended == (5, 4, 3, 2), "the body is framed anew"
    assert [(names[each.place], each.value) for each in found.required] == [
        (b"expect", b"100-continue"),
        (b"transfer-encoding", b"chunked"),
    ]
    decisive = (b"host", b"connection", b"connection", b"expect", b"transfer-encoding")
    assert found.decisive(names) == decisive, "a request with other values is read anew"


def test_a_header_that_names_the_client_may_stand_once_or_not_at_all() -> None:
    once = layout(b"host", b"x-note", FORWARDED, b"te")
    assert once.forwarded_for((b"h", b"n", b"203.0.113.1", b"t")) == (b"203.0.113.1",)
    assert layout(b"host", b"te").forwarded_for((b"h", b"t")) == ()


def test_a_name_of_a_request_counts_where_it_stands_once() -> None:
    """T112, T114: two lines may say two things, so neither is believed."""
    names = (b"host", b"x-request-id", b"traceparent", b"traceparent")
    found = layout(*names)
    assert found.correlating is not None
    assert found.correlating((*names, None)) == (None, b"x-request-id")
    assert layout(b"host", b"traceparent", b"traceparent").correlating is None
    assert layout(b"host").correlating is None


# value of Connection, the names that it removes or the detail of its rejection
CONNECTIONS = [
    pytest.param(b"close", set(), id="close"),
    pytest.param(b"keep-alive, TE", set(), id="headers of one connection"),
    pytest.param(b"upgrade", set(), id="upgrade, whose header is rejected where it stands"),
    pytest.param(b"close, X-Note,\tx-other ", {b"x-note", b"x-other"}, id="ordinary headers"),
    pytest.param(b"", set(), id="an empty value"),
    pytest.param(b",,close", set(), id="empty elements"),
    pytest.param(b"authorization", "header_hop_by_hop", id="T20 the signature"),
    pytest.param(b"close, X-TC-Action", "header_hop_by_hop", id="T20 a header that decides"),
    pytest.param(IDENTITY, "header_hop_by_hop", id="T20 the identity header"),
    pytest.param(FORWARDED, "header_hop_by_hop", id="T20 the header that names the client"),
    pytest.param(b"x-real-ip", "header_hop_by_hop", id="T20 another header of a proxy"),
    pytest.param(b"x_tc_action", "header_alias", id="a twin of a header that decides"),
    pytest.param(b"a b", "header_malformed", id="a name with a blank"),
    pytest.param(b"a," * 512, {b"a"}, id="a list of 1,024 bytes"),
    pytest.param(b"a," * 512 + b"a", "headers_too_large", id="a longer list"),
]


@pytest.mark.parametrize(("connection", "expected"), CONNECTIONS)
def test_the_headers_that_connection_removes(connection: bytes, expected: set[bytes] | str) -> None:
    found = RULES.hops(connection)
    assert (found.detail if isinstance(found, Rejection) else found) == expected
