"""Hostile policies, caches and loads, one by one: T85 to T111 (THREATS 5.6, THREATS 5.7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from camguard import Bundle, Call, CamguardError, parse_address, parse_policy
from camguard.authn.authenticator import authenticator
from camguard.bundle.load import build_bundle, read_content
from camguard.engine.decision import Reason
from camguard.errors import SettingsError
from camguard.settings import IdentitySettings, Settings, load_settings
from camguard.telemetry.decision_log import DecisionLog
from camguard.telemetry.metrics import Metrics
from tests.asgi import body_of, receive_of
from tests.authn.signing import SECRET, SECRET_ID, authorization, keys, tc3
from tests.company import allow
from tests.stage import ELSEWHERE, OFFICE, Play, Request, bundle, sdk


class Held:
    """Keys that do not change."""

    keys = keys()


PRINCIPAL = "uin/100000000101"
NOON = 1773144000.0  # 2026-03-10T12:00:00Z
TIME = {"date_less_than": {"qcs:current_time": "2026-03-10T12:00:01Z"}}


def policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document. What a statement leaves out is as `allow("*")` has it."""
    return {"version": "2.0", "statement": [{**allow("*"), **each} for each in statements]}


def of(*statements: Mapping[str, Any], **settings: Any) -> Bundle:
    return bundle({"office": policy(*statements), "instances": policy({})}, **settings)


def reason_of(found: Bundle, action: str = "partners:QueryArea", **facts: Any) -> Reason:
    usual: dict[str, Any] = {"principal": PRINCIPAL, "source_ip": parse_address(OFFICE), "time": NOON}
    usual |= {"resources": ("*",), "resource_tags": None, "request_tags": None, "context": None}
    return found.decide(Call(action=action, session=None, **{**usual, **facts})).reason


def deny(**more: Any) -> dict[str, Any]:
    return {"effect": "deny", **more}


REFUSED = [
    pytest.param(
        {"condition": {"ip_equal": {"qcs:ip": "::ffff:10.0.0.0/8"}}}, id="T14 a mapped range for all"
    ),
    pytest.param({"condition": {"ip_equal": {"qcs:ip": "10.0.0.0/00"}}}, id="T14 a prefix of two zeros"),
    pytest.param(
        {"condition": {"ip_equal": {"qcs:ip": "10.0.0.0/4294967304"}}}, id="T14 a prefix that wraps"
    ),
    pytest.param({"condition": {"ip_equal": {"qcs:ip": "10.*.*.10/24"}}}, id="T85 a printed wildcard"),
    pytest.param({"condition": {"ip_equal": {"qcs:ip ": "10.0.0.1"}}}, id="T85 a key with a blank"),
    pytest.param({"condition": {" ip_equal": {"qcs:ip": "10.0.0.1"}}}, id="T85 an operator with a blank"),
    pytest.param({"condition": {"ip_equals": {"qcs:ip": "10.0.0.1"}}}, id="T85 a misspelt operator"),
    pytest.param({"conditions": {}}, id="T85 a misspelt element"),
    pytest.param(
        deny(condition={"ip_equal": {"qcs:ip": ["10.0.0.1", "10.0.0.256", "10.0.0.3"]}}),
        id="T88 one bad value in a deny list",
    ),
    pytest.param({"resource": "qcs::cvm:::instance/${nobody}"}, id="T97 a variable without a value"),
]


@pytest.mark.parametrize("statement", REFUSED)
def test_a_document_that_would_be_half_understood_is_rejection(statement: Mapping[str, Any]) -> None:
    with pytest.raises(CamguardError):
        parse_policy(json.dumps(policy({}, statement)), source="p.json")


