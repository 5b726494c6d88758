"""Where a request comes from: T01 to T22, and THREATS 3.1 word for word."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.ipset import AddressMap, IpSet, format_address, parse_address
from camguard.request.client_address import (
    AddressRules,
    ClientAddress,
    element_place,
    forwarded_client,
    forwarded_place,
)
from camguard.request.head import REWRITTEN, peer_address
from camguard.request.rejection import Rejection, rejection
from tests.stage import ELSEWHERE, OFFICE, PROXY, QUIET, SETTINGS, Play, Reply, changed, reply_to, sdk

TRUSTED = SETTINGS.client_ip.trusted_proxies
RULES = AddressRules(SETTINGS.client_ip)
FORWARDED = changed("client_ip", header="forwarded")


def through(
    *values: str | bytes, client: Any = (PROXY, 40000), name: bytes = b"x-forwarded-for", **more: Any
) -> Reply:
    lines = [(name, value.encode("latin-1") if isinstance(value, str) else value) for value in values]
    return reply_to(lines=sdk(*lines), client=client, **more)


# client of the socket, lines of x-forwarded-for, detail
ADDRESSES = [
    pytest.param((OFFICE, 1), (), "allowed", id="a direct client is its own address"),
    pytest.param((ELSEWHERE, 1), (OFFICE,), "no_allow", id="T01 a direct client forwards for the office"),
    pytest.param((PROXY, 1), (f"{OFFICE}, {ELSEWHERE}",), "no_allow", id="T02 the office on the left"),
    pytest.param((PROXY, 1), (OFFICE, ELSEWHERE), "no_allow", id="T03 the office in a first line"),
    pytest.param((PROXY, 1), (ELSEWHERE, OFFICE), "allowed", id="T03 the last line was the proxy's"),
    pytest.param((PROXY, 1), ("x", "", f"{OFFICE}, 10.0.0.2"), "allowed", id="T03 lines are one list"),
    pytest.param(("127.0.0.1", 1), (OFFICE,), "no_allow", id="T04 loopback is no proxy unless listed"),
    pytest.param(
        ("192.168.0.1", 1), (OFFICE,), "no_allow", id="T04 a private peer is no proxy unless listed"
    ),
    pytest.param(("unknown", 0), (), "client_ip_invalid", id="T05 a server wrote text into the peer"),
    pytest.param(("010.1.1.1", 0), (), "client_ip_invalid", id="T05 a server wrote octal into the peer"),
    pytest.param((OFFICE, 0), (), "client_ip_invalid", id="T05 port 0 betrays a rewritten peer"),
    pytest.param(
        (PROXY, 42), (f"{PROXY}:42",), "client_ip_invalid", id="T05 so does the port that a header names"
    ),
    pytest.param(
        (PROXY, 42), (f"x, {PROXY}:+4_2",), "client_ip_invalid", id="T05 as generously as uvicorn reads"
    ),
    pytest.param(("2001:db8::1", 42), ("[2001:db8::1]:42",), "client_ip_invalid", id="T05 IPv6 with a port"),
    pytest.param((PROXY, 42), (f"{OFFICE}:42", f"{PROXY}:43"), "allowed", id="another address, another port"),
    pytest.param(("testclient", 50000), (), "client_ip_invalid", id="T05 a peer that is a name"),
    pytest.param(None, (), "client_ip_invalid", id="THREATS 3.1.1 no peer at all"),
    pytest.param(("", 1), (), "client_ip_invalid", id="THREATS 3.1.1 an empty peer"),
    pytest.param(("fe80::1%eth0", 1), (), "no_allow", id="THREATS 3.1.1 the kernel's zone is dropped"),
    pytest.param((f"::ffff:{OFFICE}", 1), (), "allowed", id="THREATS 3.1.1 a mapped peer is IPv4"),
    pytest.param(
        (f"::ffff:{PROXY}", 1), (OFFICE,), "allowed", id="THREATS 3.1.1 a mapped proxy is the proxy"
    ),
    pytest.param((PROXY, 1), ("::ffff:203.0.113.6",), "explicit_deny", id="T07 a mapped client is IPv4"),
    pytest.param((PROXY, 1), ("::ffff:cb00:7106",), "explicit_deny", id="T07 mapped, in hexadecimal"),
    pytest.param((PROXY, 1), ("0203.0.113.7",), "client_ip_invalid", id="T08 a leading zero"),
    pytest.param((PROXY, 1), ("0xcb.0.113.7",), "client_ip_invalid", id="T08 hexadecimal"),
    pytest.param((PROXY, 1), ("3405803783",), "client_ip_invalid", id="T08 an integer"),
    pytest.param((PROXY, 1), ("203.0.28935",), "client_ip_invalid", id="T08 a short form"),
    pytest.param((PROXY, 1), (f"{OFFICE}, unknown",), "client_ip_invalid", id="T09 right-most unreadable"),
    pytest.param(
        (PROXY, 1), (f"{OFFICE}, bad, 10.0.0.9",), "client_ip_invalid", id="T09 unreadable behind a proxy"
    ),
    pytest.param((PROXY, 1), (f"{OFFICE},",), "client_ip_invalid", id="T09 right-most empty"),
    pytest.param((PROXY, 1), (f"\u00b2, ;;, , {OFFICE}",), "allowed", id="T10 garbage left of the client"),
    pytest.param((PROXY, 1), ("fe80::1%eth0",), "client_ip_invalid", id="T11 a zone id"),
    pytest.param((PROXY, 1), (f"{OFFICE}:99999",), "client_ip_invalid", id="T11 a port that is none"),
    pytest.param((PROXY, 1), (f"{OFFICE}:443",), "allowed", id="T11 a port"),
    pytest.param((PROXY, 1), (f"[{OFFICE}]",), "client_ip_invalid", id="T11 IPv4 in brackets"),
    pytest.param((PROXY, 1), ("[2001:db8::1]:443",), "allowed", id="T11 IPv6 in brackets, with a port"),
    pytest.param((PROXY, 1), ("[2001:db8::1]",), "allowed", id="T11 IPv6 in brackets"),
    pytest.param((PROXY, 1), ("2001:db8::1",), "allowed", id="T11 IPv6"),
    pytest.param((PROXY, 1), ("[2001:db8::1]x",), "client_ip_invalid", id="T11 something behind the bracket"),
    pytest.param((PROXY, 1), ("203.0.113.7/32",), "client_ip_invalid", id="T11 a range"),
    pytest.param((PROXY, 1), ("203.0.113.\u00b2",), "client_ip_invalid", id="T12 a superscript digit"),
    pytest.param((PROXY, 1), (b"\xef\xbb\xbf203.0.113.7",), "client_ip_invalid", id="T12 a byte order mark"),
    pytest.param((PROXY, 1), (b"203.0.113.7\xc2\xa0",), "client_ip_invalid", id="T12 a no-break space"),
    pytest.param((PROXY, 1), ("203.0.113.7\x00",), "header_malformed", id="T12 a NUL"),
    pytest.param((PROXY, 1), ("",), "client_ip_invalid", id="THREATS 3.1.4 present and empty"),
    pytest.param((PROXY, 1), (), "no_allow", id="THREATS 3.1.4 absent: the proxy itself"),
    pytest.param(
        (PROXY, 1), ("10.0.0.2, 10.0.0.3",), "no_allow", id="THREATS 3.1.4 all trusted: the left-most"
    ),
    pytest.param((PROXY, 1), (f"\t{OFFICE} ",), "allowed", id="THREATS 3.1.5 blanks around an element"),
    pytest.param((PROXY, 1), (", ".join([OFFICE] * 32),), "allowed", id="THREATS 3.1.4 thirty-two elements"),
    pytest.param(
        (PROXY, 1),
        (", ".join([OFFICE] * 33),),
        "forwarded_too_long",
        id="THREATS 3.1.4 thirty-three elements",
    ),
    pytest.param(
        (PROXY, 1), (" " * 4090 + OFFICE,), "forwarded_too_long", id="THREATS 3.1.4 more than 4096 bytes"
    ),
]


@pytest.mark.parametrize(("client", "values", "detail"), ADDRESSES)
def test_x_forwarded_for(client: Any, values: tuple[str, ...], detail: str) -> None:
    reply = through(*values, client=client)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


# lines of `forwarded`, detail
ELEMENTS = [
    pytest.param((f"for={OFFICE}",), "allowed", id="a token"),
    pytest.param((f'For="{OFFICE}:443";proto=https',), "allowed", id="a quoted port, another parameter"),
    pytest.param(('for="[2001:db8::1]"',), "allowed", id="IPv6 quoted and in brackets"),
    pytest.param(('for="[2001:db8::1]:443"',), "allowed", id="IPv6 with a port"),
    pytest.param((f"for={OFFICE}, for=10.0.0.2",), "allowed", id="proxies are skipped"),
    pytest.param((f"for={OFFICE}", f"for={ELSEWHERE}"), "no_allow", id="T03 lines are one list"),
    pytest.param((f"for={ELSEWHERE},for={OFFICE}",), "allowed", id="no blank behind a comma"),
    pytest.param(
        (f'for={ELSEWHERE};x="a, b", for={OFFICE}',), "allowed", id="T17 a quoted comma on the left"
    ),
    pytest.param(
        (f'for="{ELSEWHERE}, for={OFFICE}"',), "client_ip_invalid", id="T17 a comma inside of a quote"
    ),
    pytest.param((f'for="a, for={OFFICE}',), "client_ip_invalid", id="T17 a quote that the client left open"),
    pytest.param(
        (f'x="\\, for="{OFFICE}"',), "client_ip_invalid", id="T17 a quote opened behind a backslash"
    ),
    pytest.param((f"for={ELSEWHERE};for={OFFICE}",), "client_ip_invalid", id="T17 two for in one element"),
    pytest.param(("for=2001:db8::1",), "client_ip_invalid", id="T17 IPv6 without quotes"),
    pytest.param(('for="2001:db8::1"',), "client_ip_invalid", id="T17 IPv6 without brackets"),
    pytest.param(("for=[2001:db8::1]",), "client_ip_invalid", id="T17 brackets without quotes"),
    pytest.param((f"for={OFFICE}:443",), "client_ip_invalid", id="T17 a port without quotes"),
    pytest.param(("for=unknown",), "client_ip_invalid", id="unknown"),
    pytest.param(("for=_hidden",), "client_ip_invalid", id="an obfuscated node"),
    pytest.param(("proto=https",), "client_ip_invalid", id="no for at all"),
    pytest.param((f"for={OFFICE};",), "allowed", id="T126 an empty pair at the end"),
    pytest.param(
        (f"; ;for={OFFICE} ;\tby=x",), "allowed", id="T126 empty pairs and blanks around semicolons"
    ),
    pytest.param(
        (f"for={OFFICE}, ;",), "client_ip_invalid", id="T126 an element of an empty pair is no proxy"
    ),
    pytest.param((f"for={OFFICE},",), "client_ip_invalid", id="T126 an empty element is not skipped"),
    pytest.param((f"for={OFFICE}, ,for=10.0.0.2",), "client_ip_invalid", id="T126 an empty element between"),
    pytest.param((f"for={OFFICE}, proto=http;",), "client_ip_invalid", id="T126 an element without for"),
    pytest.param(
        (f"for={ELSEWHERE};;for={OFFICE}",), "client_ip_invalid", id="T126 two for around an empty pair"
    ),
    pytest.param(("",), "client_ip_invalid", id="present and empty"),
]


@pytest.mark.parametrize(("values", "detail"), ELEMENTS)
def test_forwarded(values: tuple[str, ...], detail: str) -> None:
    reply = through(*values, name=b"forwarded", settings=FORWARDED)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


@pytest.mark.parametrize(
    "name",
    [b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-client-ip", b"forwarded", b"x-forwarded-host"],
)
def test_t06_other_headers_are_never_read_and_never_passed_on(name: bytes) -> None:
    lines = sdk((name, OFFICE.encode()), (b"x-forwarded-for", ELSEWHERE.encode()))
    assert reply_to(lines=lines).detail == "no_allow"
    lines = sdk((name, ELSEWHERE.encode()), (b"x-forwarded-for", OFFICE.encode()))
    reply = reply_to(lines=lines)
    assert reply.detail == "allowed"
    names = {line[0] for line in reply.reached[0][0]["headers"]}
    assert names & {name, b"x-forwarded-for"} == set()


@pytest.mark.parametrize(
    "text", ["1" * 100_000, "0." * 50_000, "9" * 5000 + ".1.1.1", ":" * 100_000, "[" * 100_000, "1:" * 50_000]
)
def test_t13_long_text_is_refused_by_its_length(text: str) -> None:
    began = time.process_time()
    assert element_place(text) is None
    assert forwarded_place("for=" + text) is None
    assert isinstance(forwarded_client((text.encode(),), TRUSTED, "forwarded"), Rejection)
    assert time.process_time() - began < 0.5


def test_t19_an_address_belongs_to_one_request() -> None:
    play = Play()
    for value, detail in ((OFFICE, "allowed"), (ELSEWHERE, "no_allow"), (OFFICE, "allowed")):
        assert play.reply_to(lines=sdk((b"x-forwarded-for", value.encode()))).detail == detail


@pytest.mark.parametrize(
    "value", [b"X-Forwarded-For", b"close, x-forwarded-for", b"keep-alive,\tX-FORWARDED-FOR "]
)
def test_t20_hop_by_hop_cannot_take_the_evidence_away(value: bytes) -> None:
    reply = reply_to(lines=sdk((b"x-forwarded-for", ELSEWHERE.encode()), connection=value))
    assert reply.detail == "header_hop_by_hop"
    assert not reply.passed


def test_the_record_holds_how_the_address_was_found() -> None:
    assert [
        (record.client_ip, record.peer, record.source_ip)
        for record in (
            through(client=(OFFICE, 1)).records[0],
            through(OFFICE).records[0],
            through("bad").records[0],
            through(client=("bad", 1)).records[0],
        )
    ] == [
        ("peer", OFFICE, parse_address(OFFICE)),
        ("forwarded", PROXY, parse_address(OFFICE)),
        ("invalid", PROXY, None),
        ("invalid", None, None),
    ]


def test_a_unix_socket_is_a_proxy_only_by_a_setting() -> None:
    trusting = changed("client_ip", trust_unix_socket=True)
    assert through(OFFICE, client=None, settings=trusting).detail == "allowed"
    assert through(client=None, settings=trusting).detail == "client_ip_invalid"
    assert through(OFFICE, client=None).detail == "client_ip_invalid"


def test_a_peer_is_a_pair_of_text_and_port() -> None:
    assert peer_address(["10.0.0.1", 5]) == "10.0.0.1"
    assert isinstance(RULES.find((peer_address((b"10.0.0.1", 5)), ())).rejection, Rejection)
    assert peer_address((b"10.0.0.1", 5)) == REWRITTEN
    assert peer_address(("10.0.0.1", 0)) == REWRITTEN
    assert peer_address(("", 42), [b":42"]) is None
    assert peer_address(("", 42)) is None
    assert peer_address(None, [b":42"]) is None


def test_a_peer_is_refused_by_default_where_it_has_no_address() -> None:
    assert isinstance(RULES.find((None, ())).rejection, Rejection)
    assert isinstance(RULES.find((f"{PROXY}%eth0", ())).rejection, Rejection)
    refused_peer = RULES.find(("bad", ()))
    assert (refused_peer.trusted, refused_peer.place) == (False, None)


# element of X-Forwarded-For, the address that it names; None for anything else
PLACES = [
    pytest.param("1.2.3.4", "1.2.3.4", id="the shortest IPv4"),
    pytest.param("255.255.255.255", "255.255.255.255", id="the longest IPv4"),
    pytest.param("1.2.3.4:5", "1.2.3.4", id="the shortest IPv4 with a port"),
    pytest.param("255.255.255.255:65535", "255.255.255.255", id="the longest IPv4 with a port"),
    pytest.param("1.2.3.4:0", "1.2.3.4", id="port 0"),
    pytest.param("1.2.3.4:00080", "1.2.3.4", id="a port of five digits with zeros"),
    pytest.param("::", "::", id="the shortest IPv6"),
    pytest.param("[::]", "::", id="the shortest IPv6 in brackets"),
    pytest.param("[::]:0", "::", id="the shortest IPv6 with a port"),
    pytest.param("[2001:DB8::aF]:65535", "2001:db8::af", id="capital and small digits"),
    pytest.param(
        "[abcd:ef01:2345:6789:abcd:ef01:2345:6789]:65535",
        "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
        id="IPv6 in full, with a port",
    ),
    pytest.param("[::ffff:203.0.113.7]", "203.0.113.7", id="a mapped address in brackets"),
    pytest.param("1.2.3.4:65536", None, id="a port above the largest"),
    pytest.param("[::1]:65536", None, id="a port above the largest, behind IPv6"),
    pytest.param("1.2.3.4:123456", None, id="a port of six digits"),
    pytest.param("[::1]:123456", None, id="a port of six digits, behind IPv6"),
    pytest.param("1.2.3.4:000080", None, id="a small port of six digits"),
    pytest.param("[::1]:000080", None, id="a small port of six digits, behind IPv6"),
    pytest.param("1.2.3.4:", None, id="a colon without a port"),
    pytest.param("[::1]:", None, id="a colon without a port, behind IPv6"),
    pytest.param("1.2.3.4:-1", None, id="a negative port"),
    pytest.param("1.2.3.4:\u0663", None, id="a digit of another script as a port"),
    pytest.param("[::1]80", None, id="a port without a colon"),
    pytest.param("[1.2.3.4]:80", None, id="IPv4 in brackets"),
    pytest.param("[12]", None, id="digits in brackets"),
    pytest.param("[::1", None, id="a bracket that does not end"),
    pytest.param("::1]", None, id="a bracket that does not begin"),
    pytest.param("[]", None, id="brackets around nothing"),
    pytest.param("[::g]", None, id="a letter that is no digit"),
    pytest.param("[[::1]]", None, id="two brackets"),
    pytest.param("", None, id="nothing"),
    pytest.param(":80", None, id="a port alone"),
]


@pytest.mark.parametrize(("element", "address"), PLACES)
def test_an_element_names_an_address(element: str, address: str | None) -> None:
    """THREATS 3.1.5."""
    assert element_place(element) == (address and parse_address(address))
    quoted = f'for="{element}"'
    bare = ":" in element and not element.startswith("[") and element.count(":") > 1
    assert forwarded_place(quoted) == (None if bare else element_place(element))


TOKEN = "!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits


def cut_at_semicolons(element: str) -> list[str] | None:
    """Return what stands between semicolons outside of quotes; None where a quote does not end."""
    pieces, quoted, skip = [""], False, False
    for sign in element:
        if sign == ";" and not quoted:
            pieces.append("")
            continue
        pieces[-1] += sign
        escaped, skip = skip, quoted and sign == "\\" and not skip
        if sign == '"' and not escaped:
            quoted = not quoted
    return None if quoted else [piece.strip(" \t") for piece in pieces]


def is_quoted(value: str) -> bool:
    """Tell whether a value is one quoted text (RFC 9110 section 5.6.4)."""
    inner = value[1:-1].replace("\\\\", "").replace('\\"', "")
    return len(value) > 1 and value[0] + value[-1] == '""' and '"' not in inner and not inner.endswith("\\")


def read_by_signs(element: str) -> str | None:
    """Return the value of the one `for` (RFC 7239 section 4), None for anything else.

    A second reader, which shares neither code nor method with camguard.
    """
    named = []
    for piece in cut_at_semicolons(element) or ["no pair"]:
        if not piece:
            continue
        name, _, value = piece.partition("=")
        if not name or not value or name.strip(TOKEN) or (value.strip(TOKEN) and not is_quoted(value)):
            return None
        if name.lower() == "for":
            named.append(value)
    return named[0] if len(named) == 1 else None


PIECES = st.sampled_from(
    [
        "for=1.2.3.4",
        'for="1.2.3.4:80"',
        "FOR=5.6.7.8",
        "by=x",
        'x=";"',
        'x="\\""',
        "",
        "x",
        "=",
        "for",
        "for=",
    ]
)
BETWEEN = st.sampled_from([";", " ;", "; ", "\t;\t", ";;", "; ;", " ", ""])


@QUIET
@given(st.lists(st.tuples(PIECES, BETWEEN), max_size=5))
def test_t126_another_reader_of_forwarded_finds_the_same_client(pieces: list[tuple[str, str]]) -> None:
    element = "".join(piece + between for piece, between in pieces).strip(" \t")
    found = read_by_signs(element)
    assert forwarded_place(element) == (None if found is None else element_place(found.strip('"')))


# element of Forwarded, the address that it names; None for anything else
FORWARDED_ELEMENTS = [
    pytest.param("for=1.2.3.4", "1.2.3.4", id="a token"),
    pytest.param("FOR=1.2.3.4", "1.2.3.4", id="capitals"),
    pytest.param("by=5.6.7.8;for=1.2.3.4;host=x", "1.2.3.4", id="other parameters around it"),
    pytest.param('for=1.2.3.4;x="a;b=\\"c"', "1.2.3.4", id="a quoted semicolon and an escaped quote"),
    pytest.param("for=1.2.3.4;!#$%&'*+-.^_`|~aZ9=!#$%&'*+-.^_`|~aZ9", "1.2.3.4", id="every sign of a token"),
    pytest.param("for=", None, id="no value"),
    pytest.param("=1.2.3.4", None, id="no name"),
    pytest.param("for", None, id="a name alone"),
    pytest.param("for =1.2.3.4", None, id="a blank before the equals sign"),
    pytest.param("for=1.2.3.4;", "1.2.3.4", id="T126 a semicolon at the end"),
    pytest.param(";for=1.2.3.4", "1.2.3.4", id="T126 a semicolon at the beginning"),
    pytest.param("; \t;for=1.2.3.4;;; by=x ;", "1.2.3.4", id="T126 many empty pairs"),
    pytest.param("for=1.2.3.4 \t;\t by=x", "1.2.3.4", id="T126 blanks and tabs around a semicolon"),
    pytest.param('for="1.2.3.4" ; by=x', "1.2.3.4", id="T126 a blank behind a quote"),
    pytest.param("for= 1.2.3.4", None, id="T126 a blank behind the equals sign"),
    pytest.param("for=1.2.3.4;x =y", None, id="T126 a blank before another equals sign"),
    pytest.param("for=1.2.3.4;\u00a0by=x", None, id="T126 a no-break space"),
    pytest.param("for=1.2.3.4\n;by=x", None, id="T126 a line break"),
    pytest.param("for=1.2.3.4\n", None, id="T126 a line break at the end"),
    pytest.param(";", None, id="T126 an empty pair alone"),
    pytest.param("", None, id="T126 nothing"),
    pytest.param('for=1.2.3.4;x=";";;for=5.6.7.8', None, id="T126 twice, around a quoted semicolon"),
    pytest.param("for=1.2.3.4 ", None, id="a blank behind it"),
    pytest.param("for=1.2.3.4 by=x", None, id="a blank between parameters"),
    pytest.param("for=1.2.3.4;x", None, id="another parameter without a value"),
    pytest.param("for=1.2.3.4;for=1.2.3.4", None, id="twice the same"),
    pytest.param("for=1.2.3.4;For=5.6.7.8", None, id="twice, in another letter case"),
    pytest.param("for=1.2.3.4;x=a/b", None, id="a sign that no token has"),
    pytest.param("f\u00f6r=1.2.3.4", None, id="a letter that no token has"),
    pytest.param('for="1.2.3.4', None, id="a quote that does not end"),
    pytest.param('for="1.2.3.4"x', None, id="something behind the quote"),
    pytest.param("x=1.2.3.4", None, id="no for"),
    pytest.param("Xfor=1.2.3.4", None, id="another name that ends in it"),
]


@pytest.mark.parametrize(("element", "address"), FORWARDED_ELEMENTS)
def test_an_element_of_forwarded_names_an_address(element: str, address: str | None) -> None:
    """RFC 7239 section 4."""
    assert forwarded_place(element) == (address and parse_address(address))


# lines of X-Forwarded-For, whether the peer 10.0.0.1:42 was rewritten from them
REWRITING = [
    pytest.param(["10.0.0.1:42"], True, id="its address and port"),
    pytest.param(["1.1.1.1", "x, 10.0.0.1:42 , y"], True, id="blanks, in the second line, in the middle"),
    pytest.param(["[10.0.0.1]:42"], True, id="brackets"),
    pytest.param(["10.0.0.1:042"], True, id="a zero before the port"),
    pytest.param(["10.0.0.1, 10.0.0.1:41, 10.0.0.1:42"], True, id="the third element that names it"),
    pytest.param(["110.0.0.1:42, 10.0.0.1:42"], True, id="behind an address that contains it"),
    pytest.param(["10.0.0.1:42,10.0.0.1"], True, id="the first of two"),
    pytest.param(["1.1.1.1", "10.0.0.1:42"], True, id="the second of two lines"),
    pytest.param([",10.0.0.1:42"], True, id="behind an empty element"),
    pytest.param(["10.0.0.1:4", "2"], False, id="its port in two lines"),
    pytest.param(["X10.0.0.1:42"], False, id="a letter before the address"),
    pytest.param(["10.0.0.1"], False, id="its address alone"),
    pytest.param(["10.0.0.1:43"], False, id="another port"),
    pytest.param(["10.0.0.1:x, 1.1.1.1:42"], False, id="no port, and another address with this port"),
    pytest.param(["10.0.0.12:42"], False, id="an address that begins like it"),
    pytest.param(["110.0.0.1:42"], False, id="an address that ends like it"),
    pytest.param(["10.0.0.1:42x"], False, id="no number"),
    pytest.param([",".join(["10.0.0.1:1"] * 999)], False, id="999 times with another port"),
    pytest.param([",".join(["10.0.0.1:1"] * 1000)], True, id="a thousand times: more than any proxy writes"),
]


@pytest.mark.parametrize(("lines", "rewritten"), REWRITING)
def test_t05_a_peer_that_a_header_names_with_its_port_was_rewritten(
    lines: list[str], rewritten: bool
) -> None:
    found = peer_address((PROXY, 42), [line.encode() for line in lines])
    assert found == (REWRITTEN if rewritten else PROXY)


def test_t19_a_long_header_is_not_remembered() -> None:
    rules = AddressRules(SETTINGS.client_ip)
    rules.known[PROXY, (b"x" * 10_000,)]
    assert len(rules.known) == 0
    rules.known[PROXY, (OFFICE.encode(),)]
    assert len(rules.known) == 1


def test_t05_no_other_header_betrays_a_rewritten_peer() -> None:
    lines = sdk(user_agent=f"{PROXY}:42".encode())
    assert reply_to(lines=lines, client=(PROXY, 42)).detail == "no_allow"


def test_the_lines_of_a_header_have_4096_bytes_and_32_elements_at_most() -> None:
    """THREATS 3.1.4."""
    allowed = ClientAddress(PROXY, trusted=True, place=parse_address(OFFICE), method="forwarded")
    too_long = rejection("forwarded_too_long")
    refused = ClientAddress(PROXY, trusted=True, place=None, method="invalid", rejection=too_long)
    for header, element in (("x-forwarded-for", OFFICE), ("forwarded", f"for={OFFICE}")):
        rules = AddressRules(changed("client_ip", header=header).client_ip)
        whole = (b" " * (4096 - len(element)) + element.encode(),)
        assert rules.find((PROXY, whole)) == allowed
        assert rules.find((PROXY, (b" " + whole[0],))) == refused
        most = (element.encode(),) * 32
        assert rules.find((PROXY, most)) == allowed
        more = (*most, element.encode())
        assert rules.find((PROXY, more)) == refused
        assert rules.find((PROXY, (*more, b'"'))) == refused


addresses = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))


@QUIET
@given(left=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=80), client=addresses)
def test_whatever_stands_left_of_the_client_changes_nothing(left: str, client: str) -> None:
    found = forwarded_client((left.encode("latin-1"), client.encode()), IpSet((), ()), "x-forwarded-for")
    assert found == parse_address(client) or left.count(",") >= 31


@QUIET
@given(st.text(max_size=60))
def test_an_element_is_an_address_or_nothing(text: str) -> None:
    place = element_place(text)
    if place is not None:
        bare = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
        bare = bare.partition(":")[0] if bare.count(":") == 1 else bare
        assert parse_address(bare) == place
        assert element_place(format_address(place)) == place
    forwarded_place(text)


def test_t05_a_rewritten_peer_is_found_out_whichever_header_counts() -> None:
    lines = sdk((b"x-forwarded-for", f"{PROXY}:42".encode()))
    assert reply_to(FORWARDED, lines=lines, client=(PROXY, 42)).detail == "client_ip_invalid"
    assert reply_to(FORWARDED, lines=lines, client=(PROXY, 43)).detail == "no_allow"


# the peer, lines of x-forwarded-for; the method, whether the peer is trusted, whether the client is known
METHODS = [
    pytest.param(OFFICE, (), "peer", False, True, id="a direct client"),
    pytest.param(PROXY, (), "peer", True, True, id="a proxy by itself"),
    pytest.param(PROXY, (OFFICE.encode(),), "forwarded", True, True, id="a client behind a proxy"),
    pytest.param(PROXY, (b"x",), "invalid", True, False, id="a proxy that names no address"),
    pytest.param("x", (), "invalid", False, False, id="a peer that is no address"),
    pytest.param(None, (), "invalid", True, False, id="a unix socket by itself"),
    pytest.param(None, (OFFICE.encode(),), "forwarded", True, True, id="a client behind a unix socket"),
]


@pytest.mark.parametrize(("peer", "values", "method", "trusted", "known"), METHODS)
@pytest.mark.parametrize("egress", [{}, {"192.168.0.0/16": OFFICE}], ids=["", "with an egress"])
def test_how_an_address_was_found(
    peer: str | None,
    values: tuple[bytes, ...],
    method: str,
    trusted: bool,
    known: bool,
    egress: dict[str, str],
) -> None:
    rules = AddressRules(changed("client_ip", trust_unix_socket=True, egress=AddressMap.of(egress)).client_ip)
    found = rules.find((peer, values))
    assert (found.method, found.trusted, found.place is not None) == (method, trusted, known)
    assert (found.rejection is None) is known


# --- the address that policies mean (T132) ----------------------------------------------------------------

EGRESS = changed("client_ip", egress=AddressMap.of({"192.168.0.0/16": OFFICE, "192.168.9.0/24": ELSEWHERE}))

# client of the socket, lines of x-forwarded-for, detail, address found, address judged if it is another one
MAPPED = [
    pytest.param("192.168.1.1", (), "allowed", "192.168.1.1", OFFICE, id="T132 a client of a mapped range"),
    pytest.param("192.168.9.1", (), "no_allow", "192.168.9.1", ELSEWHERE, id="T132 the longest range wins"),
    pytest.param(
        PROXY, ("192.168.1.1",), "allowed", "192.168.1.1", OFFICE, id="T132 what a trusted proxy forwards"
    ),
    pytest.param(OFFICE, (), "allowed", OFFICE, None, id="T132 a client of no mapped range"),
    pytest.param("192.167.0.1", (), "no_allow", "192.167.0.1", None, id="T132 one address below the range"),
    pytest.param("192.169.0.0", (), "no_allow", "192.169.0.0", None, id="T132 one address above the range"),
]


@pytest.mark.parametrize(("client", "forwarded", "detail", "found", "judged"), MAPPED)
def test_the_address_that_policies_are_compared_with(
    client: str, forwarded: tuple[str, ...], detail: str, found: str, judged: str | None
) -> None:
    for signed in (False, True):
        extra = ((b"authorization", b"TC3"),) if signed else ()
        lines = sdk(*((b"x-forwarded-for", value.encode()) for value in forwarded), *extra)
        reply = Play(EGRESS).reply_to(lines=lines, client=(client, 1))
        record = reply.records[0]
        assert reply.detail == detail
        assert record.source_ip == parse_address(found)
        assert record.egress_ip == (None if judged is None else parse_address(judged))
        assert (record.client_ip == "mapped") is (judged is not None)


def test_t132_trust_is_decided_by_the_address_that_was_found() -> None:
    """A mapped client does not become a proxy, nor does a proxy cease to be one."""
    toproxy = changed("client_ip", egress=AddressMap.of({"192.168.0.0/16": PROXY, "10.0.0.0/8": ELSEWHERE}))
    lines = sdk((b"x-forwarded-for", OFFICE.encode()))
    stranger = Play(toproxy).reply_to(lines=lines, client=("192.168.1.1", 1))
    assert (stranger.detail, stranger.records[0].egress_ip) == ("no_allow", parse_address(PROXY))
    assert Play(toproxy).reply_to(lines=lines, client=(PROXY, 1)).detail == "allowed"


def test_t132_the_address_is_mapped_once() -> None:
    chain = AddressMap.of({"192.168.0.0/16": "172.16.0.1", "172.16.0.0/12": OFFICE})
    reply = Play(changed("client_ip", egress=chain)).reply_to(lines=sdk(), client=("192.168.1.1", 1))
    assert reply.records[0].egress_ip == parse_address("172.16.0.1")
