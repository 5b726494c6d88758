"""The configurations that are printed: what stands in them, and what cannot."""

from __future__ import annotations

import locale
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from camguard.authorizer.fronts import FRONTS, Front, authorizer_of, render
from camguard.bundle import Bundle
from camguard.errors import Problem, SettingsError
from camguard.settings import Address, Settings
from tests.authorizer.asking import with_values


@pytest.mark.parametrize("name", FRONTS)
def test_the_files_beside_the_settings_are_what_is_printed(
    name: str, shipped: tuple[Settings, Bundle], repository: Path
) -> None:
    file = repository / "config/fronts" / FRONTS[name].name
    assert file.read_text(encoding="utf-8") == render(Front.of(name, *shipped))


def test_the_folder_holds_nothing_else(repository: Path) -> None:
    expected = {each.name for each in FRONTS.values()} | {"README.md"}
    assert {each.name for each in (repository / "config/fronts").iterdir()} == expected


@pytest.mark.parametrize("name", FRONTS)
def test_no_placeholder_is_left(name: str, shipped: tuple[Settings, Bundle]) -> None:
    settings, bundle = shipped
    for mode in ("signature", "header", "claimed"):
        changed = with_values(settings, "identity", mode=mode)
        changed = with_values(changed, "attributes", header="x-camguard-attributes")
        changed = with_values(changed, "enforcement", mode="shadow")
        for bodies in (frozenset[str](), frozenset(("apisix", "envoy", "forward", "haproxy", "nginx"))):
            text = render(Front.of(name, with_values(changed, "authorizer", bodies=bodies), bundle))
            assert "%%" not in text
            assert "x-camguard-attributes" in text.lower() or name in {"apisix", "nginx-js"}


# A setting, and a value that its reader would not accept: what stands in a printed file is checked again.
HOSTILE = [
    pytest.param("identity", "header", value, id=f"a header name with {name}")
    for name, value in {
        "a quote": 'x"y',
        "an apostrophe": "x'y",
        "a semicolon": "x;y",
        "a brace": "x{y",
        "a blank": "x y",
        "a line break": "x\ny",
        "a dollar": "x$y",
        "a percent": "x%y",
        "a hash": "x#y",
        "a backslash": "x\\y",
        "nothing in it": "",
    }.items()
]


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize(("section", "key", "value"), HOSTILE)
def test_a_value_that_could_end_a_token_is_refused(
    name: str, section: str, key: str, value: str, shipped: tuple[Settings, Bundle]
) -> None:
    settings, bundle = shipped
    front = Front.of(name, with_values(settings, section, **{key: value}), bundle)
    with pytest.raises(SettingsError, match="cannot stand in a configuration"):
        render(front)


@pytest.mark.parametrize("host", ["a b", 'a"b', "a;b", "a{b"])
def test_an_address_that_could_end_a_token_is_refused(host: str, shipped: tuple[Settings, Bundle]) -> None:
    with pytest.raises(SettingsError, match="cannot stand"):
        render(Front.of("nginx", *shipped, Address(host, 80)))


# Other settings that stand in a printed file.
PLACES = [
    pytest.param("attributes", {"header": "x;y"}, id="the header of attributes"),
    pytest.param("identity", {"mode": "claimed\n}"}, id="the mode of identity"),
    pytest.param("gateway", {"authorizer": Address("h;y", 1), "authorizer_grpc": Address("h;y", 1)},
                 id="the address of the authorizer"),
    pytest.param("limits", {"body_bytes": "1;"}, id="a limit"),
    pytest.param("upstream", {"default": "http://h;y:1"}, id="the host of the upstream"),
    pytest.param("upstream", {"default": 'http://h"y:1'}, id="a quote in the host of the upstream"),
    pytest.param("upstream", {"default": "x y://h:1"}, id="the scheme of the upstream"),
    pytest.param("upstream", {"default": "http://:1"}, id="an upstream without a host"),
    pytest.param("upstream", {"default": "http://h:1", "cvm\n}": "http://h:2"}, id="a service"),
]  # fmt: skip


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize(("section", "values"), PLACES)
def test_every_setting_that_could_end_a_token_is_refused(
    name: str, section: str, values: dict[str, Any], shipped: tuple[Settings, Bundle]
) -> None:
    settings, bundle = shipped
    if section == "upstream":
        settings = replace(settings, upstream=values)
    else:
        settings = with_values(settings, section, **values)
    with pytest.raises(SettingsError, match="cannot stand in a configuration"):
        render(Front.of(name, settings, bundle))


