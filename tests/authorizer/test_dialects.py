"""How each dialect tells a request, and what is refused instead of guessed: T140."""

from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import body_of
from tests.authorizer.asking import FACTS, IDENTITY, PATHS, Stage, asked, asked_by, subrequest
from tests.stage import ELSEWHERE, HOST, OFFICE, PROXY, Line, sdk

DIALECTS = tuple(PATHS)
STAGE = Stage()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_request_that_a_proxy_tells_is_judged(dialect: str, method: str) -> None:
    answer = asked(STAGE, dialect, method=method, lines=(*sdk(), IDENTITY))
    assert (answer.status, answer.word) == (200, "allow")
    record = answer.record
    assert (record.listener, record.action, record.service) == ("authorizer", "QueryArea", "partners")
    assert (record.peer, record.client_ip, record.host) == (PROXY, "forwarded", HOST.decode())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_client_elsewhere_is_denied_by_policy(dialect: str) -> None:
    answer = asked(STAGE, dialect, address=ELSEWHERE)
    assert (answer.status, answer.word) == (403, "no_allow")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_query_is_that_of_the_request(dialect: str) -> None:
    """A second action in it is found wherever the dialect tells the URI."""
    answer = asked(STAGE, dialect, method="GET", uri=b"/?Action=DeleteBudget")
    assert answer.word == "action_conflict"
    assert asked(STAGE, dialect, method="GET", uri=b"/?Area=1").word == "allow"


MISSING = [
    pytest.param(dialect, name, id=f"T140 {dialect} without {name.decode()}")
    for dialect, names in FACTS.items()
    for name in names
]


@pytest.mark.parametrize(("dialect", "name"), MISSING)
def test_a_fact_that_is_missing_is_refused(dialect: str, name: bytes) -> None:
    """The subrequest, a GET from the address of the proxy, is never judged in its place."""
    answer = asked(STAGE, dialect, without=(name,))
    expected = "client_ip_invalid" if name == FACTS[dialect][3] else "front_header_invalid"
    assert (answer.status, answer.word) == (403, expected)


@pytest.mark.parametrize(("dialect", "name"), MISSING)
def test_a_fact_that_stands_twice_is_refused(dialect: str, name: bytes) -> None:
    scope = subrequest(dialect)
    value = dict(scope["headers"])[name]
    scope["headers"] += [(name, value)]
    answer = STAGE.ask(scope, body_of(b""))
    if name == b"x-forwarded-for":  # lines of one list, whose end the proxy wrote
        assert answer.word == "allow"
    else:
        expected = "client_ip_invalid" if name == FACTS[dialect][3] else "front_header_invalid"
        assert (answer.status, answer.word) == (403, expected)


def test_envoy_without_an_address_is_refused() -> None:
    assert asked(STAGE, "envoy", without=(b"x-camguard-client-ip",)).word == "client_ip_invalid"


def test_envoy_without_a_host_is_refused() -> None:
    assert asked(STAGE, "envoy", without=(b"host",)).word == "front_header_invalid"


# Headers of one dialect say nothing in another one.
FOREIGN = [
    pytest.param("nginx", (b"x-forwarded-for", b"x-camguard-client-ip", b"forwarded"), id="at nginx"),
    pytest.param("haproxy", (b"x-forwarded-for", b"x-camguard-client-ip", b"forwarded"), id="at HAProxy"),
    pytest.param("envoy", (b"x-forwarded-for", b"x-real-ip", b"x-envoy-external-address"), id="at Envoy"),
    pytest.param("forward", (b"x-real-ip", b"x-camguard-client-ip", b"forwarded"), id="at Caddy"),
    pytest.param("apisix", (b"x-real-ip", b"x-camguard-client-ip", b"forwarded"), id="at APISIX"),
]


@pytest.mark.parametrize(("dialect", "names"), FOREIGN)
def test_an_address_in_the_header_of_another_dialect_is_not_read(
    dialect: str, names: tuple[bytes, ...]
) -> None:
    own = b"x-camguard-client-ip" if dialect == "envoy" else FACTS[dialect][3]
    forged = tuple((name, OFFICE.encode()) for name in names)
    lines = (*sdk(), IDENTITY, *forged)
    assert asked(STAGE, dialect, lines=lines, address=ELSEWHERE).word == "no_allow"
    assert asked(STAGE, dialect, lines=lines, without=(own,)).word == "client_ip_invalid"


ADDRESSES = [
    pytest.param("nginx", f"{OFFICE}, {PROXY}", "client_ip_invalid", id="a list where nginx names one"),
    pytest.param("forward", f"{ELSEWHERE}, {OFFICE}", "allow", id="the last element that is no proxy"),
    pytest.param("forward", f"{OFFICE}, {ELSEWHERE}, {PROXY}", "no_allow", id="proxies at the end skipped"),
    pytest.param("nginx", "unix:", "client_ip_invalid", id="a unix socket"),
    pytest.param("nginx", "", "client_ip_invalid", id="an empty address"),
    pytest.param("nginx", "-", "client_ip_invalid", id="a dash"),
    pytest.param("envoy", "2001:db8::1", "allow", id="an IPv6 address"),
    pytest.param("envoy", f"::ffff:{OFFICE}", "allow", id="a mapped address"),
]


@pytest.mark.parametrize(("dialect", "address", "word"), ADDRESSES)
def test_addresses(dialect: str, address: str, word: str) -> None:
    assert asked(STAGE, dialect, address=address).word == word


