"""Documents and requests that real companies brought, each as small as it can be, and what each must give.

Each stands for a kind. The catalog of the documents is small; a call goes through the whole middleware where
the name of the host or the parameters of the request decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from camguard.authn.authenticator import authenticator
from camguard.bundle import Bundle, make_bundle
from camguard.catalog import Catalog, load_catalog, parse_catalog, save_all, to_json
from camguard.cli import main
from camguard.errors import PolicyError
from camguard.policy.document import parse_policy
from camguard.settings import IdentitySettings, Settings
from tests import company
from tests.authn.signing import FORM, NOW, SECRET_ID, authorization, keys, tc3, v1
from tests.company import action, allow, deny, service
from tests.stage import FixedCaller, FixedPolicies, Line, Play

OWNER = {"uin": "100000000001", "app_id": "1250000001"}
USER = "100000000101"
SOURCE = "203.0.113.7"
INSTANCE = "qcs::cvm:${region}:uin/${uin}:instance/${instanceId}"
MACHINES = (
    "qcs::tat:${region}:uin/${uin}:command/${commandId}",
    INSTANCE,
    "qcs::lighthouse:${region}:uin/${uin}:instance/${instanceId}",
)
FORMS = ({"cvm": "ins-*", "lighthouse": "lhins-*"},)
SERVICES = (
    service("cls", action("cls:SearchLog", "qcs::cls:${region}:uin/${uin}:topic/${topicId}")),
    service(
        "cvm",
        *("CreateDisks", "DescribeZones"),
        action("cvm:StopInstances", INSTANCE),
        tag_authorization=True,
    ),
    service("sms", action("sms:SendSms", "qcs::sms::uin/${uin}:app/${appId}")),
    service("tat", action("tat:InvokeCommand", *MACHINES, alternatives=FORMS)),
)
CATALOG = parse_catalog({f"{each.name}.json": to_json(each).encode() for each in SERVICES})
STOP = {"action": "cvm:StopInstances", "resource": "qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1"}
SEARCH = {"action": "cls:SearchLog", "resource": "qcs::cls:ap-guangzhou:uin/100000000001:topic/t1"}
SEND = {"action": "sms:SendSms", "resource": "qcs::sms::uin/100000000001:app/1"}
INVOKE = {"host": "tat", "action": "InvokeCommand", "body": {"CommandId": "cmd-1", "InstanceIds": ["ins-1"]}}
DISKS = {"host": "cbs", "action": "CreateDisks", "body": {}}
TEAM = {"for_any_value:string_equal": {"qcs:resource_tag": ["team&a"]}}
ALL = allow("*")


class Met(NamedTuple):
    """What a document must give.

    call: an action and a resource, or a request to a host label. decision: of that call. asked: what policies
    were asked for. codes: of the findings of `camguard lint` that there must be. words: what the error must
    hold where the document is refused.
    """

    call: Mapping[str, Any] | None = None
    decision: str = ""
    asked: str = ""
    codes: frozenset[str] = frozenset()
    words: str = ""


def text_of(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"version": "2.0", "statement": statements})


# name -> the document, and what it must give
DOCUMENTS = {
    "p01-deny-unlisted-aa": (text_of(ALL, deny("aa:*")), Met(codes=frozenset({"CG212"}))),
    "p01-deny-unlisted-clb": (text_of(ALL, deny("clb:*")), Met(codes=frozenset({"CG212"}))),
    "p04-read-only-action": (
        text_of(allow("*", numeric_equal={"qcs:read_only_action": 1})),
        Met(),
    ),
    "p05-condition-empty-list": (
        text_of({**allow("cvm:DescribeZones"), "condition": []}),
        Met({"action": "cvm:DescribeZones", "resource": "*"}, "allow"),
    ),
    "p07-mfa-numeric-not-equal": (
        text_of(deny("*", numeric_not_equal={"mfa": 1})),
        Met(codes=frozenset({"CG405"})),
    ),
    "p09-deny-placeholder-account": (
        text_of(ALL, deny("cvm:StopInstances", "qcs::cvm::$account:instance/*")),
        Met(STOP, "deny", codes=frozenset({"CG320"})),
    ),
    "p09-allow-bare-uin": (
        text_of(allow("cls:SearchLog", "qcs::cls:ap-guangzhou:100000000001:topic/t1")),
        Met(SEARCH, "allow", codes=frozenset({"CG121"})),
    ),
    "p11-deny-service-case": (
        text_of(
            ALL,
            deny("sms:SendSms", ["qcs::SMS::uin/100000000001:app/1", "qcs::sms::uin/100000000001:app/2"]),
        ),
        Met(SEND, "deny", codes=frozenset({"CG321"})),
    ),
    "p12-tags-silent": (
        text_of(allow("cvm:StopInstances", **TEAM)),
        Met(STOP, "deny", codes=frozenset({"CG432"})),
    ),
    "p13-all-of-alternatives": (
        text_of(allow("tat:InvokeCommand", ["qcs::tat:::command/cmd-1", "qcs::cvm:::instance/ins-1"])),
        Met(INVOKE, "allow", asked="tat:InvokeCommand"),
    ),
    "p14-cbs-host": (text_of(allow("cvm:CreateDisks")), Met(DISKS, "allow", asked="cvm:CreateDisks")),
    "p15-trust-policy": (
        text_of(
            {
                "effect": "allow",
                "action": "name/sts:AssumeRole",
                "principal": {"service": ["cvm.qcloud.com"]},
            }
        ),
        Met(words="the trust policy of a role"),
    ),
    "p16-bom": ("\ufeff" + text_of(ALL), Met(codes=frozenset({"CG501"}))),
    "p17-comment": (
        '{"version": "2.0", "statement": [{"effect": "allow", "action": "cvm:*", // x\n "resource": "*"}]}',
        Met(words="JSON has no comments"),
    ),
}


def bundle_of(text: str | bytes, catalog: Catalog) -> Bundle:
    people = {"owner": OWNER, "users": {USER: {"policies": ["met"]}}}
    return make_bundle({"met": parse_policy(text, "met.json")}, people, catalog)


def request_to(bundle: Bundle, *, host: str, action: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """Return decision and asked names of a request to a host label, through the whole middleware."""
    play = Play(Settings(), authentication=FixedCaller(f"uin/{USER}"), policies=FixedPolicies(bundle))
    lines = {"host": f"{host}.tencentcloudapi.com", "content-type": "application/json", "x-tc-action": action}
    lines |= {"x-tc-region": "ap-guangzhou", "x-tc-version": "2017-03-12"}
    reply = play.reply_to(
        lines=tuple((name.encode(), value.encode()) for name, value in lines.items()),
        chunks=(json.dumps(body).encode(),),
        client=(SOURCE, 1),
    )
    record = reply.records[-1]
    assert reply.passed == (record.decision.reason.value == "allowed")
    return "allow" if reply.passed else "deny", record.cam_action or ""


def must_give(document: bytes, catalog: Catalog, met: Met) -> None:
    """Check that a document loads and decides, or the words with which it is refused."""
    if met.words:
        with pytest.raises(PolicyError) as caught:
            parse_policy(document, "met.json")
        (problem,) = caught.value.problems
        assert met.words in problem.message
        return
    bundle = bundle_of(document, catalog)
    if met.call is None:
        return
    if "host" in met.call:
        assert request_to(bundle, **met.call) == (met.decision, met.asked)
        return
    call = company.call(
        met.call["action"],
        principal=f"uin/{USER}",
        source=SOURCE,
        resources=(met.call["resource"],),
    )
    decision = bundle.decide(call)
    assert ("allow" if decision else "deny") == met.decision


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_companies_have_gives_what_it_must(name: str) -> None:
    text, met = DOCUMENTS[name]
    must_give(text.encode(), CATALOG, met)


def linted(document: bytes, catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the codes that `camguard lint` finds in a document outside of a bundle."""
    save_all(catalog.services.values(), tmp_path / "catalog")
    (tmp_path / "met.json").write_bytes(document)
    line = ["lint", str(tmp_path / "met.json"), "--catalog", str(tmp_path / "catalog")]
    main([*line, "--severity", "style", "--format", "json"])
    return {finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lint_reports_what_a_document_cannot_do_here(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, met = DOCUMENTS[name]
    found = linted(text.encode(), CATALOG, tmp_path, capsys)
    assert met.codes <= found
    assert bool(met.words) == any(code.endswith("Error") for code in found)


def test_dec_66_a_policy_within_a_bundle_that_lists_tags_is_not_held_to_lack_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_all(CATALOG.services.values(), tmp_path / "catalog")
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies" / "p.json"
    file.write_text(DOCUMENTS["p12-tags-silent"][0])
    line = ["lint", str(file), "--catalog", str(tmp_path / "catalog"), "--format", "json"]
    for listed in (False, True):
        if listed:
            (tmp_path / "resource_tags.json").write_text("{}")
        main(line)
        codes = {finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]}
        assert ("CG432" in codes) != listed


# --- requests ---------------------------------------------------------------------------------------------

BASE = {
    "host": "aiart.tencentcloudapi.com",
    "action": "DescribeOpenStatus",
    "version": "2022-12-29",
    "content_type": "application/json; charset=utf-8",
    "body": "{}",
}
PARTS = (
    "--b-1\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Disposition: form-data; name=Prompt\r\n\r\nx\r\n--b-1--\r\n"
)
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "two blanks behind the scheme of a signature": {"blanks": "  "},
    "an empty region in a header": {"headers": [["X-TC-Region", ""]]},
    "an empty region under v1": {"sign": "v1", "params": {"Region": ""}},
    "a line break behind a v1 signature": {"sign": "v1", "after_signature": "\n"},
    "a root to which clients fail over": {"host": "aiart.tencentcloudapi.cn"},
    "multipart with a name without quotes": {
        "content_type": 'multipart/form-data; boundary="b-1"',
        "body": PARTS,
    },
}


