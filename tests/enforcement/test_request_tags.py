"""Request tags, and the region of a call beside its parameters (DEC-64, DEC-65)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from camguard.authn.credentials import Caller
from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Catalog, Granularity
from camguard.enforcement.request_tags import cut_tag_paths, plainly_numbered, read_request_tags
from camguard.policy.document import parse_policy
from tests.stage import OFFICE, SETTINGS, FixedCaller, FixedPolicies, Line, Play, Reply, action, sdk, service
from tests.stage import PRINCIPALS as PEOPLE

# --- reading tags ------------------------------------------------------------------------------------------

SPECIFICATION, PLAIN = ("TagSpecification[].Tags",), ("Tags",)
RD = {"Key": "dept", "Value": "rd"}
ENV = {"TagKey": "env", "TagValue": ""}

# paths, parameters, the tags or None where they are not supplied
READ = [
    pytest.param(PLAIN, {"Tags": [RD]}, {"dept": "rd"}, id="DEC-65 one tag"),
    pytest.param(PLAIN, {"Tags": [RD, ENV]}, {"dept": "rd", "env": ""}, id="DEC-65 both forms of a tag"),
    pytest.param(PLAIN, {}, {}, id="DEC-65 no parameter at all: supplied, none there"),
    pytest.param(PLAIN, {"Limit": 1}, {}, id="DEC-65 other parameters only"),
    pytest.param(PLAIN, {"Tags": []}, {}, id="DEC-65 an empty list"),
    pytest.param(
        SPECIFICATION,
        {"TagSpecification": [{"ResourceType": "instance", "Tags": [RD]}, {"Tags": [ENV]}]},
        {"dept": "rd", "env": ""},
        id="DEC-65 tags of every element of a list",
    ),
    pytest.param(SPECIFICATION, {"TagSpecification": [{}]}, {}, id="DEC-65 an element without tags"),
    pytest.param((*PLAIN, *SPECIFICATION), {"Tags": [RD]}, {"dept": "rd"}, id="DEC-65 one of two paths"),
    pytest.param(("Spec.Tags",), {"Spec": {"Tags": [RD]}}, {"dept": "rd"}, id="DEC-65 a path of objects"),
    pytest.param(PLAIN, None, None, id="DEC-65 parameters that were not read"),
    pytest.param(PLAIN, {"Tags": [RD, RD]}, None, id="DEC-65 a key twice"),
    pytest.param(
        SPECIFICATION,
        {"TagSpecification": [{"Tags": [RD]}, {"Tags": [{"Key": "dept", "Value": "hr"}]}]},
        None,
        id="DEC-65 a key twice in two lists",
    ),
    pytest.param(PLAIN, {"Tags": {"dept": "rd"}}, None, id="DEC-65 an object in place of a list"),
    pytest.param(PLAIN, {"Tags": "dept"}, None, id="DEC-65 a text in place of a list"),
    pytest.param(PLAIN, {"Tags": None}, None, id="DEC-65 null in place of a list"),
    pytest.param(PLAIN, {"Tags": ["dept&rd"]}, None, id="DEC-65 a text in the list"),
    pytest.param(PLAIN, {"Tags": [{"Key": "dept"}]}, None, id="DEC-65 a tag without a value"),
    pytest.param(PLAIN, {"Tags": [{"Key": "dept", "Value": None}]}, None, id="DEC-65 a value of null"),
    pytest.param(PLAIN, {"Tags": [{"Key": "", "Value": "rd"}]}, None, id="DEC-65 an empty key"),
    pytest.param(PLAIN, {"Tags": [{**RD, "Value2": ""}]}, None, id="DEC-65 a further member of a tag"),
    pytest.param(PLAIN, {"Tags": [{"key": "dept", "value": "rd"}]}, None, id="DEC-65 small letters"),
    pytest.param(PLAIN, {"Tags": [{"Key": "dept", "TagValue": "rd"}]}, None, id="DEC-65 a mix of both forms"),
    pytest.param(PLAIN, {"Tags": [RD], "tags": []}, None, id="DEC-65 another letter case beside it"),
    pytest.param(PLAIN, {"Tags": [RD], "ResourceTags": []}, None, id="DEC-65 a further parameter of tags"),
    pytest.param(PLAIN, {"Tags": [RD], "A": [{"B": {"myTAG": 1}}]}, None, id="DEC-65 a further one, nested"),
    pytest.param(PLAIN, {"Tags": [RD], "Stage": 1}, None, id="DEC-65 any name that contains the word"),
    pytest.param(PLAIN, {"Tags": [RD], "\u00fc" * 65: 1}, None, id="DEC-65 a name that is not computed"),
    pytest.param(PLAIN, {"\uff34ags": []}, None, id="DEC-65 a name in letters that look alike"),
    pytest.param(PLAIN, {"T%61gs": []}, None, id="DEC-65 an escaped name"),
    pytest.param(PLAIN, {"Tags.0.Key": "dept"}, None, id="DEC-65 a flat name in an object"),
    pytest.param(SPECIFICATION, {"TagSpecification": {"Tags": [RD]}}, None, id="DEC-65 no list"),
    pytest.param(SPECIFICATION, {"TagSpecification": {}}, None, id="DEC-65 an empty object, and no list"),
    pytest.param(SPECIFICATION, {"TagSpecification": ""}, None, id="DEC-65 an empty text, and no list"),
    pytest.param(("Spec.Tags",), {"Spec": []}, None, id="DEC-65 a list in place of an object"),
    pytest.param(
        (*SPECIFICATION, "Disks[].Tags"),
        {"TagSpecification": [{"Tags": [RD]}]},
        {"dept": "rd"},
        id="DEC-65 one of two lists of objects",
    ),
    pytest.param(SPECIFICATION, {"TagSpecification": [RD]}, {}, id="DEC-65 elements without the next name"),
    pytest.param(SPECIFICATION, {"TagSpecification": ["x"]}, None, id="DEC-65 a text in the outer list"),
    pytest.param(SPECIFICATION, {"Tags": [RD]}, None, id="DEC-65 the tags one level too high"),
    pytest.param(PLAIN, ({"Tags": [RD]}, {"Limit": 1}), {"dept": "rd"}, id="DEC-65 in one of two places"),
    pytest.param(PLAIN, ({"Tags": [RD]}, {"Tags": [ENV]}), None, id="DEC-65 tags in both of two places"),
    pytest.param(PLAIN, ({"Tags": [RD]}, {"tag": 1}), None, id="DEC-65 a further parameter in another place"),
]


@pytest.mark.parametrize(("paths", "parameters", "tags"), READ)
def test_reading_tags(paths: tuple[str, ...], parameters: Any, tags: dict[str, str] | None) -> None:
    assert read_request_tags(cut_tag_paths(paths), parameters) == tags


# names of flat parameters, whether their lists are numbered as every reader reads them
NUMBERED = [
    pytest.param(("Tags.0.Key", "Tags.0.Value", "Tags.1.Key"), True, id="DEC-65 from 0 on"),
    pytest.param(("Tags.1.Key", "Tags.0.Key"), True, id="DEC-65 in any order"),
    pytest.param(("Ids.7",), True, id="DEC-65 another list"),
    pytest.param(("Tags.1.Key",), False, id="DEC-65 from 1 on"),
    pytest.param(("Tags.0.Key", "Tags.2.Key"), False, id="DEC-65 with a gap"),
    pytest.param(("Tags.00.Key",), False, id="DEC-65 with a leading zero"),
    pytest.param(("Tags.\u0660.Key",), False, id="DEC-65 in other digits"),
    pytest.param(("A.0.Tags.1.Key",), False, id="DEC-65 a gap in an inner list"),
]


@pytest.mark.parametrize(("names", "plain"), NUMBERED)
def test_flat_lists(names: tuple[str, ...], plain: bool) -> None:
    assert plainly_numbered(tuple((name, "x") for name in names)) is plain


# --- whole requests ----------------------------------------------------------------------------------------

TEMPLATE = "qcs::vm:$region:$account:instance/*"
CATALOG = Catalog(
    {
        "vm": service(
            "vm",
            action("vm", "Create", request_tags=PLAIN),
            action("vm", "Tag"),
            action("vm", "Own", parameters=("Region",)),
            action("vm", "Run", request_tags=PLAIN, granularity=Granularity.RESOURCE, resources=(TEMPLATE,)),
        ),
    }
)
object.__setattr__(CATALOG.services["vm"], "tag_authorization", True)
REGIONAL = {"string_equal": {"vm:region": "gz"}}
TAGGED = {"for_any_value:string_equal": {"qcs:request_tag": "dept&rd"}}
UIN = "uin/100000000101"


def bundle_under(condition: Any) -> Bundle:
    """Return a bundle by whose one policy a call is allowed under one condition."""
    statement = {"effect": "allow", "action": "*", "resource": "*", "condition": condition}
    text = json.dumps({"version": "2.0", "statement": [statement]})
    policies = {name: parse_policy(text, source=f"{name}.json") for name in ("office", "instances")}
    return make_bundle(policies, PEOPLE, CATALOG)


def play(condition: Any, **parts: Any) -> Play:
    """Return a middleware by whose one policy a call is allowed under one condition."""
    return Play(SETTINGS, policies=FixedPolicies(bundle_under(condition)), **parts)


def lines(name: str, *extra: Line, region: bytes | None = b"ap-guangzhou", **named: Any) -> tuple[Line, ...]:
    named = {"host": b"vm.tencentcloudapi.com", "x_tc_action": name.encode(), **named}
    more = () if region is None else ((b"x-tc-region", region),)
    return sdk((b"x-forwarded-for", OFFICE.encode()), *more, *extra, without=(b"x-tc-version",), **named)


def asked(condition: Any, name: str, body: Any, *extra: Line, **more: Any) -> Reply:
    region = more.pop("region", b"ap-guangzhou")
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return play(condition, **more).reply_to(lines=lines(name, *extra, region=region), chunks=(data,))


# action, body, detail
TAGS = [
    pytest.param("Create", {"Tags": [RD]}, "allowed", id="DEC-65 the tag that the policy asks for"),
    pytest.param("Create", {"Tags": [ENV]}, "no_allow", id="DEC-65 another tag"),
    pytest.param("Create", {}, "no_allow", id="DEC-65 no tag"),
    pytest.param("Create", {"Tags": [RD], "UserTags": []}, "no_allow", id="DEC-65 a further parameter"),
    pytest.param("Run", {"Tags": [RD]}, "allowed", id="DEC-65 an action on resources"),
    pytest.param("Run", {"Tags": []}, "no_allow", id="DEC-65 an action on resources without tags"),
    pytest.param("Tag", {"Tags": [RD]}, "no_allow", id="DEC-65 an action whose entry names no parameter"),
    pytest.param("Create", b"[]", "no_allow", id="DEC-65 a body that is no object"),
    pytest.param("Create", b'{"Tags"', "body_malformed", id="DEC-65 a body that is no JSON"),
]


@pytest.mark.parametrize(("name", "body", "detail"), TAGS)
def test_a_call_that_must_be_tagged(name: str, body: Any, detail: str) -> None:
    assert asked(TAGGED, name, body).detail == detail


FLAT = {"Tags.0.Key": "dept", "Tags.0.Value": "rd"}
FORM = b"application/x-www-form-urlencoded"


def test_dec_65_tags_in_a_query_and_in_a_form() -> None:
    for flat, detail in ((FLAT, "allowed"), ({"Tags.1.Key": "dept", "Tags.1.Value": "rd"}, "no_allow")):
        text = urlencode(flat).encode()
        get = play(TAGGED).reply_to(method="GET", lines=lines("Create"), query=text, chunks=(b"",))
        form = play(TAGGED).reply_to(
            lines=lines("Create", content_type=FORM), chunks=(b"Action=Create&" + text,)
        )
        assert (get.detail, form.detail) == (detail, detail)


def test_dec_65_tags_in_multipart_are_not_supplied() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="Tags"\r\n\r\n' + json.dumps([RD]).encode()
    reply = play(TAGGED).reply_to(
        lines=lines("Create", content_type=b"multipart/form-data; boundary=b"),
        chunks=(body + b"\r\n--b--\r\n",),
    )
    assert reply.detail == "no_allow"


def test_dec_65_a_session_policy_asks_for_tags_too() -> None:
    text = {"version": "2.0", "statement": {"effect": "allow", "action": "*", "resource": "*"}}
    session = parse_policy(json.dumps({**text, "statement": {**text["statement"], "condition": TAGGED}}), "s")  # type: ignore[dict-item]
    for body, detail in (({"Tags": [RD]}, "allowed"), ({}, "layer_limit")):
        authentication = FixedCaller()
        authentication.found = Caller(UIN, None, session, "valid")
        reply = asked({}, "Create", body, (b"authorization", b"TC3"), authentication=authentication)
        assert reply.detail == detail


# region in the header, further lines, query, body, detail
REGIONS = [
    pytest.param(b"ap-guangzhou", b"", {}, "allowed", id="DEC-64 the region of the header"),
    pytest.param(b"ap-shanghai", b"", {}, "no_allow", id="DEC-64 another region"),
    pytest.param(None, b"", {}, "no_allow", id="DEC-64 no region is not supplied"),
    pytest.param(None, b"", {"Region": "ap-guangzhou"}, "no_allow", id="DEC-64 JSON alone names none"),
    pytest.param(b"ap-guangzhou", b"", {"Region": "ap-guangzhou"}, "allowed", id="DEC-64 the same in JSON"),
    pytest.param(b"ap-guangzhou", b"", {"Region": "ap-a"}, "region_invalid", id="DEC-64 another one in JSON"),
    pytest.param(b"ap-guangzhou", b"", {"Region": None}, "region_invalid", id="DEC-64 null in JSON"),
    pytest.param(b"ap-guangzhou", b"", {"A": {"Region": "ap-a"}}, "allowed", id="DEC-64 one below the top"),
    pytest.param(b"ap-guangzhou", b"Region=ap-guangzhou", {}, "allowed", id="DEC-64 the same in a query"),
    pytest.param(b"ap-guangzhou", b"Region=ap-a", {}, "region_invalid", id="DEC-64 another one in a query"),
    pytest.param(
        b"ap-guangzhou",
        b"Action=Tag&Region=ap-a",
        {},
        "region_invalid",
        id="DEC-64 with the action",
    ),
]


@pytest.mark.parametrize(("region", "query", "body", "detail"), REGIONS)
def test_the_region_of_a_call(region: bytes | None, query: bytes, body: Any, detail: str) -> None:
    data = (json.dumps(body).encode(),)
    found = play(REGIONAL).reply_to(lines=lines("Tag", region=region), query=query, chunks=data)
    assert found.detail == detail


def test_dec_64_a_parameter_region_of_the_action_s_own_may_differ() -> None:
    own = lines("Own")
    assert play(REGIONAL).reply_to(lines=own, chunks=(b'{"Region":"ap-a"}',)).detail == "allowed"
    assert play(REGIONAL).reply_to(lines=own, query=b"Region=ap-a", chunks=(b"{}",)).detail == "allowed"


def test_dec_64_another_region_in_a_form_or_in_multipart_is_rejected() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="Region"\r\n\r\n%s\r\n--b--\r\n'
    for value, detail in ((b"ap-guangzhou", "allowed"), (b"ap-a", "region_invalid")):
        form = play(REGIONAL).reply_to(lines=lines("Tag", content_type=FORM), chunks=(b"Region=" + value,))
        multipart = play(REGIONAL).reply_to(
            lines=lines("Tag", content_type=b"multipart/form-data; boundary=b"), chunks=(part % value,)
        )
        assert (form.detail, multipart.detail) == (detail, detail)


def test_dec_64_under_tc3_a_parameter_is_never_the_region() -> None:
    """Under v1 and without a signature it is, where the query names the action."""
    query = b"Action=Tag&Region=ap-guangzhou"
    for extra, detail in (((), "allowed"), (((b"authorization", b"TC3"),), "no_allow")):
        plain = tuple(line for line in lines("Tag", *extra, region=None) if line[0] != b"x-tc-action")
        reply = play(REGIONAL).reply_to(method="GET", lines=plain, query=query, chunks=(b"",))
        assert reply.detail == detail
