"""What the deciding headers of a request come to, field by field, and what parameters add to it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import Caller
from camguard.bundle import make_bundle
from camguard.bundle.model import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.enforcement.target import NO_TARGET, Conditions, Target, Targets, agreed_action, targets_under
from camguard.header_names import SERVICE_HEADER
from camguard.ipset import AddressMap, parse_address
from camguard.policy.document import parse_policy
from camguard.request.body_formats import body_format
from camguard.request.client_address import AddressRules
from camguard.request.head import read_head
from camguard.request.params import Params
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import AttributesSettings, IdentitySettings, Settings
from tests.authn.signing import FORM, JSON, RULES
from tests.enforcement.test_request_tags import CATALOG as TAGGED_CATALOG
from tests.enforcement.test_shared_hosts import EVERYTHING
from tests.stage import ALICE, BUNDLE, CATALOG, HOST, OFFICE, PRINCIPALS, PROXY, changed, limits

AUTHENTICATION = authenticator(IdentitySettings(mode="header"), None)
PLACE = parse_address(OFFICE)
OCTETS = b"application/octet-stream"
QUERY_AREA = CATALOG.services["partners"].actions["QueryArea"]
CALLER = Caller(ALICE, None, None, None)
KEY: dict[str, Any] = {
    "method": "POST",
    "peer": PROXY,
    "host": HOST,
    "content_type": JSON.encode(),
    "action": b"QueryArea",
    "version": None,
    "region": None,
    "identity": ALICE.encode(),
    "attributes": None,
    "forwarded": OFFICE.encode(),
}
FOUND = Target(
    peer=PROXY,
    peer_trusted=True,
    source_ip=PLACE,
    judged_ip=PLACE,
    address_method="forwarded",
    service="partners",
    body=body_format(JSON.encode()),  # type: ignore[arg-type]  # a known content type
    body_limit=7,
    action="QueryArea",
    entry=QUERY_AREA,
    cam_names="partners:QueryArea",
    action_id="partners:QueryArea",
    caller=CALLER,
    start=(ALICE, "partners:QueryArea", PLACE),
    reads_plain=False,
    host=HOST.decode(),
)
BOUNDED = limits(form_bytes=5, body_bytes=7)


def targets(settings: Settings = BOUNDED, bundle: Bundle = BUNDLE, *, every_key: bool = False) -> Targets:
    known = AddressRules(settings.client_ip).known
    return targets_under(bundle, settings, known, AUTHENTICATION, every_key=every_key)


def found(settings: Settings = BOUNDED, bundle: Bundle = BUNDLE, **changes: Any) -> Target:
    """Return the target of the usual headers with some of them changed."""
    every_key = changes.pop("every_key", False)
    return targets(settings, bundle, every_key=every_key).known[tuple((KEY | changes).values())]


REGION = {"partners:region": ("ap-a",)}
NO_BODY = {"body": None, "body_limit": 0, "reads_plain": True}
NAMELESS = {"entry": None, "cam_names": "", "start": (ALICE, "partners:NotListed", PLACE)}
# What is changed in the headers; what is changed by it in the target
CHANGES = [
    pytest.param({}, {}, id="the usual headers"),
    pytest.param({"method": "GET"}, NO_BODY, id="a GET"),
    pytest.param(
        {"content_type": OCTETS},
        {"body": body_format(OCTETS), "octets": True, "reads_plain": True},
        id="octets",
    ),
    pytest.param(
        {"content_type": FORM.encode()},
        {
            "body": body_format(FORM.encode()),
            "body_limit": 5,
            "reads_plain": True,
            "caller": None,
            "start": None,
        },
        id="a form, which may be signed",
    ),
    pytest.param(
        {"region": b"ap-a"}, {"region": "ap-a", "fixed_region": "ap-a", "attributes": REGION}, id="a region"
    ),
    pytest.param(
        {"region": b"ap-a", "every_key": True},
        {"region": "ap-a", "fixed_region": "ap-a", "attributes": REGION, "context": REGION},
        id="a region, where every key is supplied",
    ),
    pytest.param(
        {"region": b"ap-a", "action": b"NotListed"},
        {
            "action": "NotListed",
            "action_id": "partners:NotListed",
            **NAMELESS,
            "region": "ap-a",
            "fixed_region": "ap-a",
            "attributes": REGION,
        },
        id="a region of an action that is not listed",
    ),
    pytest.param(
        {"version": b"2018-01-01", "region": b"ap-a"},
        {
            "action_id": rejection("version_unknown"),
            "start": rejection("version_unknown"),
            "region": "ap-a",
            "fixed_region": "ap-a",
        },
        id="another version",
    ),
    pytest.param(
        {"identity": None},
        {"caller": rejection("principal_missing"), "start": rejection("principal_missing")},
        id="no caller",
    ),
    pytest.param(
        {"identity": None, "version": b"2018-01-01"},
        {
            "caller": rejection("principal_missing"),
            "start": rejection("principal_missing"),
            "action_id": rejection("version_unknown"),
        },
        id="no caller and another version: the caller is judged first",
    ),
    pytest.param(
        {"peer": OFFICE},
        {
            "peer": OFFICE,
            "peer_trusted": False,
            "address_method": "peer",
            **dict.fromkeys(("caller", "start"), rejection("identity_header_untrusted")),
        },
        id="T69 a peer that is no trusted proxy",
    ),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_what_the_deciding_headers_come_to(change: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found(**change) == replace(FOUND, **expected)


FACTS = {
    name: getattr(FOUND, name)
    for name in ("peer", "peer_trusted", "source_ip", "judged_ip", "address_method", "host")
}
REJECTED = [
    pytest.param({"action": b"1"}, "action_invalid", {"service": "partners"}, id="an action that is none"),
    pytest.param(
        {"host": b"nothing.gw.example"}, "service_unknown", {"host": "nothing.gw.example"}, id="no service"
    ),
    pytest.param({"host": b"x y"}, "host_invalid", {"host": "x y"}, id="no host"),
    pytest.param({"host": b"x" * 300}, "host_invalid", {"host": "x" * 253}, id="a host that is cut"),
    pytest.param(
        {"forwarded": b"nowhere"},
        "client_ip_invalid",
        {"service": "partners", "source_ip": None, "judged_ip": None, "address_method": "invalid"},
        id="no address of the client",
    ),
    pytest.param(
        {"attributes": b"x"},
        "attributes_header_invalid",
        {"service": "partners"},
        id="T137 attributes of no form",
    ),
]


@pytest.mark.parametrize(("change", "detail", "facts"), REJECTED)
def test_what_a_rejected_head_keeps_for_its_record(
    change: dict[str, Any], detail: str, facts: dict[str, Any]
) -> None:
    settings = replace(
        BOUNDED, attributes=AttributesSettings(header="x-attributes", keys=frozenset({"cos:prefix"}))
    )
    assert found(settings, **change) == Target(rejection=rejection(detail), **{**FACTS, **facts})


def test_t123_over_a_shared_host_there_is_no_service_and_no_start_of_a_call() -> None:
    shared = replace(BOUNDED, hosts=replace(BOUNDED.hosts, shared=("gw.corp.example",)))
    target = found(shared, host=b"gw.corp.example")
    none: dict[str, Any] = {
        "service": None,
        "entry": None,
        "cam_names": "",
        "start": None,
        "host": "gw.corp.example",
    }
    assert target == replace(FOUND, **none, action_id=rejection("service_unknown"), shared=True)
    assert target.host_service is None
    rejected = found(shared, host=b"gw.corp.example", action=b"1")
    assert (rejected.service, rejected.rejection) == (None, rejection("action_invalid"))


def test_t132_policies_are_compared_with_the_address_at_the_egress() -> None:
    egress = changed("client_ip", egress=AddressMap.of({OFFICE: "192.0.2.1"}))
    target = found(egress)
    assert target.source_ip == PLACE
    assert target.egress_ip == target.judged_ip != PLACE
    assert target.start == (ALICE, "partners:QueryArea", target.egress_ip)


def test_a_resource_is_named_by_the_body_so_no_call_begins_before_it() -> None:
    target = found(host=b"cvm.gw.example", action=b"StopInstances")
    assert target.resources is not None
    assert (target.start, target.reads_plain) == (None, True)


def under(condition: dict[str, Any]) -> Bundle:
    text = {"effect": "allow", "action": "*", "resource": "*", "condition": condition}
    document = f'{{"version": "2.0", "statement": [{text}]}}'.replace("'", '"')
    policies = {name: parse_policy(document, source=f"{name}.json") for name in ("office", "instances")}
    return make_bundle(policies, PRINCIPALS, TAGGED_CATALOG)


PATHS = ((("Tags", False),),)
UNTAGGED = under({"string_equal": {"vm:region": "ap-a"}})
TAGGED = under({"for_any_value:string_equal": {"qcs:request_tag": "a&b"}})
REGIONAL = {"vm:region": ("ap-a",)}
# Policies, action, region, whether every key is supplied; paths of tags, whether they are asked for, the
# context, the region that parameters may not contradict, and whether the call begins with the head
ASKED = [
    pytest.param(UNTAGGED, "Tag", "ap-a", False, ((), False, REGIONAL, "ap-a", True), id="no tags"),
    pytest.param(
        UNTAGGED, "Own", "ap-a", False, ((), False, REGIONAL, None, True), id="DEC-64 its own Region"
    ),
    pytest.param(
        UNTAGGED, "Create", "ap-a", False, (PATHS, False, REGIONAL, "ap-a", True), id="tags not asked"
    ),
    pytest.param(
        TAGGED, "Create", "ap-a", False, (PATHS, True, None, "ap-a", False), id="DEC-65 tags asked for"
    ),
    pytest.param(TAGGED, "Tag", "", False, ((), False, None, None, True), id="no region, no tags"),
    pytest.param(UNTAGGED, "Create", "ap-a", True, (PATHS, True, REGIONAL, "ap-a", False), id="every key"),
]


@pytest.mark.parametrize(("bundle", "name", "region", "every_key", "expected"), ASKED)
def test_what_policies_ask_for(
    bundle: Bundle, name: str, region: str, every_key: bool, expected: tuple[Any, ...]
) -> None:
    headers = {"host": b"vm.gw.example", "action": name.encode(), "region": region.encode() or None}
    target = found(BOUNDED, bundle, every_key=every_key, **headers)
    begins = target.start is not None
    facts = (target.tag_paths, target.reads_tags, target.context, target.fixed_region, begins)
    assert facts == expected
    assert target.reads_plain is bool(target.tag_paths)


# The keys that policies name, None: every one; a key; whether it is asked for
NAMED = [(None, True), (frozenset({"a:b"}), True), (frozenset({"a:c"}), False), (frozenset(), False)]


@pytest.mark.parametrize(("named", "expected"), NAMED, ids=str)
def test_a_key_is_asked_for_where_a_policy_names_it(named: frozenset[str] | None, expected: bool) -> None:
    assert Conditions(named=named).names("a:b") is expected


def test_nothing_is_listed_or_asked_for_unless_somebody_says_so() -> None:
    assert Conditions() == (frozenset(), frozenset())


def test_nothing_is_known_of_a_request_without_a_target() -> None:
    empty = {"body_limit": 0, "cam_names": "", "action_id": "", "region": "", "reads_plain": True}
    no = dict.fromkeys(("peer_trusted", "shared", "octets", "reads_tags"), False)
    none = dict.fromkeys((each.name for each in fields(Target)), None) | {"tag_paths": (), "added": ()}
    assert {each.name: getattr(NO_TARGET, each.name) for each in fields(Target)} == none | empty | no


def test_t137_what_a_proxy_supplies_stands_beside_the_region() -> None:
    listed = AttributesSettings(header="x-attributes", keys=frozenset({"cos:prefix"}))
    target = found(replace(BOUNDED, attributes=listed), attributes=b'{"cos:prefix":"a"}', region=b"ap-a")
    assert target.attributes == {"cos:prefix": ("a",), **REGION}


def test_dec_68_the_region_is_supplied_for_the_names_that_policies_are_asked_for() -> None:
    target = found(BOUNDED, EVERYTHING, host=b"cbs.gw.example", action=b"AttachDisks", region=b"ap-a")
    assert (target.cam_names, target.attributes) == ("cvm:AttachDisks", {"cvm:region": ("ap-a",)})


def test_dec_68_the_region_is_supplied_for_each_service_of_several_names() -> None:
    names = ("cvm:StopInstances", "cbs:StopInstances")
    known = KnownServices(rows={"vpc:StopInstances": CamNames(names, sure=True)})
    served = replace(BUNDLE.catalog, known=known)
    everything = make_bundle(dict(BUNDLE.policies), PRINCIPALS, served)
    target = found(BOUNDED, everything, host=b"vpc.gw.example", action=b"StopInstances", region=b"ap-a")
    assert target.cam_names == ",".join(names)
    assert target.attributes == {"cvm:region": ("ap-a",), "cbs:region": ("ap-a",)}


def test_the_service_of_a_host_is_told_from_a_shared_host_and_from_no_service() -> None:
    served = (Target(service="partners"), Target(), Target(service="partners", shared=True))
    assert [target.host_service for target in served] == ["partners", "", None]


@pytest.mark.parametrize(("more", "kept"), [(0, 1), (1, 0)], ids=["1536 bytes", "1537 bytes"])
def test_t101_what_is_longer_than_any_call_needs_is_not_kept(more: int, kept: int) -> None:
    """Each value counts 40 bytes besides its own."""
    these = targets()
    fixed = sum(len(each or "") for each in KEY.values()) - len(KEY["forwarded"]) + 40 * len(KEY)
    forwarded = OFFICE.encode().ljust(1536 - fixed + more, b" ")
    assert these.known[tuple((KEY | {"forwarded": forwarded}).values())].service == "partners"
    assert len(these.known) == kept


def head_with(region: str | None, *, action: str | None = "QueryArea", signed: bool = False) -> Any:
    lines = [("host", "gateway.example"), ("content-type", JSON), ("x-forwarded-for", OFFICE)]
    lines += [("x-tc-action", action)] if action else []
    lines += [("x-tc-region", region)] if region is not None else []
    lines += [("authorization", "x")] if signed else []
    headers = [(name.encode(), value.encode()) for name, value in lines]
    scope = {"method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "http_version": "1.1"}
    return read_head({**scope, "headers": headers, "client": (PROXY, 9)}, RULES)


ACTION = ("Action", "QueryArea")
# Region of the header, whether TC3 signs the request, action of the header, parameters; region and rejection
BESIDE = [
    pytest.param("ap-a", False, "QueryArea", (), "ap-a", None, id="no parameters"),
    pytest.param("ap-a", False, "QueryArea", (("Region", "ap-a"),), "ap-a", None, id="DEC-64 the same"),
    pytest.param(
        "ap-a", False, "QueryArea", (("Region", "ap-b"),), "ap-a", "region_invalid", id="DEC-64 another one"
    ),
    pytest.param(
        "ap-a",
        False,
        "QueryArea",
        (("Limit", "1"), ("Region", "ap-b")),
        "ap-a",
        "region_invalid",
        id="DEC-64 another one behind a harmless parameter",
    ),
    pytest.param(
        "ap-a", False, "QueryArea", (("Limit", "ap-b"),), "ap-a", None, id="another parameter of that value"
    ),
    pytest.param(None, False, "QueryArea", (("Region", "ap-b"),), "", None, id="a region beside none"),
    pytest.param(None, False, "QueryArea", (ACTION, ("Region", "ap-b")), "ap-b", None, id="with the action"),
    pytest.param(None, False, None, (ACTION, ("Region", "ap-b")), "ap-b", None, id="with the only action"),
    pytest.param(
        None,
        True,
        "QueryArea",
        (ACTION, ("Region", "ap-b")),
        "",
        None,
        id="DEC-64 under TC3: the header",
    ),
]


@pytest.mark.parametrize(("region", "signed", "action", "params", "expected", "detail"), BESIDE)
@pytest.mark.parametrize("service", [None, "partners"], ids=["its own host", "T123 a shared host"])
def test_what_parameters_add(
    region: str | None,
    signed: bool,
    action: str | None,
    params: Params,
    expected: str,
    detail: str | None,
    service: str | None,
) -> None:
    head = head_with(region, action=action, signed=signed)
    hosts = replace(BOUNDED.hosts, shared=("gateway.example",))
    if service is None:
        head = head._replace(target_key=(*head.target_key[:2], HOST, *head.target_key[3:]), host=HOST)
    target = targets(replace(BOUNDED, hosts=hosts)).with_parameters(head, params, b"QueryArea", service)
    assert (target.service, target.action, target.shared) == ("partners", "QueryArea", service is not None)
    assert target.added == (() if service is None else ((SERVICE_HEADER, b"partners"),))
    assert target.host == head.host.decode()
    if detail is None:
        assert (target.rejection, target.region) == (None, expected)
    else:
        assert target.rejection is rejection(detail)


def test_where_nothing_names_the_action_parameters_still_name_the_version() -> None:
    head = head_with(None, action=None)
    head = head._replace(target_key=(*head.target_key[:2], HOST, *head.target_key[3:]))
    for params, detail in (((), "action_missing"), ((("Version", "latest"),), "version_invalid")):
        assert targets().with_parameters(head, params, None).rejection is rejection(detail)


CARRIED = [
    pytest.param(None, (), None, id="no header and no parameter has a value"),
    pytest.param(b"A", (), b"A", id="the header alone"),
    pytest.param(None, (("Action", "A"),), b"A", id="a parameter alone"),
    pytest.param(b"A", (("Action", "A"),), b"A", id="both agree"),
    pytest.param(b"A", (("Action", "B"),), rejection("action_conflict"), id="T23 they differ"),
    pytest.param(b"A", (("action", "A"),), rejection("action_alias"), id="T27 a twin"),
]


@pytest.mark.parametrize(("carried", "params", "expected"), CARRIED)
def test_the_action_on_which_carriers_agree(
    carried: bytes | None, params: Params, expected: bytes | Rejection | None
) -> None:
    assert agreed_action(carried, params) == expected
