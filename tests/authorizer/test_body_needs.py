"""Where answers depend on the body of a request, and which configurations show it (T141)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from camguard.authorizer.fronts import FRONTS, Front, body_needs, render
from camguard.bundle import Bundle
from camguard.settings import Settings
from tests.authorizer.asking import with_values
from tests.company import action, bundle, catalog, policy, service
from tests.stage import BUNDLE

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


ART = service("art", "Draw", "Erase")
VM = service("vm", action("vm:Stop", "qcs::vm:${region}:uin/${uin}:box/${id}"), "List")
TAGGED = service("vm", action("vm:Run", request_tags=("Tags[]",)), "List")
BOX = {"action": "vm:Stop", "resource": "qcs::vm:::box/1"}
NAMED = "bodies name the resources of 1 actions of the catalog, and policies restrict resources"
FORM = "a form may carry a signature of version 1 and name the action"
# Changes of the identity settings of mode `claimed`, services, statements of the policy, what needs bodies.
PARTS: list[Any] = [
    pytest.param({}, (ART,), ({},), (), id="actions without resources"),
    pytest.param({}, (VM,), (BOX,), (NAMED,), id="resources that a policy restricts"),
    pytest.param({}, (VM,), ({},), (), id="resources that no policy restricts"),
    pytest.param({}, (VM,), ({}, BOX), (NAMED,), id="resources that one statement of two restricts"),
    pytest.param({}, (ART,), (BOX,), (), id="a policy about resources that the catalog lacks"),
    pytest.param({}, (TAGGED,), ({},), ("bodies name tags",), id="tags of one action of two"),
    pytest.param({"allow_v1": True}, (ART,), ({},), (FORM,), id="signatures of version 1"),
]


@pytest.mark.parametrize(("identity", "services", "statements", "expected"), PARTS)
def test_each_part_of_a_body_that_decides_is_a_need(
    identity: dict[str, Any],
    services: tuple[Any, ...],
    statements: tuple[Any, ...],
    expected: tuple[str, ...],
    shipped: tuple[Settings, Bundle],
) -> None:
    """T141."""
    settings = with_values(shipped[0], "identity", **{"mode": "claimed", **identity})
    found = bundle([policy("one", *statements)], catalog(*services))
    assert tuple(body_needs(settings, found)) == expected


def test_without_a_bundle_every_resource_counts(shipped: tuple[Settings, Bundle]) -> None:
    """T141."""
    claimed = with_values(shipped[0], "identity", mode="claimed")
    assert tuple(body_needs(claimed, None)) == ("bodies may name resources",)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param("header", ("the signature of a POST covers its body",), id="T141 a header, and keys"),
        pytest.param("claimed", (), id="T141 claims, which no key proves"),
    ],
)
def test_keys_let_callers_sign_where_a_proxy_may_name_them(
    mode: str, expected: tuple[str, ...], tmp_path: Path, shipped: tuple[Settings, Bundle]
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text("{}")
    settings = with_values(shipped[0], "identity", mode=mode, keys_file=keys)
    assert tuple(body_needs(settings, shipped[1])) == expected


# The name of a configuration, and the dialect whose bodies it shows, None where it shows none.
SHOWN = [
    pytest.param("nginx", "nginx", id="T141 nginx with njs"),
    pytest.param("nginx-js", "nginx", id="T141 the script of njs"),
    pytest.param("nginx-auth-request", None, id="T141 auth_request shows no body"),
    pytest.param("envoy", "envoy", id="T141 Envoy"),
    pytest.param("envoy-grpc", "envoy", id="T141 Envoy over gRPC"),
    pytest.param("haproxy", "haproxy", id="T141 HAProxy"),
    pytest.param("haproxy-lua", "haproxy", id="T141 the script of HAProxy"),
    pytest.param("caddy", None, id="T141 Caddy shows no body"),
    pytest.param("traefik", "forward", id="T141 Traefik"),
    pytest.param("apisix", "apisix", id="T141 APISIX"),
]


def test_the_names_of_all_configurations() -> None:
    assert [each.values[0] for each in SHOWN] == [*FRONTS]


@pytest.mark.parametrize(("name", "dialect"), SHOWN)
def test_bodies_are_shown_where_the_settings_list_the_dialect(
    name: str, dialect: str | None, shipped: tuple[Settings, Bundle]
) -> None:
    settings = with_values(shipped[0], "identity", mode="signature")
    for each in ("apisix", "envoy", "forward", "haproxy", "nginx"):
        showing = with_values(settings, "authorizer", bodies=frozenset((each,)))
        assert Front.of(name, showing, shipped[1]).shows is (each == dialect), each


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
