"""The configurations that are printed: what stands in them, and what cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from camguard.authorizer.fronts import FRONTS, Front, body_needs, render
from camguard.bundle import Bundle, load_bundle
from camguard.errors import SettingsError
from camguard.settings import Address, Settings, load_settings
from tests.stage import BUNDLE


@pytest.fixture(scope="module")
def shipped(repository: Path) -> tuple[Settings, Bundle]:
    """Return the shipped settings and bundle."""
    settings = load_settings(repository / "config/camguard.toml", {})
    return settings, load_bundle(settings.policy.source, catalog=settings.catalog.path)


def with_values(settings: Settings, section: str, **values: Any) -> Settings:
    return replace(settings, **{section: replace(getattr(settings, section), **values)})


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


def test_auth_request_cannot_be_satisfied_by_another_rule(shipped: tuple[Settings, Bundle]) -> None:
    """`satisfy any` beside an `allow` line would let requests pass unasked."""
    text = render(Front.of("nginx-auth-request", *shipped))
    (place,) = re.findall(r"\n    location / \{\n(.*?)\n    \}", text, re.DOTALL)
    assert place.index("satisfy all;") < place.index("auth_request /_camguard;")
    (asks,) = re.findall(r"\n    location = /_camguard \{\n(.*?)\n    \}", text, re.DOTALL)
    assert "client_max_body_size 0;" in asks
    assert "proxy_cache off;" in asks


NEEDS = [
    pytest.param({"mode": "signature"}, ("the signature of a POST covers its body",), id="signatures"),
    pytest.param({"mode": "either"}, ("the signature of a POST covers its body",), id="either"),
    pytest.param({"mode": "claimed"}, (), id="claims"),
    pytest.param({"mode": "header", "keys_file": Path("/nowhere")}, (), id="a header, and no keys"),
]


@pytest.mark.parametrize(("identity", "expected"), NEEDS)
def test_bodies_are_needed_where_answers_depend_on_them(
    identity: dict[str, Any], expected: tuple[str, ...], shipped: tuple[Settings, Bundle]
) -> None:
    settings, bundle = shipped
    changed = with_values(settings, "identity", **identity)
    assert tuple(body_needs(changed, bundle)) == expected
    named = tuple(body_needs(changed, BUNDLE))
    assert named == (
        *expected,
        "bodies name the resources of 1 actions of the catalog, and policies restrict resources",
    )


def test_the_configuration_says_what_identity_it_allows(shipped: tuple[Settings, Bundle]) -> None:
    """T141."""
    text = render(Front.of("nginx-auth-request", *shipped))
    assert 'mode "either"' in text
    assert "body_not_shown" in text
    claimed = with_values(shipped[0], "identity", mode="claimed")
    assert "body_not_shown" not in render(Front.of("nginx-auth-request", claimed, shipped[1]))


# Changes of the shipped settings, and whether the script of njs asks, which shows camguard the body.
NGINX = [
    pytest.param({"identity": {"mode": "signature"}}, BUNDLE, True, id="T141 signatures cover bodies"),
    pytest.param({"identity": {"mode": "claimed"}}, BUNDLE, True, id="T141 bodies name resources"),
    pytest.param({"identity": {"mode": "claimed"}}, None, False, id="no answer depends on a body"),
    pytest.param(
        {"identity": {"mode": "signature"}, "authorizer": {"bodies": frozenset(("envoy",))}},
        BUNDLE,
        False,
        id="authorizer.bodies does not list nginx",
    ),
]


@pytest.mark.parametrize(("changes", "bundle", "shows"), NGINX)
def test_nginx_shows_bodies_where_answers_depend_on_them(
    changes: dict[str, dict[str, Any]], bundle: Bundle | None, shows: bool, shipped: tuple[Settings, Bundle]
) -> None:
    settings = shipped[0]
    for section, values in changes.items():
        settings = with_values(settings, section, **values)
    text = render(Front.of("nginx", settings, bundle or shipped[1]))
    assert (re.search(r"^\s+js_content camguard\.ask;$", text, re.MULTILINE) is not None) is shows
    assert (re.search(r"^\s+auth_request /_camguard;$", text, re.MULTILINE) is None) is shows
    assert (re.search(r"^\s+proxy_pass_request_body off;$", text, re.MULTILINE) is None) is shows
    plain = render(Front.of("nginx-auth-request", settings, bundle or shipped[1]))
    assert "auth_request /_camguard;" in plain
    assert "js_content" not in plain


def test_more_upstreams_than_one_are_named(shipped: tuple[Settings, Bundle]) -> None:
    settings = replace(shipped[0], upstream={"default": "https://api.example", "cvm": "http://h:1"})
    text = render(Front.of("nginx", settings, shipped[1]))
    assert re.search(r"^#   - cvm$", text, re.MULTILINE)
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
