"""The order of the late decision: form, caller, policies, content, resources (T38, THREATS 3.2)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from camguard.authn.credentials import Caller
from camguard.bundle import Bundle, make_bundle
from camguard.enforcement.early import EarlyJudge
from camguard.enforcement.lane import Lane
from camguard.enforcement.late import LateJudge
from camguard.enforcement.outcome import Judgement
from camguard.enforcement.request_tags import cut_tag_paths
from camguard.enforcement.resource_binding import cut_templates
from camguard.enforcement.target import Target
from camguard.engine.decision import Decision, Reason
from camguard.policy.document import parse_policy
from camguard.request.body import NOT_SHOWN, HeldBody, held_body
from camguard.request.body_formats import BodyFormat
from camguard.request.head import RequestHead
from camguard.request.params import Params
from camguard.request.rejection import BODY_NOT_SHOWN, Rejection, rejection
from camguard.settings import Settings
from tests.enforcement.test_request_tags import TAGGED as ASKED_TAGS
from tests.enforcement.test_request_tags import bundle_under as tagged_bundle
from tests.enforcement.test_request_tags import lines as tagged_lines
from tests.stage import (
    ALICE,
    BUNDLE,
    FROM_OFFICE,
    NOW,
    PRINCIPALS,
    SETTINGS,
    Broken,
    FixedCaller,
    FixedPolicies,
    Line,
    Request,
    reply_to,
    sdk,
)

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
STOPPER = "uin/100000000103"  # may stop ins-1
SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")


def form(**changes: Any) -> tuple[Line, ...]:
    return sdk(FROM_OFFICE, without=[b"x-tc-action"], content_type=FORM, **changes)


def stop(content_type: bytes = JSON) -> tuple[Line, ...]:
    """Return the lines of a signed call that stops instances."""
    return sdk(
        FROM_OFFICE,
        SIGNED,
        (b"x-tc-region", b"ap-guangzhou"),
        without=[b"x-tc-version"],
        host=b"cvm.tencentcloudapi.com",
        x_tc_action=b"StopInstances",
        content_type=content_type,
    )


NO_CALLER = rejection("signature_invalid")
DENIED = "uin/100000000102"

# Lines, body, caller, the detail of the first stage that refuses. Each row breaks two stages at once.
ORDER = [
    pytest.param(form(), b"%", NO_CALLER, "body_malformed", id="T38 a bad form before an unknown caller"),
    pytest.param(form(), b"A=1", NO_CALLER, "action_missing", id="T38 no action before an unknown caller"),
    pytest.param(
        form(), b"Action=QueryArea", NO_CALLER, "signature_invalid", id="T38 an unknown caller after a form"
    ),
    pytest.param(
        sdk(FROM_OFFICE, SIGNED),
        b'{"Action":"X"}',
        NO_CALLER,
        "signature_invalid",
        id="T38 an unknown caller before another action in the body",
    ),
    pytest.param(
        sdk(FROM_OFFICE, SIGNED),
        b'{"Action":"X"}',
        DENIED,
        "no_allow",
        id="T38 a denial before another action in the body",
    ),
    pytest.param(
        sdk(FROM_OFFICE, SIGNED), b'{"Action":"X"}', None, "action_conflict", id="another action in the body"
    ),
    pytest.param(
        stop(),
        b'{"InstanceIds":["ins-2"],"Action":"X"}',
        STOPPER,
        "action_conflict",
        id="T38 another action before a denied resource",
    ),
    pytest.param(stop(), b'{"InstanceIds":["ins-2"]}', STOPPER, "no_allow", id="a denied resource"),
    pytest.param(stop(), b'{"InstanceIds":["ins-1"]}', STOPPER, "allowed", id="an allowed resource"),
    pytest.param(stop(), b'{"InstanceIds":["ins-1"]', STOPPER, "body_malformed", id="a body that is no JSON"),
    pytest.param(stop(), b"[]", STOPPER, "no_allow", id="a body that names no resource"),
    pytest.param(form(), b"Action=QueryArea", None, "allowed", id="a form that names the action"),
    pytest.param(form(), b"Action=PayOrders", None, "explicit_deny", id="a form that names a denied action"),
    pytest.param(
        form(x_tc_action=b"QueryArea"), b"A=1", None, "allowed", id="a form beside the header of the action"
    ),
    pytest.param(
        form(x_tc_action=b"QueryArea"),
        b"Action=PayOrders",
        None,
        "action_conflict",
        id="a form and a header that disagree",
    ),
]


@pytest.mark.parametrize(("lines", "body", "caller", "detail"), ORDER)
def test_the_first_stage_that_refuses_decides(
    lines: tuple[Line, ...], body: bytes, caller: str | Rejection | None, detail: str
) -> None:
    authentication = FixedCaller(caller if isinstance(caller, str) else ALICE, body=True)
    if isinstance(caller, Rejection):
        authentication.found = caller
    reply = reply_to(authentication=authentication, lines=lines, chunks=(body,))
    assert reply.detail == detail
    assert reply.passed is (detail == "allowed")
    assert (reply.records[0].resources == ()) is isinstance(reply.records[0].decision, Rejection)


def test_a_call_that_was_decided_late_has_the_resources_of_its_body() -> None:
    reply = reply_to(
        authentication=FixedCaller(STOPPER, body=True),
        lines=stop(),
        chunks=(b'{"InstanceIds":["ins-1","72"]}',),
    )
    prefix = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/"
    assert reply.passed
    assert reply.records[0].resources == (f"{prefix}ins-1", f"{prefix}72")


# --- the judge by itself -----------------------------------------------------------------------------------

PASSING = Caller(ALICE, None, None, None)
STOPPING = Caller(STOPPER, None, None, None)
ROOT = Caller("uin/100000000001", None, None, None)
OCTETS = b"application/octet-stream"


def held(data: bytes) -> HeldBody:
    return held_body(data, Broken(AssertionError("the body was taken")))


class Services(FixedCaller):
    """An authentication whose signed requests name a service."""

    def __init__(self, found: Caller, service: str | None = None, *, body: bool = False) -> None:
        super().__init__(body=body)
        self.found, self.service = found, service

    def signed_service(self, head: RequestHead) -> str | None:
        del head
        return self.service


def judged_late(
    lines: tuple[Line, ...],
    body: HeldBody | None,
    authentication: FixedCaller,
    *,
    settings: Settings = SETTINGS,
    policies: Bundle = BUNDLE,
    shadow: bool = False,
    **more: Any,
) -> Judgement:
    """Return the late judgement on a request. more: of the request, and `for_proxy`."""
    parts = {"for_proxy": True} if more.pop("for_proxy", False) else {}
    early = EarlyJudge(settings, FixedPolicies(policies), authentication, Lane, compares=False)
    judged = early.judge(Request(lines=lines, **more).scope(), None, None, policies, NOW, 0.0, 1)
    assert judged.decision is None

    def passes(decision: Decision | Rejection, target: Target) -> bool:
        del target
        return shadow or bool(decision)

    late = LateJudge(settings, authentication, passes, **parts)
    return late.judge(judged, body, policies, early.targets, NOW)


GET: dict[str, Any] = {"method": "GET", "query": b"InstanceIds.0=ins-1", "chunks": (b"",)}
# lines, the body as a proxy shows it, its caller, whether a signature covers it, the detail, the request
SHOWN: list[Any] = [
    pytest.param(sdk(FROM_OFFICE, SIGNED), NOT_SHOWN, PASSING, False, "allowed", {},
                 id="T141 a call that is judged as a whole"),
    pytest.param(form(), NOT_SHOWN, PASSING, False, "action", {}, id="T141 a form that names the action"),
    pytest.param(form(x_tc_action=b"QueryArea"), NOT_SHOWN, PASSING, False, "signature", {},
                 id="T141 a form may carry a signature"),
    pytest.param(sdk(FROM_OFFICE, SIGNED), NOT_SHOWN, PASSING, True, "signature", {},
                 id="T141 a signature that covers the body"),
    pytest.param(sdk(FROM_OFFICE, SIGNED), held(b""), PASSING, True, "allowed", {},
                 id="T141 a body that a signature proves to be empty"),
    pytest.param(stop(), held(b""), STOPPING, True, "no_allow", {},
                 id="T141 resources in a body that a signature proves to be empty"),
    pytest.param(stop(), held(b""), STOPPING, False, "resources", {}, id="T141 resources in an empty body"),
    pytest.param(stop(), NOT_SHOWN, STOPPING, False, "resources", {}, id="T141 resources in a hidden body"),
    pytest.param(stop(), NOT_SHOWN, PASSING, False, "allowed", {},
                 id="T141 a caller who may call with every resource"),
    pytest.param(stop(), NOT_SHOWN, ROOT, False, "resources", {},
                 id="T141 the owner, which may use only what it owns"),
    pytest.param(stop(), held(b'{"InstanceIds":["ins-1"]}'), STOPPING, False, "allowed", {},
                 id="T141 a body that is shown"),
    pytest.param(stop(FORM), held(b""), STOPPING, False, "allowed", GET, id="T141 a GET has no body to hide"),
    pytest.param(stop(FORM), NOT_SHOWN, STOPPING, False, "allowed", GET,
                 id="T141 a GET whose body a proxy does not show"),
    pytest.param(sdk(FROM_OFFICE, SIGNED, content_type=OCTETS), None, PASSING, False, "allowed", {},
                 id="T141 a body that passes through"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "body", "caller", "covered", "expected", "more"), SHOWN)
def test_what_a_proxy_that_shows_no_body_may_let_pass(
    lines: tuple[Line, ...],
    body: HeldBody | None,
    caller: Caller,
    covered: bool,
    expected: str,
    more: dict[str, Any],
) -> None:
    judged = judged_late(lines, body, Services(caller, body=covered), for_proxy=True, **more)
    decision = judged.decision
    assert decision is not None
    part = BODY_NOT_SHOWN.get(expected)  # type: ignore[call-overload]  # `expected` names a part of a body, or a detail, which the mapping lacks
    if part is not None:
        assert (decision, judged.caller, judged.call) == (part, None, None)
        return
    assert (decision.detail or decision.reason) == expected
    assert (judged.caller, judged.claim, judged.kept, judged.of_head) == (caller, None, None, False)
    assert judged.call is not None
    if expected == "allowed" and lines == stop() and body is NOT_SHOWN:
        assert judged.call.resources == ("*",), "what is settled is not bound to resources"


# the body, whether the authentication needs it, the bytes that the authentication is given
GIVEN = [
    pytest.param(held(b"{}"), True, b"{}", id="a body that is shown"),
    pytest.param(held(b""), True, b"", id="a body that a signature proves to be empty"),
    pytest.param(held(b""), False, None, id="T141 an empty body that may be hidden"),
    pytest.param(NOT_SHOWN, False, None, id="T141 a body that is not shown"),
    pytest.param(None, False, None, id="a body that passes through"),
]


@pytest.mark.parametrize(("body", "covered", "data"), GIVEN)
def test_the_body_that_the_authentication_is_given(
    body: HeldBody | None, covered: bool, data: bytes | None
) -> None:
    authentication = Services(PASSING, body=covered)
    judged_late(sdk(FROM_OFFICE, SIGNED), body, authentication, for_proxy=True)
    assert [given for _, _, given, _, _ in authentication.requests] == [data]


def test_a_middleware_takes_an_empty_body_for_what_it_is() -> None:
    judged = judged_late(stop(), held(b""), Services(STOPPING))
    assert judged.decision is not None
    assert judged.decision.reason is Reason.NO_ALLOW


def bundle_of(*statements: tuple[str, str]) -> Bundle:
    """Return the usual bundle, with these effects and resources in place of its policies."""
    listed = [{"effect": effect, "action": "*", "resource": resource} for effect, resource in statements]
    text = json.dumps({"version": "2.0", "statement": listed})
    policies = {name: parse_policy(text, source=name) for name in ("office", "instances")}
    return make_bundle(policies, PRINCIPALS, BUNDLE.catalog)


SESSION = parse_policy(
    json.dumps({
        "version": "2.0",
        "statement": {
            "effect": "allow",
            "action": "*",
            "resource": "*",
            "condition": {"string_equal": {"cvm:region": "ap-guangzhou"}},
        },
    }),
    source="session",
)  # fmt: skip


@pytest.mark.parametrize(("session", "given"), [(None, None), (SESSION, {"cvm:region": ("ap-guangzhou",)})])
def test_a_session_policy_is_given_what_no_policy_of_the_bundle_names(session: Any, given: Any) -> None:
    caller = Caller(ALICE, None, session, "valid")
    judged = judged_late(stop(), held(b"{}"), Services(caller, body=True))
    assert judged.call is not None
    assert (judged.call.context, judged.call.request_tags) == (given, None)


def test_a_version_that_the_action_lacks_makes_no_call() -> None:
    lines = sdk(FROM_OFFICE, SIGNED, x_tc_version=b"2018-01-01")
    long = b'{"A": 1' + b" " * 65_536  # no JSON, which nothing reads because it holds no name that decides
    for body, detail in ((long, "version_unknown"), (b'{"Action":"X"}', "action_conflict")):
        judged = judged_late(lines, held(body), Services(PASSING, body=True), shadow=True)
        assert judged.decision is rejection(detail)
        assert judged.call is None


def test_a_call_whose_body_names_another_action_is_no_call() -> None:
    judged = judged_late(sdk(FROM_OFFICE, SIGNED), held(b'{"Action":"X"}'), Services(PASSING, body=True))
    assert (judged.decision, judged.call, judged.kept) == (rejection("action_conflict"), None, None)
    assert judged.caller == PASSING


SHARED_HOST = b"shared.example"
# how hosts are shared, the services with an upstream, the caller's signature, the service that is signed
SIGNED_SERVICES = [
    pytest.param("header", (), "valid", "partners", True, id="T123 a verified signature"),
    pytest.param("header", (), "claimed", "partners", False, id="T123 a signature that was not checked"),
    pytest.param("header", (), None, "partners", False, id="T123 no signature"),
    pytest.param("header", (), "valid", None, False, id="T123 a signature that names no service"),
    pytest.param("upstream", ("partners",), "valid", "partners", True, id="T123 a service with an upstream"),
    pytest.param("upstream", ("cvm",), "valid", "partners", False, id="T123 a service without an upstream"),
    pytest.param("upstream", ("cvm",), "valid", None, False, id="T123 no service, among some"),
    pytest.param(
        "upstream", (), "valid", "default", False, id="T123 the upstream of all others is no service"
    ),
]


@pytest.mark.parametrize(("by", "upstreams", "signature", "service", "passes"), SIGNED_SERVICES)
def test_over_a_shared_host_the_verified_signature_names_the_service(
    by: Any, upstreams: tuple[str, ...], signature: str | None, service: str | None, *, passes: bool
) -> None:
    hosts = replace(SETTINGS.hosts, shared=(SHARED_HOST.decode(),), shared_by=by)
    upstream = dict.fromkeys(("default", *upstreams), "http://127.0.0.1:9")
    settings = replace(SETTINGS, hosts=hosts, upstream=upstream)
    authentication = Services(Caller(ALICE, None, None, signature), service, body=True)
    lines = sdk(FROM_OFFICE, SIGNED, host=SHARED_HOST)
    judged = judged_late(lines, held(b"{}"), authentication, settings=settings)
    if passes:
        assert judged.decision
        assert judged.target.service == service
    else:
        assert judged.decision is rejection("service_unknown")


STOP = BUNDLE.catalog.actions["cvm:StopInstances"]
ON_INSTANCES = Target(
    body=BodyFormat("json"), action="StopInstances", resources=cut_templates(STOP, BUNDLE.owner)
)
FORM_ON_INSTANCES = replace(ON_INSTANCES, body=BodyFormat("form"))
AS_A_WHOLE = Target(body=BodyFormat("json"), action="QueryArea", reads_plain=False)
FLAT = (("InstanceIds.0", "ins-1"),)
NESTED = {"InstanceIds": ["ins-1"]}
OTHERS = (("InstanceIds.0", "ins-2"),)

# the target, the body, the parameters of a form or query, those of a query beside a form; what is found
CONTENTS = [
    pytest.param(AS_A_WHOLE, b'{"A": 1', (), (), None, id="a plain body is not read"),
    pytest.param(replace(AS_A_WHOLE, reads_plain=True), b'{"A": 1', (), (), None,
                 id="nor one that names nothing, where no parameter is wanted"),
    pytest.param(AS_A_WHOLE, b'{"Action":"X"}', (), (), "action_conflict", id="a body that names an action"),
    pytest.param(AS_A_WHOLE, b'{"Region":"ap-x"}', OTHERS, (), {"Region": "ap-x"},
                 id="a body beside a query, where no parameter is wanted"),
    pytest.param(replace(AS_A_WHOLE, body=BodyFormat("form")), b"A.0=1&A=2", FLAT, (), None,
                 id="a form of which no parameter is wanted"),
    pytest.param(replace(AS_A_WHOLE, body=None), None, FLAT, (), None,
                 id="a query of which no parameter is wanted"),
    pytest.param(ON_INSTANCES, b'{"InstanceIds":["ins-1"]}', (), (), NESTED, id="JSON"),
    pytest.param(ON_INSTANCES, b'{"InstanceIds":["ins-1"]}', OTHERS, (), ({"InstanceIds": ["ins-2"]}, NESTED),
                 id="JSON beside a query"),
    pytest.param(ON_INSTANCES, b"[]", OTHERS, (), None, id="JSON without members beside a query"),
    pytest.param(ON_INSTANCES, None, OTHERS, (), None, id="no body"),
    pytest.param(FORM_ON_INSTANCES, b"", FLAT, (), NESTED, id="a form"),
    pytest.param(FORM_ON_INSTANCES, b"", FLAT, OTHERS, ({"InstanceIds": ["ins-2"]}, NESTED),
                 id="a form beside a query"),
    pytest.param(replace(ON_INSTANCES, body=None), None, FLAT, FLAT, NESTED,
                 id="the query of a GET, which is its only place of parameters"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "body", "params", "beside_form", "found"), CONTENTS)
def test_what_a_request_says_of_its_resources(
    target: Target, body: bytes | None, params: Params, beside_form: Params, found: Any
) -> None:
    """The parameters of several places stand beside each other: an upstream may read any of them."""
    judge = LateJudge(SETTINGS, FixedCaller(), lambda decision, _: bool(decision))
    result = judge.content(target, None if body is None else held(body), params, beside_form)
    assert result == (rejection(found) if isinstance(found, str) else found)


TAGGED = replace(AS_A_WHOLE, body=BodyFormat("json"), tag_paths=cut_tag_paths(("Tags",)))


@pytest.mark.parametrize(("tags", "found"), [(True, {"Tags": []}), (False, None)])
def test_the_parameters_of_a_call_are_read_where_tags_are_wanted(*, tags: bool, found: Any) -> None:
    judge = LateJudge(SETTINGS, FixedCaller(), lambda decision, _: bool(decision))
    more: dict[str, Any] = {"tags": True} if tags else {}
    assert judge.content(replace(TAGGED, reads_plain=True), held(b'{"Tags": []}'), (), **more) == found


@pytest.mark.parametrize("tags", [True, False])
def test_a_body_with_a_name_like_that_of_a_resource_is_refused_whether_tags_are_wanted_or_not(
    *, tags: bool
) -> None:
    judge = LateJudge(SETTINGS, FixedCaller(), lambda decision, _: bool(decision))
    body = held(b'{"InstanceIds": ["ins-1"], "InstanceIds.0": "ins-2"}')
    assert judge.content(ON_INSTANCES, body, (), tags=tags) == rejection("param_ambiguous")


def test_t141_a_deny_of_one_resource_counts_where_the_body_is_not_shown() -> None:
    prefix = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/"
    policies = bundle_of(("allow", "*"), ("deny", f"{prefix}ins-1"))
    judged = judged_late(stop(), NOT_SHOWN, Services(PASSING), policies=policies, for_proxy=True)
    assert judged.decision is BODY_NOT_SHOWN["resources"]


def test_t141_the_owner_needs_no_body_for_an_action_without_resources() -> None:
    policies = tagged_bundle(ASKED_TAGS)
    lines = tagged_lines("Create", SIGNED)
    judged = judged_late(lines, NOT_SHOWN, Services(ROOT), policies=policies, for_proxy=True)
    assert judged.decision is not None
    assert judged.decision.reason is Reason.ALLOWED


@pytest.mark.parametrize(("name", "part"), [("Create", "tags"), ("Run", "resources")])
def test_t141_what_a_call_depends_on_in_a_body_that_is_not_shown(name: str, part: Any) -> None:
    policies = tagged_bundle(ASKED_TAGS)
    for body, covered in ((NOT_SHOWN, False), (held(b""), False)):
        authentication = Services(PASSING, body=covered)
        judged = judged_late(
            tagged_lines(name, SIGNED), body, authentication, policies=policies, for_proxy=True
        )
        assert judged.decision is BODY_NOT_SHOWN[part]
