"""Action, service, region, version: T23 to T47 (THREATS 3.2, THREATS 3.3)."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from camguard.catalog.labels import ApiAction
from camguard.catalog.model import Granularity
from camguard.enforcement.service_index import ACTION_NAME, ServiceIndex
from camguard.engine.decision import Reason
from camguard.policy.resources import Owner
from camguard.request.params import parse_params
from camguard.request.rejection import Rejection, rejection
from camguard.settings import HostsSettings, LimitsSettings
from tests.stage import (
    CATALOG,
    FROM_OFFICE,
    QUIET,
    Play,
    Reply,
    action,
    bundle,
    enforcement,
    limits,
    reply_to,
    sdk,
)
from tests.stage import FixedPolicies as Store

FORM = b"application/x-www-form-urlencoded"


def get(query: bytes, action: bytes | None = None, **named: bytes) -> Reply:
    lines = sdk(FROM_OFFICE, without=[b"x-tc-action"], content_type=FORM, **named)
    lines += ((b"x-tc-action", action),) if action is not None else ()
    return reply_to(lines=lines, method="GET", query=query, chunks=(b"",))


def form(body: bytes, action: bytes | None = None, query: bytes = b"") -> Reply:
    lines = sdk(FROM_OFFICE, without=[b"x-tc-action"], content_type=FORM)
    lines += ((b"x-tc-action", action),) if action is not None else ()
    return reply_to(lines=lines, chunks=(body,), query=query)


# action header, query of a GET, detail
CARRIERS = [
    pytest.param(b"QueryArea", b"", "allowed", id="the header alone"),
    pytest.param(None, b"Action=QueryArea&Version=2022-09-28", "allowed", id="the query alone"),
    pytest.param(b"QueryArea", b"Action=QueryArea", "allowed", id="THREATS 3.2.1 header and query agree"),
    pytest.param(None, b"", "action_missing", id="THREATS 3.2.1 no carrier"),
    pytest.param(b"", b"", "action_missing", id="THREATS 3.2.1 an empty header"),
    pytest.param(None, b"Action=", "action_missing", id="THREATS 3.2.1 an empty parameter"),
    pytest.param(None, b"Action", "action_missing", id="THREATS 3.2.1 a parameter without a value"),
    pytest.param(b"QueryArea", b"Action", "action_conflict", id="T23 the header and an empty parameter"),
    pytest.param(
        b"QueryArea", b"Action=DeleteBudget", "action_conflict", id="T23 header and query actions differ"
    ),
    pytest.param(b"DeleteBudget", b"Action=QueryArea", "action_conflict", id="T23 and the other way round"),
    pytest.param(b"QueryArea", b"Action=queryarea", "action_conflict", id="T23 they differ in case"),
    pytest.param(
        b"QueryArea", b"Action=QueryArea&Action=QueryArea", "action_duplicate", id="T27 twice in the query"
    ),
    pytest.param(b"QueryArea", b"action=DeleteBudget", "action_alias", id="T27 a lower-case twin"),
    pytest.param(b"QueryArea", b"%61ction=DeleteBudget", "action_alias", id="T27 a percent-encoded twin"),
    pytest.param(
        b"QueryArea", b"%41ction=QueryArea", "allowed", id="T27 percent-encoded, and decoded once the same"
    ),
    pytest.param(
        b"QueryArea", b"%41ction=PayOrders", "action_conflict", id="T27 percent-encoded, and different"
    ),
    pytest.param(b"QueryArea", b"%2541ction=PayOrders", "action_alias", id="T32 twice encoded"),
    pytest.param(b"QueryArea", b"Action%00=PayOrders", "query_malformed", id="T27 a NUL behind the name"),
    pytest.param(b"QueryArea", b"Action[]=PayOrders", "action_alias", id="T27 brackets"),
    pytest.param(b"QueryArea", b"Act%C4%B1on=PayOrders", "action_alias", id="T27 an i without its dot"),
    pytest.param(b"QueryArea", b"ACT%C4%B0ON=PayOrders", "action_alias", id="T27 an I with one"),
    pytest.param(
        b"QueryArea", b"Action%5B0%5D=PayOrders", "action_alias", id="T27 encoded brackets, with a number"
    ),
    pytest.param(b"QueryArea", b"+Action=PayOrders", "action_alias", id="T27 a blank before the name"),
    pytest.param(b"QueryArea", b"Action%20=PayOrders", "action_alias", id="T27 a blank behind the name"),
    pytest.param(b"QueryArea", b"%EF%BC%A1ction=PayOrders", "action_alias", id="T32 a full-width letter"),
    pytest.param(b"QueryArea", b"%C2%A0Action=PayOrders", "action_alias", id="T32 a no-break space"),
    pytest.param(b"QueryArea", b"Actions=PayOrders", "allowed", id="another name"),
    pytest.param(b"QueryArea", b"a=1;Action=PayOrders", "query_malformed", id="T28 a semicolon"),
    pytest.param(b"QueryArea", b"a=%zz", "query_malformed", id="T29 a bad escape"),
    pytest.param(b"QueryArea", b"a=%4", "query_malformed", id="T29 half an escape"),
    pytest.param(b"QueryArea", b"a=%ff", "query_malformed", id="T32 bad UTF-8"),
    pytest.param(b"QueryArea", b"a=%c1%81", "query_malformed", id="T32 overlong UTF-8"),
    pytest.param(b"QueryArea", b"a=b c", "query_malformed", id="THREATS 3.2.5 a raw blank"),
    pytest.param(b"QueryArea", b"a=\xe4", "query_malformed", id="THREATS 3.2.5 a raw byte above ASCII"),
    pytest.param(b"QueryArea", b"a#b", "query_malformed", id="T39 a raw fragment"),
    pytest.param(b"QueryArea", b"a=1&&b=2&=3&c", "allowed", id="THREATS 3.2.5 empty and bare parameters"),
    pytest.param(b"QueryArea", b"&".join([b"a=1"] * 1000), "allowed", id="T38 a thousand parameters"),
    pytest.param(b"QueryArea", b"&".join([b"a=1"] * 1001), "too_many_params", id="T38 a thousand and one"),
    pytest.param(b"PayOrders,QueryArea", b"", "action_invalid", id="T25 two in one value"),
    pytest.param(b"payorders", b"", "action_unknown", id="T30 another case"),
    pytest.param(b"QueryArea\n", b"", "header_malformed", id="T31 a trailing newline"),
    pytest.param(b"QueryArea ", b"", "action_invalid", id="T31 a trailing blank, which httptools keeps"),
    pytest.param(b"QueryArea\t", b"", "header_malformed", id="T31 a trailing tab"),
    pytest.param(b"QueryArea\xc2\xa0", b"", "action_invalid", id="T31 a no-break space"),
    pytest.param(None, b"Action=QueryArea%0A", "action_invalid", id="T31 an encoded newline"),
    pytest.param(None, b"Action=Query%2541rea", "action_invalid", id="T32 twice encoded"),
    pytest.param(None, b"Action=Query+Area", "action_invalid", id="T32 a plus"),
    pytest.param(None, b"Action=Query%00Area", "action_invalid", id="T32 a NUL"),
    pytest.param(None, b"Action=Query%D0%90rea", "action_invalid", id="T32 a homoglyph"),
    pytest.param(b"*", b"", "action_invalid", id="T33 a star"),
    pytest.param(b"Query*", b"", "action_invalid", id="T33 a pattern"),
    pytest.param(b"partners:QueryArea", b"", "action_invalid", id="T34 the service in the action"),
    pytest.param(b"TextToImage", b"", "action_unknown", id="T34 another product's action"),
    pytest.param(b"1Query", b"", "action_invalid", id="THREATS 3.2.4 a digit first"),
    pytest.param(b"A" * 64, b"", "action_unknown", id="THREATS 3.2.4 sixty-four letters"),
    pytest.param(b"A" * 65, b"", "action_invalid", id="THREATS 3.2.4 sixty-five letters"),
    pytest.param(b"A" * 9000, b"", "action_invalid", id="T38 nine kilobytes"),
]


@pytest.mark.parametrize(("action", "query", "detail"), CARRIERS)
def test_carriers(action: bytes | None, query: bytes, detail: str) -> None:
    reply = get(query, action)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


# body of a form, action header, query, detail
FORMS = [
    pytest.param(b"Action=QueryArea&A=1", None, b"", "allowed", id="the form alone"),
    pytest.param(b"Action=QueryArea", b"QueryArea", b"", "allowed", id="form and header agree"),
    pytest.param(b"A=1", b"QueryArea", b"", "allowed", id="the header beside a form"),
    pytest.param(b"Region=x&Version=y", b"QueryArea", b"", "allowed", id="parameters of the action's own"),
    pytest.param(b"A=1", None, b"", "action_missing", id="THREATS 3.2.1 no carrier"),
    pytest.param(b"", None, b"", "action_missing", id="THREATS 3.2.1 an empty form"),
    pytest.param(b"Action=", None, b"", "action_missing", id="THREATS 3.2.1 an empty value"),
    pytest.param(
        b"Action=DeleteBudget", b"QueryArea", b"", "action_conflict", id="T23 form and header differ"
    ),
    pytest.param(
        b"Action=DeleteBudget", None, b"Action=QueryArea", "action_conflict", id="T23 form and query differ"
    ),
    pytest.param(
        b"Action=QueryArea&Action=QueryArea", None, b"", "action_duplicate", id="T27 twice in the form"
    ),
    pytest.param(
        b"Action=QueryArea&action=PayOrders", None, b"", "action_alias", id="T27 a twin in the form"
    ),
    pytest.param(b"Action=QueryArea;a=1", None, b"", "body_malformed", id="T28 a semicolon"),
    pytest.param(b"Action=QueryArea&a=%zz", None, b"", "body_malformed", id="T29 a bad escape"),
    pytest.param(b"Action=QueryArea\n", None, b"", "body_malformed", id="T31 a trailing newline"),
    pytest.param(b"Action=queryarea", None, b"", "action_unknown", id="T30 another case"),
    pytest.param(b"Action=Query*", None, b"", "action_invalid", id="T33 a pattern"),
    pytest.param(b"Action=PayOrders", None, b"", "explicit_deny", id="what the policy denies"),
    pytest.param(
        b"a=" + b"x" * 1048575, b"QueryArea", b"", "body_too_large", id="THREATS 3.5.6 a form above 1 MiB"
    ),
]


@pytest.mark.parametrize(("body", "action", "query", "detail"), FORMS)
def test_forms(body: bytes, action: bytes | None, query: bytes, detail: str) -> None:
    reply = form(body, action, query)
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


# host, action, detail
HOSTS = [
    pytest.param(b"partners.tencentcloudapi.com", "allowed", id="the service's host"),
    pytest.param(b"partners.tencentcloudapi.com:443", "allowed", id="a port"),
    pytest.param(b"partners.tencentcloudapi.com:1", "allowed", id="the first port"),
    pytest.param(b"partners.gw.example:8080", "allowed", id="the gateway's own domain, with its port"),
    pytest.param(b"PARTNERS.TencentCloudAPI.com", "allowed", id="T44 case does not matter"),
    pytest.param(b"partners.ap-guangzhou.tencentcloudapi.com", "allowed", id="a regional host"),
    pytest.param(b"partners.ap-shanghai-fsi.tencentcloudapi.com", "allowed", id="a finance zone"),
    pytest.param(b"partners.internal.tencentcloudapi.com", "allowed", id="the internal host"),
    pytest.param(b"partners.internal.ap-beijing.tencentcloudapi.com", "allowed", id="internal and regional"),
    pytest.param(b"partners.intl.tencentcloudapi.com", "allowed", id="the international host"),
    pytest.param(b"aiart.tencentcloudapi.com", "action_unknown", id="T34 another product's host"),
    pytest.param(b"", "host_missing", id="T42 an empty host"),
    pytest.param(b"partners.tencentcloudapi.com:", "host_invalid", id="T43 an empty port"),
    pytest.param(b"partners.tencentcloudapi.com:0", "host_invalid", id="T43 port 0"),
    pytest.param(b"partners.tencentcloudapi.com:000443", "host_invalid", id="T43 a port of six digits"),
    pytest.param(b"partners.tencentcloudapi.com:65536", "host_invalid", id="T43 a port that is none"),
    pytest.param(b"partners.tencentcloudapi.com/x", "host_invalid", id="T43 a path"),
    pytest.param(b"partners.tencentcloudapi.com?x", "host_invalid", id="T43 a query"),
    pytest.param(b"user@partners.tencentcloudapi.com", "host_invalid", id="T43 userinfo"),
    pytest.param(b"http://partners.tencentcloudapi.com", "host_invalid", id="T43 a scheme"),
    pytest.param(b"partners.tencentcloudapi.com,x", "host_invalid", id="T43 a list"),
    pytest.param(b"partners.tencentcloudapi.com ", "host_invalid", id="T43 a trailing blank"),
    pytest.param(b"partners.tencentcloudapi.com\xc2\xa0", "host_invalid", id="T43 not ASCII"),
    pytest.param(b"a" * 254, "host_invalid", id="T43 254 characters"),
    pytest.param(b"partners.tencentcloudapi.com.", "service_unknown", id="T44 a trailing dot"),
    pytest.param(b"partners.tencentcloudapi.com.evil.com", "service_unknown", id="T44 a longer suffix"),
    pytest.param(b"partnersxtencentcloudapi.com", "service_unknown", id="T44 a dot is a dot"),
    pytest.param(b"eviltencentcloudapi.com", "service_unknown", id="T44 no dot before the root"),
    pytest.param(b"tencentcloudapi.com", "service_unknown", id="T44 the root alone"),
    pytest.param(b".tencentcloudapi.com", "service_unknown", id="T44 an empty service"),
    pytest.param(b"x.partners.tencentcloudapi.com", "service_unknown", id="T44 a label before the service"),
    pytest.param(b"partners.x.tencentcloudapi.com", "service_unknown", id="T44 a label that is no region"),
    pytest.param(
        b"nothing.tencentcloudapi.com", "service_unknown", id="THREATS 3.3.3 a service that is not listed"
    ),
    pytest.param(b"partners", "service_unknown", id="T45 a bare name"),
    pytest.param(b"localhost:8080", "service_unknown", id="T45 localhost"),
    pytest.param(b"127.0.0.1", "service_unknown", id="T45 an address"),
    pytest.param(b"[::1]:8080", "service_unknown", id="T45 an IPv6 address"),
    pytest.param(b"169.254.169.254", "service_unknown", id="T45 a metadata service"),
    pytest.param(b"[059abcdef:ABCDEF.]", "service_unknown", id="T45 every sign in brackets"),
    pytest.param(b"[g]", "host_invalid", id="T45 a letter in brackets that is no digit"),
    pytest.param(b"azAZ09._-", "service_unknown", id="every sign of a name"),
    pytest.param(b"a" * 253, "service_unknown", id="253 letters"),
    pytest.param(b"a" * 253 + b":65535", "service_unknown", id="253 letters and the last port"),
    pytest.param(b"a" * 254, "host_invalid", id="254 letters"),
]


@pytest.mark.parametrize(("host", "detail"), HOSTS)
def test_hosts(host: bytes, detail: str) -> None:
    """The hosts of CAM 14.1, and what only resembles them."""
    reply = reply_to(lines=sdk(FROM_OFFICE, host=host))
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")
    if reply.passed:
        assert reply.reached[0][0]["camguard.service"] == "partners"


# header, value, detail
WORDS = [
    pytest.param({"x_tc_region": b"ap-guangzhou"}, "allowed", id="a region"),
    pytest.param({"x_tc_region": b""}, "allowed", id="T122 an empty region"),
    pytest.param({"x_tc_region": b" "}, "region_invalid", id="T122 a region of a blank"),
    pytest.param({"x_tc_version": b""}, "allowed", id="T122 an empty version"),
    pytest.param({"x_tc_language": b""}, "allowed", id="T122 an empty language"),
    pytest.param({"x_tc_action": b""}, "action_missing", id="T122 an action that is empty"),
    pytest.param({"x_tc_region": b"null"}, "allowed", id="T133 the text null, as the Node SDK sends it"),
    pytest.param({"x_tc_region": b"Null"}, "region_invalid", id="T133 in another letter case"),
    pytest.param({"x_tc_region": b"null "}, "region_invalid", id="T133 with a blank"),
    pytest.param({"x_tc_region": b"null,null"}, "region_invalid", id="T133 twice in one line"),
    pytest.param({"x_tc_region": b"undefined"}, "region_invalid", id="T133 another word for nothing"),
    pytest.param({"x_tc_version": b"null"}, "version_invalid", id="T133 in the version"),
    pytest.param({"x_tc_action": b"null"}, "action_unknown", id="T133 as an action"),
    pytest.param({"x_tc_region": b"ap-guangzhou "}, "region_invalid", id="THREATS 3.3.4 a trailing blank"),
    pytest.param({"x_tc_region": b"AP-guangzhou"}, "region_invalid", id="THREATS 3.3.4 upper case"),
    pytest.param({"x_tc_region": b"ap-*"}, "region_invalid", id="THREATS 3.3.4 a star"),
    pytest.param(
        {"x_tc_region": b"a:b"}, "region_invalid", id="THREATS 3.3.4 a colon, which would shift segments"
    ),
    pytest.param({"x_tc_version": b"2022-09-28"}, "allowed", id="the version listed"),
    pytest.param({"x_tc_version": b"2018-01-01"}, "version_unknown", id="DEC-50 another version"),
    pytest.param({"x_tc_version": b"latest"}, "version_invalid", id="DEC-50 no version"),
    pytest.param(
        {"x_tc_version": b"2018-01-01", "x_tc_action": b"QueryUser", "host": b"partners.gw.example"},
        "no_allow",
        id="a version where none is listed",
    ),
]


@pytest.mark.parametrize(("named", "detail"), WORDS)
def test_region_and_version(named: dict[str, Any], detail: str) -> None:
    reply = reply_to(lines=sdk(FROM_OFFICE, **named))
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")


# query of a GET that names its action, detail
VERSION_ONE = [
    pytest.param(
        b"Action=QueryArea&Version=2022-09-28&Region=ap-guangzhou", "allowed", id="as v1 clients send"
    ),
    pytest.param(b"Action=QueryArea&Version=2018-01-01", "version_unknown", id="another version"),
    pytest.param(b"Action=QueryArea&Version=latest", "version_invalid", id="no version"),
    pytest.param(b"Action=QueryArea&Region=*", "region_invalid", id="no region"),
    pytest.param(b"Action=QueryArea&Region=", "allowed", id="T122 an empty region, as Go and Ruby send it"),
    pytest.param(b"Action=QueryArea&Region", "allowed", id="T122 T133 a region without an equals sign"),
    pytest.param(b"Action=QueryArea&Version=&Region=", "allowed", id="T122 an empty version"),
    pytest.param(b"Action=QueryArea&Token=&Language=", "allowed", id="T122 an empty token and language"),
    pytest.param(b"Action=QueryArea&Region=&Region", "param_ambiguous", id="T122 an empty region twice"),
    pytest.param(b"Action=QueryArea&Region=&region=", "param_ambiguous", id="T122 in another letter case"),
    pytest.param(b"Action=&Region=", "action_missing", id="T122 an empty action stays missing"),
    pytest.param(b"Action=QueryArea&Region=null", "region_invalid", id="T133 null as a parameter"),
    pytest.param(b"Action=QueryArea&Region=%6Eull", "region_invalid", id="T133 null as an escaped parameter"),
    pytest.param(b"Action=QueryArea&Version=null", "version_invalid", id="T133 null as a version"),
    pytest.param(b"Action=QueryArea&Region=ap-a&Region=ap-b", "param_ambiguous", id="DEC-50 two regions"),
    pytest.param(
        b"Action=QueryArea&Region=ap-a&Region=ap-a", "param_ambiguous", id="DEC-50 one region twice"
    ),
]


@pytest.mark.parametrize(("query", "detail"), VERSION_ONE)
def test_version_and_region_stand_where_the_action_stands(query: bytes, detail: str) -> None:
    """CAM 14.2."""
    lines = sdk(FROM_OFFICE, without=[b"x-tc-action", b"x-tc-version"], content_type=FORM)
    assert reply_to(lines=lines, method="GET", query=query, chunks=(b"",)).detail == detail
    assert reply_to(lines=lines, chunks=(query,)).detail == detail
    beside = (*lines, (b"x-tc-region", b"ap-beijing"))
    if b"Region" in query:
        twice = "param_ambiguous" if query.lower().count(b"region") > 1 else "region_invalid"
        assert reply_to(lines=beside, method="GET", query=query, chunks=(b"",)).detail == twice


REGIONS = [
    pytest.param(b"Action=QueryArea&Region=ap-a", b"", None, "region_invalid", id="the header names another"),
    pytest.param(b"Action=QueryArea&Version=2018-01-01", b"", None, "version_invalid", id="another version"),
    pytest.param(b"Action=QueryArea&Region=ap-b", b"", None, "allowed", id="the header names the same"),
    pytest.param(b"", b"Action=QueryArea&Region=ap-a", FORM, "region_invalid", id="form and header"),
    pytest.param(b"Action=QueryArea&Region=ap-a", b"A=1", FORM, "region_invalid", id="a query beside a form"),
    pytest.param(b"Action=QueryArea", b"Region=ap-a", FORM, "region_invalid", id="a form beside a query"),
    pytest.param(b"Action=QueryArea", b"Region=ap-b", FORM, "allowed", id="all the same"),
]


@pytest.mark.parametrize(("query", "body", "kind", "detail"), REGIONS)
@pytest.mark.parametrize("without", [(), (b"x-tc-action",)], ids=["action header", "none"])
def test_all_carriers_of_the_action_carry_the_same_region_and_version(
    query: bytes, body: bytes, kind: bytes | None, detail: str, without: tuple[bytes, ...]
) -> None:
    lines = sdk(FROM_OFFICE, without=without, x_tc_region=b"ap-b", **({"content_type": kind} if kind else {}))
    assert reply_to(lines=lines, query=query, chunks=(body,)).detail == detail


# X-TC-Region, query or form, detail: both name the action
BESIDE = [
    pytest.param(b"", b"Action=QueryArea&Region=", "allowed", id="T122 empty in both"),
    pytest.param(b"", b"Action=QueryArea", "allowed", id="T122 empty in the header alone"),
    pytest.param(b"", b"Action=QueryArea&Region=ap-a", "region_invalid", id="T122 empty beside a region"),
    pytest.param(b"ap-a", b"Action=QueryArea&Region=", "region_invalid", id="T122 a region beside empty"),
    pytest.param(b"null", b"Action=QueryArea", "allowed", id="T133 null in the header alone"),
    pytest.param(b"null", b"Action=QueryArea&Region=ap-a", "region_invalid", id="T133 null beside a region"),
    pytest.param(b"null", b"Action=QueryArea&Region=", "region_invalid", id="T133 null beside empty"),
    pytest.param(b"null", b"Action=QueryArea&Region=null", "region_invalid", id="T133 null in both"),
]


@pytest.mark.parametrize(("region", "params", "detail"), BESIDE)
@pytest.mark.parametrize("without", [(), (b"x-tc-action",)], ids=["action header", "none"])
def test_a_region_that_is_not_named_still_counts_as_there(
    region: bytes, params: bytes, detail: str, without: tuple[bytes, ...]
) -> None:
    lines = sdk(FROM_OFFICE, without=without, x_tc_region=region, content_type=FORM)
    assert reply_to(lines=lines, method="GET", query=params, chunks=(b"",)).detail == detail
    assert reply_to(lines=lines, chunks=(params,)).detail == detail


@pytest.mark.parametrize("region", [b"", b"null"])
def test_t122_t133_what_names_no_region_stands_once_and_goes_on_as_it_came(region: bytes) -> None:
    line = (b"x-tc-region", region)
    reply = reply_to(lines=sdk(FROM_OFFICE, x_tc_region=region))
    assert reply.passed
    assert line in reply.reached[0][0]["headers"]
    assert reply_to(lines=sdk(FROM_OFFICE, line, x_tc_region=region)).detail == "header_duplicate"
    assert reply_to(lines=sdk(FROM_OFFICE, line, x_tc_region=b"ap-a")).detail == "header_duplicate"


@pytest.mark.parametrize("region", [None, b"", b"null"])
def test_t122_t133_no_region_binds_no_region_to_a_resource(region: bytes | None) -> None:
    lines = sdk(
        FROM_OFFICE,
        without=[b"x-tc-region"],
        host=b"cvm.tencentcloudapi.com",
        x_tc_action=b"StopInstances",
        x_tc_version=b"2017-03-12",
    )
    lines = (*lines, *([] if region is None else [(b"x-tc-region", region)]))
    reply = reply_to(lines=lines, chunks=(b'{"InstanceIds":["ins-1"]}',))
    assert [found and found.split(":")[3] for found in reply.records[0].resources] == [""]


def test_dec_64_a_region_beside_that_of_the_header_is_rejected() -> None:
    lines = sdk(FROM_OFFICE, x_tc_region=b"ap-b")
    assert reply_to(lines=lines, query=b"Region=ap-a").detail == "region_invalid"
    assert reply_to(lines=lines, query=b"Region=ap-b").detail == "allowed"


def test_a_version_in_a_query_beside_a_form_is_judged() -> None:
    lines = sdk(FROM_OFFICE, without=[b"x-tc-action", b"x-tc-version"], content_type=FORM)
    query = b"Action=QueryArea&Version=2018-01-01"
    assert reply_to(lines=lines, query=query, chunks=(b"A=1",)).detail == "version_unknown"


def test_t34_an_unknown_action_meets_no_policy() -> None:
    fresh = bundle()
    reply = Play(policies=Store(fresh)).reply_to(lines=sdk(FROM_OFFICE, x_tc_action=b"NotListed"))
    assert reply.records[0].decision.reason is Reason.ACTION_UNKNOWN
    assert fresh.table_stats() == (0, 0, 0)


def test_unlisted_actions_are_judged_by_a_setting_only() -> None:
    store = Store(
        bundle(
            {
                "office": {
                    "version": "2.0",
                    "statement": {"effect": "allow", "action": "*", "resource": "*"},
                },
                "instances": {
                    "version": "2.0",
                    "statement": {"effect": "deny", "action": "*", "resource": "*"},
                },
            },
            unknown_action="judge",
        )
    )
    play = Play(enforcement(unknown_action="judge"), policies=store)
    reply = play.reply_to(lines=sdk(FROM_OFFICE, x_tc_action=b"NotListed"))
    assert reply.passed
    assert (reply.records[0].entry, reply.records[0].action) == (None, "NotListed")
    assert play.reply_to(lines=sdk(FROM_OFFICE, x_tc_action=b"Not,Listed")).detail == "action_invalid"


def test_what_was_named_is_in_the_record_even_if_it_was_refused() -> None:
    record = reply_to(lines=sdk(FROM_OFFICE, x_tc_action=b"NotListed")).records[0]
    assert (record.service, record.action, record.entry) == ("partners", "NotListed", None)
    record = reply_to(lines=sdk(FROM_OFFICE, x_tc_action=b"")).records[0]
    assert (record.service, record.action) == ("partners", None)


def test_t38_parameters_are_read_in_time() -> None:
    began = time.process_time()
    for raw in (b"a=1&" * 8000, b"%41" * 10_000, b"&" * 32_000, b"a" * 32_000, b"+" * 32_000):
        parse_params(raw, 1000, rejection("query_malformed"))
    assert time.process_time() - began < 2
    assert (
        reply_to(limits(params=3), method="GET", chunks=(b"",), query=b"a&b&c&d").detail == "too_many_params"
    )


@QUIET
@given(st.text(alphabet="\\%+xuN{}0aA41C38F", max_size=40))
@example("\\%41\\x41\\\\%5c\\u0041\\N{DIGIT ONE}")
def test_escapes_are_decoded_as_everybody_decodes_them(text: str) -> None:
    read = parse_params(b"a=" + text.encode(), 10, rejection("query_malformed"))
    if not isinstance(read, Rejection):
        assert read == (("a", unquote_plus(text, errors="strict")),)


def test_t38_a_form_of_escapes_costs_no_step_for_each() -> None:
    raw = b"a=" + b"%41" * 349_000
    began = time.process_time()
    tracemalloc.start()
    parse_params(raw, 1000, rejection("body_malformed"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(raw)
    assert time.process_time() - began < 1


@QUIET
@given(st.binary(max_size=60))
def test_parameters_are_read_or_refused_and_never_raise(raw: bytes) -> None:
    read = parse_params(raw, 10, rejection("query_malformed"))
    if isinstance(read, tuple) and raw:
        assert len(read) == raw.count(b"&") + 1


UNKNOWN = rejection("service_unknown")
DIRECTORY = ServiceIndex(CATALOG, Owner("1", "2"), HostsSettings(), LimitsSettings())
HEADER = st.one_of(
    st.none(),
    st.sampled_from([b"QueryArea", b"2022-09-28", b"ap-guangzhou", b"application/json"]),
    st.binary(max_size=20),
)


HOST = st.one_of(st.just(b"aiart.tencentcloudapi.com"), st.binary(max_size=40))


PARTNERS, JSON = b"partners.tencentcloudapi.com", b"application/json"
OCTETS = b"application/octet-stream"
QUERY_AREA = ("QueryArea", "partners:QueryArea", "partners:QueryArea", "partners:QueryArea")
NOTHING = (None, None, "", "partners:None")
# Method, content type, action, version, region; the kind of the body, its limit, action, entry, CAM names,
# action id and region, or the rejection
NAMED = [
    pytest.param(("GET", None, b"QueryArea", None, None), (None, 0, *QUERY_AREA, ""), id="a GET"),
    pytest.param(
        ("GET", JSON, b"QueryArea", None, None), (None, 0, *QUERY_AREA, ""), id="a GET with a content type"
    ),
    pytest.param(
        ("POST", JSON, b"QueryArea", b"2022-09-28", b"ap-a"), ("json", 7, *QUERY_AREA, "ap-a"), id="JSON"
    ),
    pytest.param(("POST", OCTETS, b"QueryArea", b"", b""), ("octets", 7, *QUERY_AREA, ""), id="octets"),
    pytest.param(("POST", FORM, b"QueryArea", None, b"null"), ("form", 5, *QUERY_AREA, ""), id="a form"),
    pytest.param(("POST", FORM, None, None, None), ("form", 5, *NOTHING, ""), id="a form that may name it"),
    pytest.param(
        ("POST", JSON, b"NotListed", None, None),
        ("json", 7, "NotListed", None, "", "partners:NotListed", ""),
        id="an action that is not listed",
    ),
    pytest.param(
        ("POST", JSON, b"QueryArea", b"2018-01-01", None),
        ("json", 7, *QUERY_AREA[:3], rejection("version_unknown"), ""),
        id="another version",
    ),
    pytest.param(
        ("POST", None, b"QueryArea", None, None), "content_type", id="a POST without a content type"
    ),
    pytest.param(
        ("POST", b"text/plain", b"QueryArea", None, None), "content_type", id="another content type"
    ),
    pytest.param(("GET", b"text/plain", b"QueryArea", None, None), "content_type", id="another one of a GET"),
    pytest.param(("POST", JSON, None, None, None), "action_missing", id="JSON without an action"),
    pytest.param(("GET", FORM, None, None, None), "action_missing", id="a GET without an action"),
    pytest.param(("POST", FORM, b"", None, None), "action_missing", id="a form with an empty action"),
    pytest.param(("POST", FORM, b"1", None, None), "action_invalid", id="a form with an action that is none"),
    pytest.param(("POST", JSON, b"1", b"x", b"*"), "version_invalid", id="the version is judged first"),
    pytest.param(("POST", JSON, b"1", b"", b"*"), "region_invalid", id="the region is judged second"),
    pytest.param(("POST", JSON, b"1", b"null", None), "version_invalid", id="T133 null as a version"),
]


@pytest.mark.parametrize(("naming", "expected"), NAMED)
def test_what_the_naming_headers_come_to(naming: Any, expected: Any) -> None:
    index = ServiceIndex(
        CATALOG, Owner("1", "2"), HostsSettings(), LimitsSettings(form_bytes=5, body_bytes=7)
    )
    method, *others = naming
    named = index.named[method, PARTNERS, *others]
    if isinstance(named, Rejection):
        assert named.detail == expected
        return
    kind = None if named.body is None else named.body.kind
    entry = None if named.entry is None else named.entry.id
    names = (named.action, entry, named.cam_names, named.action_id)
    assert (kind, named.body_limit, *names, named.region) == expected
    assert (named.service, named.resources, named.shared) == ("partners", None, False)


# Method, content type and action over a shared host; the action and the kind of the body
OVER_A_SHARED_HOST = [
    pytest.param(("POST", JSON, b"QueryArea"), ("QueryArea", "json"), id="JSON"),
    pytest.param(("GET", None, b"TextToImage"), ("TextToImage", None), id="a GET"),
    pytest.param(("POST", FORM, None), (None, "form"), id="a form that may name the action"),
]


@pytest.mark.parametrize(("naming", "expected"), OVER_A_SHARED_HOST)
def test_t123_over_a_shared_host_no_service_is_named(naming: Any, expected: tuple[str | None, ...]) -> None:
    hosts = HostsSettings(shared=("gateway.example",))
    named = ServiceIndex(CATALOG, Owner("1", "2"), hosts, LimitsSettings()).named[
        (naming[0], b"Gateway.example:8080", *naming[1:], None, None)
    ]
    assert not isinstance(named, Rejection)
    assert (named.action, None if named.body is None else named.body.kind) == expected
    assert (named.service, named.entry, named.resources, named.shared) == (None, None, None, True)
    assert named.action_id is UNKNOWN


STOP, START = ("qcs::cvm:::instance/${InstanceId}",), ("qcs::vpc:::subnet/${SubnetId}",)
BOTH = (*STOP, *START)
# Resources, match and granularity of each name that policies are asked for; how many templates there are, and
# whether one resource is enough, or None where the action is judged as a whole
TEMPLATES = [
    pytest.param([((), "all")], None, id="no resources"),
    pytest.param([(STOP, "all")], (1, False), id="one name, all resources"),
    pytest.param([(BOTH, "any")], (2, True), id="one name, any of two resources"),
    pytest.param([((), "all"), ((), "all")], None, id="DEC-68 two names without resources"),
    pytest.param([(STOP, "all"), (START, "all")], (2, False), id="DEC-68 two names, all resources"),
    pytest.param([(STOP, "all"), (BOTH, "all")], (2, False), id="DEC-68 a template of both names"),
    pytest.param([(BOTH, "any"), (STOP, "any")], (2, True), id="DEC-68 two names, any resource"),
    pytest.param([(BOTH, "any"), (STOP, "all")], (2, False), id="DEC-68 one of the names needs all"),
    pytest.param([(BOTH, "any"), ((), "all")], (2, False), id="DEC-68 one of the names has none"),
    pytest.param([((), "all"), (BOTH, "any")], (2, False), id="DEC-68 and the other way round"),
]


@pytest.mark.parametrize(("names", "expected"), TEMPLATES)
def test_what_names_the_resources_of_a_call(
    names: list[tuple[tuple[str, ...], str]], expected: tuple[int, bool] | None
) -> None:
    cam_actions = [
        action(
            "cvm",
            f"Stop{at}",
            resources=resources or ("*",),
            match=match,
            granularity=Granularity.RESOURCE if resources else Granularity.OPERATION,
        )
        for at, (resources, match) in enumerate(names)
    ]
    named = ApiAction(action("cbs", "Stop"), tuple(cam_actions))
    index = ServiceIndex(CATALOG, Owner("1", "2"), HostsSettings(), LimitsSettings())
    found = index.templates(named)
    assert (None if found is None else (len(found.templates), found.match_any)) == expected


@QUIET
@given(st.tuples(st.sampled_from(["GET", "POST"]), HOST, HEADER, HEADER, HEADER, HEADER))
def test_names_are_understood_or_refused_and_never_raise(naming: Any) -> None:
    named = DIRECTORY.named[naming]
    if not isinstance(named, Rejection):
        assert named.service in CATALOG.services
        assert named.action is None or ACTION_NAME.fullmatch(named.action.encode())


def test_domains_are_compared_without_their_letter_case() -> None:
    directory = ServiceIndex(
        CATALOG, Owner("1", "2"), HostsSettings(("TencentCloudAPI.com",)), LimitsSettings()
    )
    assert not isinstance(directory.service(b"aiart.tencentcloudapi.com"), Rejection)


def test_what_is_longer_than_any_call_needs_is_not_remembered() -> None:
    directory = ServiceIndex(CATALOG, Owner("1", "2"), HostsSettings(), LimitsSettings())
    host = b"x.tencentcloudapi.com"
    rest = 512 - len(host) - len("GET")
    directory.named["GET", host, None, b"A" * rest, None, None]
    assert len(directory.named) == 1
    directory.named["GET", host, None, b"A" * (rest + 1), None, None]
    assert len(directory.named) == 1


def test_the_directory_is_bounded() -> None:
    directory = ServiceIndex(CATALOG, Owner("1", "2"), HostsSettings(), LimitsSettings())
    for n in range(5000):
        assert directory.named["GET", b"h%d.tencentcloudapi.com" % n, None, b"A", None, None] is UNKNOWN
    assert len(directory.named) <= 4096
