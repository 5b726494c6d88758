"""T139 under every server: which of them put trailers among the headers, and that none is believed."""

from __future__ import annotations

import pytest

from tests.servers.serving import (
    Lines,
    Running,
    ask_http1,
    ask_http2,
    chunks,
    content_of,
    spell,
)

OWNER, ALICE = "100000000001", "100000000101"
HEAD: Lines = (
    ("host", "aiart.tencentcloudapi.com"),
    ("content-type", "application/json"),
    ("x-tc-action", "TextToImage"),
    ("x-tc-version", "2022-12-29"),
)
IDENTITY: Lines = (("x-camguard-principal", ALICE), ("x-forwarded-for", "10.1.2.3"))
LENGTH: Lines = (("content-length", "2"),)
CHUNKED: Lines = (("transfer-encoding", "chunked"),)
TRAILERS: Lines = (("x-camguard-principal", OWNER), ("x-forwarded-for", "10.1.2.3"))
ALLOWED = {"principal": f"uin/{ALICE}", "size": 2}
# Whether trailers that arrive with the head, or later, are among the headers.
MERGES = {"uvicorn, httptools": (True, True), "gunicorn, uvicorn's worker": (True, True)}


def test_which_servers_merge_trailers(server: Running) -> None:
    found = []
    if "1.1" in server.versions:
        request = spell(*HEAD, *CHUNKED, path="/seen"), chunks((("x-late", "1"),))
        together = content_of(ask_http1(server.port, b"".join(request)))
        apart = content_of(ask_http1(server.port, *request, pause=0.1))
        assert {"transfer-encoding"} <= {*together["before"]} & {*apart["before"]}  # the guard relies on it
        assert "x-late" not in apart["before"]
        found += ["x-late" in together["before"], "x-late" in apart["after"]]
    if "2" in server.versions:
        over_2 = content_of(ask_http2(server.port, "POST", "/seen", HEAD, b"{}", (("x-late", "1"),)))
        a_get = content_of(ask_http2(server.port, "GET", "/seen", HEAD, b"", (("x-late", "1"),)))
        assert {over_2["version"], a_get["version"]} == {"2"}
        # The guard lets a GET over HTTP/2 pass without a length for this reason.
        assert "x-late" not in {*over_2["after"], *a_get["after"]}
    assert not any(found) or tuple(found) == MERGES[server.name]
    assert any(found) == (server.name in MERGES)


def test_a_declared_length_passes(server: Running) -> None:
    if "1.1" in server.versions:
        head = spell(*HEAD, *IDENTITY, *LENGTH)
        assert content_of(ask_http1(server.port, head + b"{}")) == ALLOWED
        assert (
            content_of(ask_http1(server.port, head, b"{", b"}", pause=0.03)) == ALLOWED
        )  # T127: a late body
        got = content_of(ask_http1(server.port, spell(*HEAD, *IDENTITY, method="GET")))
        assert got == {**ALLOWED, "size": 0}
    if "2" in server.versions:
        lines = (*HEAD, *IDENTITY)
        assert content_of(ask_http2(server.port, "POST", "/", (*lines, *LENGTH), b"{}")) == ALLOWED


def test_a_get_over_http_2_needs_no_length(server: Running) -> None:
    if "2" not in server.versions or server.name == "uvicorn, zttp":
        pytest.skip("speaks no HTTP/2, or never ends the body of such a GET")
    assert content_of(ask_http2(server.port, "GET", "/", (*HEAD, *IDENTITY), b"")) == {**ALLOWED, "size": 0}


@pytest.mark.parametrize("head", [(), IDENTITY], ids=["nothing in the head", "alice in the head"])
@pytest.mark.parametrize("trailers", [(), TRAILERS], ids=["no trailer", "the owner in a trailer"])
def test_a_body_without_a_length_is_refused(server: Running, head: Lines, trailers: Lines) -> None:
    if "1.1" in server.versions:
        request = spell(*HEAD, *head, *CHUNKED), chunks(trailers)
        assert content_of(ask_http1(server.port, b"".join(request))) in {
            "UnsupportedProtocol",
            "InvalidRequest",
        }
        assert content_of(ask_http1(server.port, *request, pause=0.05)) == "UnsupportedProtocol"
    if "2" in server.versions:
        answer = ask_http2(server.port, "POST", "/", (*HEAD, *head), b"{}", trailers)
        assert content_of(answer) == "UnsupportedProtocol"