NONE_OF = {"ip_not_equal": {"qcs:ip": ["203.0.113.0/24", "198.51.100.0/24"]}}
UNSUPPORTED = {"ip_equal": {"qcs:ip": "203.0.113.0/24"}}  # on QueryUser, whose page gives no IP restriction
EMPTY = {"for_all_value:string_equal": {"qcs:request_tag": ["a&b"]}}
# statements, action, facts of the call, reason
DECIDED = [
    pytest.param(
        [{"condition": NONE_OF}],
        "partners:QueryArea",
        {},
        Reason.NO_ALLOW,
        id="T90 differs from none of a list",
    ),
    pytest.param(
        [{}, deny(condition={"string_equal": {"cos:prefix": "a"}})],
        "partners:QueryArea",
        {},
        Reason.UNDETERMINED_DENY,
        id="T91 a deny that cannot be judged counts",
    ),
    pytest.param(
        [{"condition": UNSUPPORTED}], "partners:QueryUser", {}, Reason.NO_ALLOW, id="T92 an allow by address"
    ),
    pytest.param(
        [{}, deny(condition={"ip_not_equal": {"qcs:ip": "192.0.2.1"}})],
        "partners:QueryUser",
        {},
        Reason.UNDETERMINED_DENY,
        id="T92 a deny by address stays armed",
    ),
    pytest.param(
        [{}, deny(condition={"ip_equal": {"qcs:ip": "192.0.2.1"}})],
        "partners:QueryUser",
        {},
        Reason.ALLOWED,
        id="T92 a deny by address that neither reading applies does not apply",
    ),
    pytest.param(
        [{"condition": EMPTY}],
        "partners:QueryArea",
        {"request_tags": {}},
        Reason.NO_ALLOW,
        id="T93 all of nothing grants nothing",
    ),
    pytest.param(
        [{}, deny(condition=EMPTY)],
        "partners:QueryArea",
        {"request_tags": {}},
        Reason.UNDETERMINED_DENY,
        id="T93 all of nothing is denied",
    ),
    pytest.param(
        [{"condition": {"string_like": {"cos:prefix": "a*"}}}],
        "partners:QueryArea",
        {"context": {"cos:prefix": ("a\nb",)}},
        Reason.ALLOWED,
        id="T95 a star crosses a line break",
    ),
    pytest.param(
        [{"condition": {"string_like": {"cos:prefix": "[ab].*"}}}],
        "partners:QueryArea",
        {"context": {"cos:prefix": ("a.c",)}},
        Reason.NO_ALLOW,
        id="T95 brackets and dots are themselves",
    ),
    pytest.param(
        [{"action": "cvm:*", "resource": "qcs::cvm:::instance/ins-1"}],
        "cvm:StopInstances",
        {"resources": ("qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-12",)},
        Reason.NO_ALLOW,
        id="T96 the beginning of a name is not the name",
    ),
    pytest.param(
        [{"action": "cvm:*", "resource": "qcs::cvm:::instance/ins-1"}],
        "cvm:StopInstances",
        {"resources": ("qcs::cvm:ap-guangzhou:uin/100000000001:instance/*",)},
        Reason.NO_ALLOW,
        id="T98 a star of the caller is a character",
    ),
    pytest.param(
        [{"condition": TIME}],
        "partners:QueryArea",
        {"time": NOON + 0.999},
        Reason.ALLOWED,
        id="T99 just before",
    ),
    pytest.param(
        [{"condition": TIME}],
        "partners:QueryArea",
        {"time": NOON + 1},
        Reason.NO_ALLOW,
        id="T99 at the moment",
    ),
]


@pytest.mark.parametrize(("statements", "action", "facts", "reason"), DECIDED)
def test_what_is_doubtful_grants_nothing_and_disarms_nothing(
    statements: list[Mapping[str, Any]], action: str, facts: Mapping[str, Any], reason: Reason
) -> None:
    assert reason_of(of(*statements), action, **facts) is reason


def test_t100_the_catalog_is_part_of_the_revision(tmp_path: Any, repository: Any) -> None:
    source = repository / "config"
    catalog = tmp_path / "aiart.json"
    catalog.write_bytes((source / "catalog" / "aiart.json").read_bytes())
    before = read_content(source / "bundle", catalog)
    catalog.write_text(catalog.read_text().replace("true", "false", 1))
    assert read_content(source / "bundle", catalog).digest != before.digest