class Held:
    """One key, of a permanent credential."""

    keys = keys()


def passes(base: Mapping[str, str], case: Mapping[str, Any]) -> bool:
    """Send a request, signed as it says, through the whole middleware under the default hosts."""
    settings = Settings(identity=IdentitySettings(mode="signature", allow_v1=True))
    catalog = Catalog({"aiart": service("aiart", base["action"])})
    play = Play(
        settings,
        authentication=authenticator(settings.identity, Held()),
        policies=FixedPolicies(bundle_of(text_of(ALL), catalog)),
        clock=lambda: NOW,
    )
    lines, body = (under_v1 if case.get("sign") == "v1" else under_tc3)({**base, **case})
    sent: tuple[Line, ...] = tuple((name.lower().encode(), value.encode()) for name, value in lines)
    return play.reply_to(lines=sent, chunks=(body.encode(),), client=(SOURCE, 1)).passed


def under_tc3(case: Mapping[str, Any]) -> tuple[Iterable[tuple[str, str]], str]:
    """Return the lines and the body of a request that is signed with TC3."""
    signed = (("content-type", case["content_type"]), ("host", case["host"]))
    signature = tc3(signed=signed, payload=case["body"].encode())
    word, _, fields = authorization(signature).partition(" ")
    lines = [
        *signed,
        ("x-tc-action", case["action"]),
        ("x-tc-version", case["version"]),
        ("x-tc-timestamp", str(NOW)),
        ("authorization", f"{word}{case.get('blanks', ' ')}{fields}"),
        *map(tuple, case.get("headers", ())),
    ]
    return lines, case["body"]