URIS = [
    pytest.param(b"", "front_header_invalid", id="T140 an empty URI"),
    pytest.param(b"/a", "path_not_allowed", id="T140 another path"),
    pytest.param(b"//", "path_not_allowed", id="T140 two slashes"),
    pytest.param(b"/./", "path_not_allowed", id="T140 a dot"),
    pytest.param(b"/%2e", "path_not_allowed", id="T140 an escaped dot"),
    pytest.param(b"/?a=1#b", "path_not_allowed", id="T140 a fragment"),
    pytest.param(b"/?a=1 b", "path_not_allowed", id="T140 a blank"),
    pytest.param(b"?a=1", "path_not_allowed", id="T140 no path"),
    pytest.param(b"http://partners.tencentcloudapi.com/", "path_not_allowed", id="T140 an absolute form"),
]


@pytest.mark.parametrize("dialect", FACTS)
@pytest.mark.parametrize(("uri", "word"), URIS)
def test_uris(dialect: str, uri: bytes, word: str) -> None:
    assert asked(STAGE, dialect, uri=uri).word == word


RAW_PATHS = [
    b"/", b"", b"/authz", b"/authz/", b"/authz/nginx/", b"/authz/nginx/x", b"/authz/envoy",
    b"/authz/envoy/../nginx", b"/authz/envoy//", b"/authz/envoy/x", b"/authz/%6eginx", b"/AUTHZ/nginx",
    b"/authz//nginx", b"/authz/nginx;a", b"/authz/traefik",
]  # fmt: skip


@pytest.mark.parametrize("path", RAW_PATHS, ids=lambda path: f"T140 {path.decode() or 'no path'}")
def test_only_exact_paths_have_a_reader(path: bytes) -> None:
    scope = {**subrequest("nginx"), "raw_path": path}
    answer = STAGE.ask(scope, body_of(b""))
    assert (answer.status, answer.word) == (403, "path_not_allowed")


INGRESS = Stage(asked_by(nginx="ingress"))
URLS = [
    pytest.param(b"https://partners.tencentcloudapi.com/", "allow", id="a whole URL"),
    pytest.param(
        b"https://partners.tencentcloudapi.com/?Action=DeleteBudget", "action_conflict", id="a query"
    ),
    pytest.param(b"https://partners.tencentcloudapi.com/x", "path_not_allowed", id="another path"),
    pytest.param(b"https://partners.tencentcloudapi.com", "front_header_invalid", id="no path"),
    pytest.param(b"/", "front_header_invalid", id="no host"),
    pytest.param(b"ftp://partners.tencentcloudapi.com/", "front_header_invalid", id="another scheme"),
    pytest.param(b"http://partners.tencentcloudapi.com/", "allow", id="a URL without TLS"),
    pytest.param(
        b"https://partners.tencentcloudapi.com?a=1", "front_header_invalid", id="a query without a path"
    ),
    pytest.param(
        b"https://partners?.tencentcloudapi.com/", "front_header_invalid", id="a query within the host"
    ),
    pytest.param(
        b"https://partners.tencentcloudapi.com#/", "front_header_invalid", id="a fragment without a path"
    ),
    pytest.param(
        b"https://partners.tencentcloudapi.com/\n", "path_not_allowed", id="a line break in the path"
    ),
    pytest.param(b"https:///", "front_header_invalid", id="an empty host"),
]


@pytest.mark.parametrize(("url", "word"), URLS)
def test_ingress_nginx_tells_the_host_in_the_url(url: bytes, word: str) -> None:
    scope = subrequest("nginx", without=(b"x-original-uri", b"x-original-host"))
    scope["headers"] += [(b"x-original-url", url), (b"x-original-host", b"aiart.tencentcloudapi.com")]
    answer = INGRESS.ask(scope, body_of(b""))
    assert answer.word == word
    assert STAGE.ask(scope, body_of(b"")).word == "front_header_invalid"


def test_a_refusal_of_ingress_nginx_has_its_envelope_in_a_header() -> None:
    """It throws the body of a refusal away, as nginx does."""
    scope = subrequest("nginx", without=(b"x-original-uri", b"x-original-host"), address=ELSEWHERE)
    scope["headers"] += [(b"x-original-url", b"https://partners.tencentcloudapi.com/")]
    answer = INGRESS.ask(scope, body_of(b""))
    assert answer.word == "no_allow"
    assert answer.headers[b"x-camguard-error"] == answer.body


LINES: list[Any] = [
    pytest.param((b"upgrade", b"websocket"), "upgrade_refused", id="T140 an upgrade"),
    pytest.param((b"x_tc_action", b"QueryArea"), "header_alias", id="T140 a spelling with _"),
    pytest.param((b"x.tc.action", b"QueryArea"), "header_alias", id="T140 a spelling with ."),
    pytest.param((b"x-tc-action", b"QueryArea"), "header_duplicate", id="T140 the action twice"),
    pytest.param((b"x-camguard-service", b"aiart"), "service_conflict", id="T140 a service"),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("line", "word"), LINES)
def test_headers_of_the_request_are_judged_as_in_line(dialect: str, line: Line, word: str) -> None:
    answer = asked(STAGE, dialect, lines=(*sdk(), IDENTITY, line))
    assert (answer.status, answer.word) == (403, word)
