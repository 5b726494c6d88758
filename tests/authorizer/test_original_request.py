"""What the guard is given for a subrequest, byte for byte, and what is refused before that (T140)."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.authorizer.dialects import readers
from camguard.request.body import show_nothing
from tests.authorizer.asking import FACTS, PATHS, RECEIVE, asked_by, read, read_scope, read_url, subrequest
from tests.stage import ELSEWHERE, HOST, OFFICE, PROXY, Line

# What a proxy sends, and the lines that the guard is given. Each fact has one line, at the end of the others;
# a header of the dialect is no line of the request.
OTHER = ((b"accept", b"*/*"), (b"x-request-id", b"7"))
FALSE = ((b"x-first", b"false"), (b"x-second", b"false"))
MARK = (b"x-envoy-auth-partial-body", b"false")
CHUNKED = (b"transfer-encoding", b"chunked")
TWO = (b"content-length", b"2")
NO_LENGTH = (b"content-length", b"0")
FORGED = (b"x-forwarded-for", b"192.0.2.1")
ENDS = ((b"host", HOST), (b"x-forwarded-for", OFFICE.encode()))
GIVEN: list[Any] = [
    pytest.param("nginx", {"lines": OTHER}, (), (*OTHER, *ENDS, NO_LENGTH), id="nginx asks about a POST"),
    pytest.param("nginx", {"lines": OTHER, "method": "GET"}, (), (*OTHER, *ENDS),
                 id="nginx asks about a GET"),
    pytest.param("nginx", {"lines": (FORGED, *OTHER)}, (), (*OTHER, *ENDS, NO_LENGTH),
                 id="T140 an address that the dialect does not name is replaced"),
    pytest.param("nginx", {"lines": (*OTHER, MARK)}, (), (*OTHER, MARK, *ENDS, NO_LENGTH),
                 id="T140 the mark of another dialect stays a header of the client"),
    pytest.param("nginx", {"body": b"{}", "lines": OTHER}, ("nginx",), (*OTHER, TWO, *ENDS),
                 id="T141 a POST of nginx shows the body"),
    pytest.param("nginx", {"lines": OTHER}, ("nginx",), (*OTHER, *ENDS, NO_LENGTH),
                 id="T141 a GET of nginx shows no body"),
    pytest.param("haproxy", {"body": b"{}", "lines": OTHER}, ("haproxy",), (*OTHER, TWO, *ENDS),
                 id="T141 a body that is shown has its length"),
    pytest.param("haproxy", {"lines": (*OTHER, CHUNKED)}, ("haproxy",), (*OTHER, CHUNKED, *ENDS),
                 id="T141 a body that is shown has its coding"),
    pytest.param("haproxy", {"lines": OTHER}, ("haproxy",), (*OTHER, *ENDS),
                 id="T141 a GET of HAProxy shows a body of no bytes"),
    pytest.param("haproxy", {"body": b"{}", "lines": (CHUNKED, *OTHER)}, ("nginx",),
                 (*OTHER, *ENDS, NO_LENGTH), id="T141 a body that the settings do not list has no framing"),
    pytest.param("envoy", {"body": b"{}", "lines": (MARK, *OTHER)}, ("envoy",), (*OTHER, TWO, *ENDS),
                 id="T141 Envoy shows a whole body"),
    pytest.param("envoy", {"body": b"{}", "lines": (*OTHER, MARK)}, (), (*OTHER, *ENDS, NO_LENGTH),
                 id="T141 a whole body of Envoy that the settings do not list"),
    pytest.param("envoy", {"body": b"{}", "lines": (MARK, *OTHER, MARK)}, ("envoy",),
                 (*OTHER, *ENDS, NO_LENGTH), id="T141 Envoy says twice that the body is whole"),
    pytest.param("envoy", {"body": b"{}", "lines": (*OTHER, (MARK[0], b"true"))}, ("envoy",),
                 (*OTHER, *ENDS, NO_LENGTH), id="T141 Envoy says that the body is cut"),
    pytest.param("envoy", {"body": b"{}", "lines": FALSE}, ("envoy",), (*FALSE, *ENDS, NO_LENGTH),
                 id="T141 other headers than the mark say nothing of the body"),
    pytest.param("envoy", {"lines": (*OTHER, FORGED), "method": "GET"}, (), (*OTHER, *ENDS),
                 id="T140 an address in another header of Envoy"),
    pytest.param("forward", {"lines": OTHER, "address": f"{ELSEWHERE}, {OFFICE}"}, (),
                 (*OTHER, ENDS[0], (b"x-forwarded-for", f"{ELSEWHERE}, {OFFICE}".encode()), NO_LENGTH),
                 id="Caddy names a list of addresses"),
    pytest.param("forward", {"lines": (FORGED, *OTHER, FORGED)}, (),
                 (*OTHER, ENDS[0], (FORGED[0], b"192.0.2.1,192.0.2.1," + OFFICE.encode()), NO_LENGTH),
                 id="Caddy names addresses in three lines of one list"),
    pytest.param("forward", {"lines": OTHER, "body": b"{}"}, ("forward",), (*OTHER, TWO, *ENDS),
                 id="T141 Traefik shows the body"),
    pytest.param("apisix", {"lines": (FORGED, *OTHER), "body": b"{}"}, ("apisix",),
                 (*OTHER, TWO, ENDS[0], (FORGED[0], b"192.0.2.1," + OFFICE.encode())),
                 id="APISIX names addresses in two lines, and shows the body"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "sent", "bodies", "lines"), GIVEN)
def test_the_guard_is_given_the_request_and_no_header_of_the_dialect(
    dialect: str, sent: dict[str, Any], bodies: tuple[str, ...], lines: tuple[Line, ...]
) -> None:
    """The address of the proxy, the version and the extensions of the server are those of the subrequest."""
    extensions: dict[str, Any] = {"http.response.trailers": {}}
    scope = {**subrequest(dialect, **sent), "http_version": "2", "extensions": extensions}
    found = read_scope(scope, bodies=bodies)
    assert found.scope == {
        "type": "http",
        "method": sent.get("method", "POST"),
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [*lines],
        "client": (PROXY, 40000),
        "http_version": "2",
        "extensions": extensions,
    }
    shows = NO_LENGTH not in lines and found.scope["method"] != "GET"
    assert found.receive is (RECEIVE if shows else show_nothing)


def test_ingress_nginx_shows_the_body_of_a_post_alone() -> None:
    """T141."""
    url = b"https://partners.tencentcloudapi.com/?a=1"
    shown, hidden = read_url(url, *OTHER, body=b"{}"), read_url(url, *OTHER)
    assert shown.scope["headers"] == [*OTHER, TWO, *ENDS]
    assert hidden.scope["headers"] == [*OTHER, *ENDS, NO_LENGTH]
    assert (shown.receive, hidden.receive) == (RECEIVE, show_nothing)
    assert shown.scope["query_string"] == hidden.scope["query_string"] == b"a=1"


METHODS = [
    pytest.param("PUT", "PUT", id="T140 another method is left to the guard"),
    pytest.param("get", "get", id="T140 another spelling stays another method"),
    pytest.param("\xff", "\xc3\xbf", id="T140 bytes that are no text become some method"),
    pytest.param("", "front_header_invalid", id="T140 no method is refused"),
]


@pytest.mark.parametrize("dialect", FACTS)
@pytest.mark.parametrize(("method", "expected"), METHODS)
def test_methods(dialect: str, method: str, expected: str) -> None:
    found = read(dialect, method=method)
    assert (found if isinstance(found, str) else found.scope["method"]) == expected


# What `original` itself refuses: the guard would refuse most of it, too, under another name.
REFUSED: list[Any] = [
    *(pytest.param(each, {"host": b""}, "front_header_invalid", id=f"T140 an empty host at {each}")
      for each in PATHS),
    *(pytest.param(each, {"address": ""}, "client_ip_invalid", id=f"T140 an empty address at {each}")
      for each in PATHS),
    pytest.param("nginx", {"address": f"{OFFICE},"}, "client_ip_invalid", id="T140 a list at nginx"),
    pytest.param("haproxy", {"address": f"{OFFICE},{PROXY}"}, "client_ip_invalid",
                 id="T140 a list at HAProxy"),
    pytest.param("envoy", {"address": ","}, "client_ip_invalid", id="T140 a list at Envoy"),
    pytest.param("envoy", {"lines": ((b"x-camguard-client-ip", b""),)}, "client_ip_invalid",
                 id="T140 two lines with the address at Envoy, and one is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "sent", "detail"), REFUSED)
def test_a_fact_that_says_nothing_or_two_things_is_refused(
    dialect: str, sent: dict[str, Any], detail: str
) -> None:
    assert read(dialect, **sent) == detail


@pytest.mark.parametrize("dialect", PATHS)
def test_a_subrequest_without_headers_is_refused(dialect: str) -> None:
    """T140."""
    assert read_scope({**subrequest(dialect), "headers": []}) == "front_header_invalid"


def test_what_is_remembered_of_header_names_is_bounded() -> None:
    """T101: a thousand sequences of names for each dialect, and none of more than 4 KiB."""
    for reader in readers(asked_by().authorizer).values():
        places = reader.places
        for at in range(1024):
            places[(b"%d" % at,)]
        assert len(places) == 1024
        places[(b"one more",)]
        assert len(places) == 1
        places[(b"x" * 4000, b"y" * 96)]
        assert len(places) == 2
        places[(b"x" * 4000, b"y" * 97)]
        assert len(places) == 2


# The bytes that no URI may hold as they are; each stands behind `?` here, or in the host.
UNWRITABLE = [bytes((each,)) for each in (*range(33), 127)]


@pytest.mark.parametrize("dialect", FACTS)
def test_a_slash_is_followed_by_a_query_alone(dialect: str) -> None:
    """T140: whatever byte stands behind the slash, it is the question mark or the request is refused."""
    others = [bytes((each,)) for each in range(256) if each != ord("?")]
    for each in others:
        assert read(dialect, uri=b"/" + each) == "path_not_allowed", each


@pytest.mark.parametrize("dialect", FACTS)
def test_a_query_holds_every_byte_but_controls_blanks_and_a_fragment(dialect: str) -> None:
    """T140."""
    refused = {*UNWRITABLE, b"#"}
    for each in (bytes((number,)) for number in range(256)):
        found = read(dialect, method="GET", uri=b"/?a=" + each)
        if each in refused:
            assert found == "path_not_allowed", each
        else:
            assert found.scope["query_string"] == b"a=" + each


def test_a_host_in_a_url_holds_no_byte_that_ends_it() -> None:
    """T140: the characters between scheme and path are the host, all of them."""
    for each in (*UNWRITABLE, b"?", b"#", b"/"):
        found = read_url(b"https://partners" + each + b".example/")
        assert found == ("path_not_allowed" if each == b"/" else "front_header_invalid"), each
    for each in (b"x", b"f", b"2", b"0", b"7", b"-", b":", b"\xff"):
        found = read_url(b"https://partners" + each + b".example/")
        assert (b"host", b"partners" + each + b".example") in found.scope["headers"]