def under_v1(case: Mapping[str, Any]) -> tuple[Iterable[tuple[str, str]], str]:
    """Return the lines and the body of a form that is signed with HmacSHA1."""
    common = {"Action": case["action"], "Version": case["version"], "SecretId": SECRET_ID}
    common |= {"Nonce": "1", "Timestamp": str(NOW), **case.get("params", {})}
    signature = v1("POST", common.items(), digest="sha1", host=case["host"])
    every = {**common, "Signature": signature + case.get("after_signature", "")}
    body = "&".join(f"{name}={quote(value, safe='')}" for name, value in every.items())
    return [("host", case["host"]), ("content-type", FORM)], body


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_of_the_vendors_clients_passes(name: str) -> None:
    assert passes(BASE, REQUESTS[name])


# --- the collection that these were taken from ------------------------------------------------------------


def read(repository: Path, name: str) -> Any:
    """Return a file of the collection; the test is skipped where the collection is absent."""
    file = repository.parent / "shared" / "cases" / name
    if not file.exists():
        pytest.skip("the collection is not here")
    return json.loads(file.read_bytes())


def test_every_document_of_the_collection_gives_what_it_must(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = read(repository, "policies/cases.json")
    assert {case["id"] for case in listed} == DOCUMENTS.keys()
    folder = repository.parent / "shared" / "cases" / "policies"
    catalog = load_catalog(folder / "catalog")
    for case in listed:
        name = case["id"]
        document, met = (folder / f"{name}.json").read_bytes(), DOCUMENTS[name][1]
        must_give(document, catalog, met)
        assert met.codes <= linted(document, catalog, tmp_path / name, capsys)


def test_every_request_of_the_collection_passes(repository: Path) -> None:
    listed = read(repository, "requests/requests.json")
    refused = [case["id"] for case in listed["cases"] if not passes(listed["base"], case)]
    assert refused == []