def test_a_value_holds_letters_digits_and_a_few_signs_up_to_255(shipped: tuple[Settings, Bundle]) -> None:
    """A value has a closed grammar: every other character of the first 256 is refused."""
    signs = {*"_.:/[]-"}

    def prints(value: str) -> bool:
        try:
            text = render(Front.of("caddy", with_values(shipped[0], "identity", header=value), shipped[1]))
        except SettingsError:
            return False
        return value in text

    for each in map(chr, range(256)):
        assert prints(f"x{each}y") is (each in signs or (each.isascii() and each.isalnum())), each
    assert prints("x" * 255)
    assert not prints("x" * 256)


REFUSED = [
    pytest.param("identity", {"header": "x;y"}, "'x;y'", "identity_header", id="a header"),
    pytest.param(
        "upstream", {"default": "http://h:1", "c}": "http://h:2"}, "'c}'", "upstream", id="a service"
    ),
]


@pytest.mark.parametrize(("section", "values", "value", "place"), REFUSED)
def test_a_refusal_names_the_value_the_configuration_and_the_place(
    section: str, values: dict[str, Any], value: str, place: str, shipped: tuple[Settings, Bundle]
) -> None:
    settings, bundle = shipped
    if section == "upstream":
        settings = replace(settings, upstream=values)
    else:
        settings = with_values(settings, section, **values)
    with pytest.raises(SettingsError) as caught:
        render(Front.of("nginx", settings, bundle))
    message = f"{value} cannot stand in a configuration of nginx ({place})"
    assert caught.value.problems == (Problem("front", "SettingsError", message),)


def test_auth_request_cannot_be_satisfied_by_another_rule(shipped: tuple[Settings, Bundle]) -> None:
    """`satisfy any` beside an `allow` line would let requests pass unasked."""
    text = render(Front.of("nginx-auth-request", *shipped))
    (place,) = re.findall(r"\n    location / \{\n(.*?)\n    \}", text, re.DOTALL)
    assert place.index("satisfy all;") < place.index("auth_request /_camguard;")
    (asks,) = re.findall(r"\n    location = /_camguard \{\n(.*?)\n    \}", text, re.DOTALL)
    assert "client_max_body_size 0;" in asks
    assert "proxy_cache off;" in asks


HTTP, GRPC = Address("10.0.0.5", 1), Address("10.0.0.6", 2)
ASKED = [
    pytest.param("nginx", HTTP, None, ("gateway.authorizer", HTTP, True), id="the listener"),
    pytest.param("nginx", None, GRPC, ("gateway.authorizer", Address("127.0.0.1", 8600), False),
                 id="a usual address where the settings have none"),
    pytest.param("envoy-grpc", HTTP, GRPC, ("gateway.authorizer_grpc", GRPC, True),
                 id="the listener of gRPC"),
    pytest.param("envoy-grpc", HTTP, None, ("gateway.authorizer_grpc", Address("127.0.0.1", 8601), False),
                 id="a usual address of gRPC where the settings have none"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "http", "grpc", "expected"), ASKED)
def test_where_a_proxy_asks(
    name: str, http: Any, grpc: Any, expected: Any, shipped: tuple[Settings, Bundle]
) -> None:
    settings = with_values(shipped[0], "gateway", authorizer=http, authorizer_grpc=grpc)
    assert authorizer_of(name, settings) == expected


# An upstream, and the address in the configuration of nginx.
UPSTREAMS = [
    pytest.param("http://h", "h:80", id="the port of HTTP"),
    pytest.param("https://h", "h:443", id="the port of TLS"),
    pytest.param("https://h:80", "h:80", id="a port that is named"),
    pytest.param("http://[2001:db8::1]:81", "[2001:db8::1]:81", id="an IPv6 address"),
]


@pytest.mark.parametrize(("url", "expected"), UPSTREAMS)
def test_the_address_of_the_upstream(url: str, expected: str, shipped: tuple[Settings, Bundle]) -> None:
    text = render(Front.of("nginx", replace(shipped[0], upstream={"default": url}), shipped[1]))
    assert re.findall(r"^    server (\S+);$", text, re.MULTILINE)[-1] == expected


@pytest.mark.parametrize("name", sorted({*FRONTS} - {"nginx-js", "haproxy-lua"}))
def test_a_configuration_says_that_calls_pass_in_shadow_mode(
    name: str, shipped: tuple[Settings, Bundle]
) -> None:
    for mode in ("shadow", "enforce"):
        text = render(Front.of(name, with_values(shipped[0], "enforcement", mode=mode), shipped[1]))
        assert ('# enforcement.mode is "shadow": camguard lets denied calls pass' in text) is (
            mode == "shadow"
        )