# What the second call changes of the first; each must be judged by itself.
CHANGED = [
    pytest.param({"source_ip": parse_address(ELSEWHERE)}, Reason.NO_ALLOW, id="T101 the address"),
    pytest.param({"source_ip": parse_address("::ffff:203.0.113.7")}, Reason.ALLOWED, id="T101 its spelling"),
    pytest.param({"source_ip": parse_address("2001:db8::7")}, Reason.NO_ALLOW, id="T101 the family"),
    pytest.param({"principal": "uin/100000000102"}, Reason.NO_ALLOW, id="T101 T102 the principal"),
    pytest.param({"time": NOON + 1}, Reason.NO_ALLOW, id="T101 T103 the time"),
    pytest.param({"resources": ()}, Reason.NO_ALLOW, id="T101 the resources"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGED)
def test_a_call_is_not_judged_by_the_one_before(change: Mapping[str, Any], reason: Reason) -> None:
    found = of({"condition": {**TIME, "ip_equal": {"qcs:ip": "203.0.113.0/26"}}})
    for _ in range(3):
        assert reason_of(found) is Reason.ALLOWED
        assert reason_of(found, **change) is reason


def test_t104_the_next_bundle_knows_nothing_of_the_last() -> None:
    first, second = of({}), of(deny())
    assert [reason_of(each) for each in (first, second, first, second)] == [
        *(Reason.ALLOWED, Reason.EXPLICIT_DENY),
        *(Reason.ALLOWED, Reason.EXPLICIT_DENY),
    ]


def test_t105_strangers_fill_nothing() -> None:
    found = of({})
    reason_of(found)
    before = found.table_stats()[2]
    for number in range(5000):
        assert reason_of(found, principal=f"uin/{10**12 + number}") is Reason.PRINCIPAL_UNKNOWN
        assert reason_of(found, f"partners:Action{number}") is Reason.ACTION_UNKNOWN
    assert found.table_stats()[2] == before


def test_t106_a_folder_with_one_bad_policy_is_no_bundle(tmp_path: Any, repository: Any) -> None:
    source = repository / "config" / "bundle"
    (tmp_path / "policies").mkdir()
    for each in (*source.glob("*.json"), *source.glob("policies/*.json")):
        (tmp_path / each.relative_to(source)).write_bytes(each.read_bytes())
    (tmp_path / "policies" / "zzz.json").write_text(json.dumps(policy(deny(action="aiart:*", resource=[]))))
    with pytest.raises(CamguardError):
        build_bundle(
            read_content(tmp_path, repository / "config" / "catalog"),
            ip_support="catalog",
            unknown_action="refuse",
        )


# policy.source, whether a key verifies its bundles, what is wrong with it
SOURCES = [
    pytest.param("http://bundles.example/b.tar.gz", False, "without TLS", id="T109 plain HTTP"),
    pytest.param("http://192.0.2.1/b.tar.gz", False, "without TLS", id="T109 plain HTTP to an address"),
    pytest.param("http://bundles.example/b.tar.gz", True, None, id="plain HTTP with signatures"),
    pytest.param("https://bundles.example/b.tar.gz", False, None, id="TLS"),
    pytest.param("http://127.0.0.1:8000/b.tar.gz", False, None, id="plain HTTP on this machine"),
    pytest.param("http://[::1]:8000/b.tar.gz", False, None, id="plain HTTP on this machine, IPv6"),
    pytest.param("bundle", True, "policy.source is a folder", id="a key for a folder"),
]


@pytest.mark.parametrize(("url", "signed", "problem"), SOURCES)
def test_t109_a_bundle_comes_over_the_network_only_if_nobody_on_the_way_can_change_it(
    url: str, signed: bool, problem: str | None, tmp_path: Path
) -> None:
    key = 'verify_key_file = "bundle.key"' if signed else ""
    (tmp_path / "camguard.toml").write_text(f'[policy]\nsource = "{url}"\n{key}\n')
    if problem is None:
        assert load_settings(tmp_path / "camguard.toml", {}).policy.source == url
    else:
        with pytest.raises(SettingsError, match=problem):
            load_settings(tmp_path / "camguard.toml", {})


def test_t113_nothing_secret_is_logged_counted_or_answered(tmp_path: Any) -> None:
    secrets = [authorization(tc3()), "T0KEN-MARK", "B0DY-MARK", "QU3RY-MARK", "C00KIE-MARK"]
    lines = {
        "authorization": secrets[0],
        "x-tc-token": secrets[1],
        "cookie": secrets[4],
        "x-tc-timestamp": str(int(NOON)),
        "content-type": "application/json",
    }
    metrics = Metrics(None, listeners=("middleware",), actions=("*",), version="0")
    log = DecisionLog(str(tmp_path / "log"))
    log.start()
    authentication = authenticator(IdentitySettings(mode="either"), Held())
    play = Play(authentication=authentication, observers=(metrics.observe,), conclusions=(log.conclude,))
    for action in ("QueryArea", "PayOrders", "Nothing"):
        extra = [(name.encode(), text.encode()) for name, text in lines.items()]
        kept = sdk(*extra, without=[name for name, _ in extra], x_tc_action=action.encode())
        reply = play.reply_to(
            lines=kept, client=(OFFICE, 1), query=b"A=QU3RY-MARK", chunks=(b'{"A":"B0DY-MARK"}',)
        )
        assert not any(secret.encode() in reply.body for secret in secrets)
    log.stop()
    shown = metrics.render().decode() + (tmp_path / "log").read_text()
    assert shown.count('"time"') == 3
    assert [secret for secret in (*secrets, SECRET, SECRET_ID, secrets[0][-64:]) if secret in shown] == []


def test_t116_a_denial_is_logged_though_no_client_takes_its_answer() -> None:
    play = Play()

    async def gone(_: Any) -> None:
        raise ConnectionResetError

    scope = Request(lines=sdk((b"x-forwarded-for", ELSEWHERE.encode()))).scope()
    with pytest.raises(ConnectionResetError):
        asyncio.run(play.middleware(scope, receive_of(body_of(b'{"A":1}')), gone))
    assert [record.decision.reason for record, *_ in play.concluded] == [Reason.NO_ALLOW]


def test_t118_admin_is_another_listener_on_loopback() -> None:
    gateway = Settings().gateway
    assert gateway.admin is not None
    assert (gateway.admin.host, gateway.listen.host) == ("127.0.0.1", "127.0.0.1")
    assert gateway.admin.port != gateway.listen.port


@pytest.mark.parametrize("path", ["/metrics", "/-/reload", "/-/status", "/-/healthy", "/api/check"])
def test_t118_callers_reach_no_admin_path(path: str) -> None:
    reply = Play().reply_to(lines=sdk(), target=path, raw_path=path.encode())
    assert (reply.detail, reply.passed) == ("path_not_allowed", False)