def test_a_header_of_the_settings_is_not_removed_though_applications_believe_it(
    shipped: tuple[Settings, Bundle],
) -> None:
    """What the proxy itself writes into it reaches camguard, and nothing that a client wrote."""
    settings = with_values(shipped[0], "identity", header="x-user")
    settings = with_values(settings, "attributes", header="x-userinfo")
    document = yaml.safe_load(render(Front.of("traefik", settings, shipped[1])))["http"]
    removed = document["middlewares"]["camguard-strip"]["headers"]["customRequestHeaders"]
    text = render(Front.of("traefik", settings, shipped[1]))
    assert [text.count(f"          {name}: ") for name in ("x-user", "x-userinfo", "x-real-ip")] == [1, 1, 1]
    assert removed["x-user"] == removed["x-userinfo"] == ""


def test_a_configuration_is_the_same_in_every_locale(shipped: tuple[Settings, Bundle]) -> None:
    """A template holds characters that are no ASCII."""
    before, front = locale.setlocale(locale.LC_CTYPE), Front.of("traefik", *shipped)
    expected = render(front)
    assert not expected.isascii()
    try:
        locale.setlocale(locale.LC_CTYPE, "C")
        assert render(front) == expected
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def test_the_configuration_says_what_identity_it_allows(shipped: tuple[Settings, Bundle]) -> None:
    """T141."""
    text = render(Front.of("nginx-auth-request", *shipped))
    assert 'mode "either"' in text
    assert "body_not_shown" in text
    claimed = with_values(shipped[0], "identity", mode="claimed")
    assert "body_not_shown" not in render(Front.of("nginx-auth-request", claimed, shipped[1]))


def test_more_upstreams_than_one_are_named(shipped: tuple[Settings, Bundle]) -> None:
    settings = replace(shipped[0], upstream={"default": "https://api.example", "cvm": "http://h:1"})
    text = render(Front.of("nginx", settings, shipped[1]))
    assert re.findall(r"^#   - (\S+)$", text, re.MULTILINE) == ["cvm"]
    assert "server api.example:443;" in text
    assert "proxy_ssl_verify on;" in text


@pytest.mark.parametrize("name", ["traefik", "apisix"])
def test_a_file_that_no_test_runs_says_so_on_top(name: str, shipped: tuple[Settings, Bundle]) -> None:
    assert render(Front.of(name, *shipped)).startswith("# NOT RUN: ")


def test_the_file_of_traefik(shipped: tuple[Settings, Bundle]) -> None:
    """It is compared with what the documentation of Traefik says of each key."""
    settings = with_values(shipped[0], "authorizer", bodies=frozenset(("forward",)))
    document = yaml.safe_load(render(Front.of("traefik", settings, shipped[1])))["http"]
    assert document["routers"]["calls"]["middlewares"] == ["camguard-strip", "camguard"]
    forward = document["middlewares"]["camguard"]["forwardAuth"]
    assert forward == {
        "address": "http://127.0.0.1:8600/authz/forward",
        "trustForwardHeader": False,
        "authResponseHeaders": ["x-camguard-request-id"],
        "maxResponseBodySize": 16384,
        "forwardBody": True,
        "maxBodySize": settings.limits.body_bytes,
    }
    removed = document["middlewares"]["camguard-strip"]["headers"]["customRequestHeaders"]
    assert {*removed.values()} == {""}
    assert {"x-camguard-principal", "x-real-ip", "forwarded", "x-camguard-client-ip"} <= removed.keys()


def test_the_file_of_apisix(shipped: tuple[Settings, Bundle]) -> None:
    """It is compared with what the documentation of APISIX says of each key."""
    text = render(Front.of("apisix", *shipped))
    assert text.endswith("\n#END\n")
    document = yaml.safe_load(text)
    (route,) = document["routes"]
    forward = route["plugins"]["forward-auth"]
    assert forward["uri"] == "http://127.0.0.1:8600/authz/apisix"
    assert forward["request_method"] == "POST"
    assert forward["allow_degradation"] is False
    assert forward["status_on_error"] == 503
    judged = {"Authorization", "Content-Type", "X-TC-Action", "X-TC-Version", "X-TC-Region", "X-TC-Timestamp"}
    assert judged | {"X-TC-Token", "X-TC-Content-SHA256"} <= {*forward["request_headers"]}
    (code,) = route["plugins"]["serverless-pre-function"]["functions"]
    assert '"x-camguard-principal",' in code
    assert document["upstreams"][0]["retries"] == 0
