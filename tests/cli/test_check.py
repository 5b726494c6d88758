"""`camguard check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog.files import save_all
from camguard.cli import main
from camguard.cli.check import describe_why, render
from camguard.engine.decision import Decision, Reason
from camguard.engine.explain import Explanation
from tests.company import OWNER, action, allow, catalog, document, service

OFFICES = ["10.1.0.0/16", "10.2.0.0/16", "203.0.113.0/26", "2001:db8:1::/48", "2001:db8:2::/48"]
OFFICE, HOME = "10.1.2.3", "198.51.100.7"

# principal, action, address, further arguments, exit code, reason, statements
CALLS = [
    pytest.param(
        "alice", "aiart:TextToImage", OFFICE, [], 0, "allowed", ["aiart-create#0"], id="from the office"
    ),
    pytest.param(
        "uin/100000000101",
        "aiart:TextToImage",
        "2001:db8:1::9",
        [],
        0,
        "allowed",
        ["aiart-create#0"],
        id="IPv6",
    ),
    pytest.param("alice", "aiart:TextToImage", HOME, [], 6, "no_allow", [], id="from home"),
    pytest.param("alice", "aiart:TextToImage", None, [], 6, "no_allow", [], id="from an unknown address"),
    pytest.param(
        "dalia", "aiart:SetPayMode", OFFICE, [], 6, "explicit_deny", ["aiart-settings-locked#0"], id="a deny"
    ),
    pytest.param(
        "jun",
        "aiart:TextToImage",
        None,
        [],
        6,
        "undetermined_deny",
        ["admins-from-office-only#0"],
        id="a deny that cannot be evaluated",
    ),
    pytest.param("lena", "intlpartnersmgt:BindClient", OFFICE, [], 6, "layer_limit", [], id="a boundary"),
    pytest.param(
        "kofi",
        "aiart:TextToImage",
        OFFICE,
        ["--time", "2026-11-01T00:00:00Z"],
        0,
        "allowed",
        ["aiart-season-2027#0"],
        id="in season",
    ),
    pytest.param(
        "kofi",
        "aiart:TextToImage",
        OFFICE,
        ["--time", "2026-10-31 23:59:59"],
        6,
        "no_allow",
        [],
        id="out of season",
    ),
    pytest.param(
        "kofi",
        "aiart:TextToImage",
        OFFICE,
        ["--time", "1795000000.5"],
        0,
        "allowed",
        ["aiart-season-2027#0"],
        id="time in seconds",
    ),
    pytest.param("owner", "aiart:SetPayMode", HOME, [], 0, "allowed", None, id="the owner"),
    pytest.param(
        "alice",
        "aiart:TextToImage",
        OFFICE,
        ["--context", "qcs:mfa=true", "--request-tag", "a=b"],
        0,
        "allowed",
        ["aiart-create#0"],
        id="keys that no statement asks for",
    ),
    pytest.param(
        "nobody", "aiart:TextToImage", OFFICE, [], 6, "principal_unknown", [], id="an unknown principal"
    ),
    pytest.param("alice", "aiart:TextToImag", OFFICE, [], 6, "action_unknown", [], id="an unknown action"),
]


@pytest.mark.parametrize(("principal", "action", "ip", "further", "code", "reason", "statements"), CALLS)
@pytest.mark.usefixtures("folder")
def test_check(
    principal: str,
    action: str,
    ip: str | None,
    further: list[str],
    code: int,
    reason: str,
    statements: list[str] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["check", "--principal", principal, "--action", action, *(["--ip", ip] if ip else []), *further]
    assert main([*argv, "--format", "json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert (answer["decision"], answer["reason"]) == ("deny" if code else "allow", reason)
    assert statements is None or answer["statements"] == statements
    assert main(argv) == code
    text = capsys.readouterr().out
    assert text.startswith(f"{'DENY' if code else 'ALLOW'}  {reason}")
    assert all(statement in text for statement in statements or [])


@pytest.mark.usefixtures("folder")
def test_json_holds_the_whole_call_and_the_whole_answer(capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "check",
        "--principal",
        "alice",
        "--action",
        "aiart:TextToImage",
        "--ip",
        OFFICE,
        "--time",
        "1795000000",
    ]
    assert main([*argv, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer.pop("revision")) == 64
    assert answer == {
        "schema": 1,
        "decision": "allow",
        "reason": "allowed",
        "detail": None,
        "host": None,
        "peer": None,
        "record": None,
        "layer": answer["layer"],
        "statements": ["aiart-create#0"],
        "principal": "uin/100000000101",
        "action": "aiart:TextToImage",
        "asked": ["aiart:TextToImage"],
        "resources": ["*"],
        "source_ip": OFFICE,
        "egress_ip": None,
        "time": 1795000000.0,
    }


@pytest.mark.usefixtures("folder")
def test_explain_shows_each_clause_and_what_would_help(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["check", "--principal", "alice", "--action", "aiart:TextToImage", "--ip", HOME, "--explain"]
    assert main(argv) == 6
    text = capsys.readouterr().out
    assert "identity aiart-create#0: allow, does not count  policies/aiart-create.json#/statement/0\n" in text
    assert "  true    action    aiart:TextToImage\n" in text
    assert f"  false   condition ip_equal qcs:ip {', '.join(OFFICES)}\n" in text
    assert f"                    qcs:ip is {HOME}\n" in text
    added = "aiart-create#0 (policies/aiart-create.json#/statement/0/condition/ip_equal/qcs:ip)"
    assert f"nearest ways to allow\n  add {HOME} to ip_equal qcs:ip of {added}\n  call from" in text
    assert f"  call from {', '.join(OFFICES[:4])}" in text
    assert main([*argv, "--format", "json"]) == 6
    explanation = json.loads(capsys.readouterr().out)["explanation"]
    assert [(each["id"], each["counts"]) for each in explanation["statements"]] == [
        ("full-access#0", True),
        ("aiart-create#0", False),
    ]
    assert [clause["truth"] for clause in explanation["statements"][1]["clauses"]] == [
        "true",
        "true",
        "false",
    ]
    assert [(each["clauses"], each["kind"]) for each in explanation["nearest"]] == [
        (1, "address"),
        (1, "call"),
        (1, "action"),
        (1, "everything"),
    ]


# principal, action, a line that the explanation must have
EXPLAINED = [
    pytest.param(
        "jun",
        "aiart:TextToImage",
        "  unknown condition ip_not_equal qcs:ip 10.1.0.0/16",
        id="an unknown clause",
    ),
    pytest.param(
        "lena",
        "intlpartnersmgt:BindClient",
        "boundary: no statement names intlpartnersmgt:BindClient",
        id="a silent layer",
    ),
    pytest.param(
        "alice",
        "intlpartnersmgt:BindClient",
        "identity: no statement names intlpartnersmgt:BindClient",
        id="a principal without a statement",
    ),
    pytest.param("nobody", "aiart:TextToImage", "no statement was evaluated", id="an unknown principal"),
]


@pytest.mark.parametrize(("principal", "action", "line"), EXPLAINED)
@pytest.mark.usefixtures("folder")
def test_explain(principal: str, action: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    ip = [] if principal == "jun" else ["--ip", OFFICE]
    assert main(["check", "--principal", principal, "--action", action, *ip, "--explain"]) == 6
    assert any(each.startswith(line) for each in capsys.readouterr().out.splitlines())


def test_explain_names_a_policy_that_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bundle/policies/aiart-read.json").unlink()
    argv = ["check", "--principal", "alice", "--action", "aiart:TextToImage", "--ip", OFFICE, "--explain"]
    assert main(argv) == 6
    assert "aiart-read: attached, but not in the bundle" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("aiart:texttoimage", "action_unknown: the catalog"),
        ("aiar:TextToImage", "service_unknown: the catalog"),
        ("TextToImage", "action_invalid: no action"),
        ("name/aiart:TextToImage", "action_invalid: no action"),
    ],
)
def test_names_that_are_near_are_printed_on_stderr(
    action: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--principal", "alice", "--action", action]) == 6
    said = capsys.readouterr()
    assert "did you mean 'aiart:TextToImage'" in said.err
    assert said.out.startswith(f"DENY  {reason}")


def test_an_action_on_resources_wants_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text())
    row = next(row for row in catalog["actions"] if row["name"] == "TextToImage")
    row |= {"granularity": "resource", "resources": ["qcs::aiart:$region:$account:job/$jobid"]}
    file.write_text(json.dumps(catalog))
    argv = ["check", "--principal", "jun", "--action", "aiart:TextToImage", "--ip", OFFICE]
    assert main(argv) == 2
    assert "give --resource like qcs::aiart:" in capsys.readouterr().err
    assert main([*argv, "--resource", "qcs::aiart:ap-guangzhou:uin/100000000001:job/1"]) == 0


def test_an_action_whose_resources_could_not_be_read_is_decided_without(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "catalog/aiart.json"
    catalog = json.loads(file.read_text())
    row = next(row for row in catalog["actions"] if row["name"] == "TextToImage")
    row |= {"granularity": "resource", "resources": [], "unreadable": ["qcs::aiart"]}
    file.write_text(json.dumps(catalog))
    argv = ["--principal", "jun", "--action", "aiart:TextToImage", "--ip", OFFICE]
    assert main(["check", *argv, "--explain"]) == 6
    assert "could not be read: nothing grants it" in capsys.readouterr().out
    (folder / "unread.toml").write_text(
        'now = 2026-12-01T09:00:00Z\n[[test]]\nprincipals = ["jun"]\nactions = ["aiart:TextToImage"]\n'
        f'ips = ["{OFFICE}"]\ndefault = "deny"\n'
    )
    assert main(["test", "unread.toml"]) == 0


ALICE, OTHER = "uin/100000000101", "uin/100000000105"
# the name that user 105 is given, what is typed, who is judged
NAMED = [
    pytest.param("100000000101", "100000000101", ALICE, id="a uin, which is another user's name too"),
    pytest.param("uin/100000000101", "uin/100000000101", ALICE, id="a principal, which is a name too"),
    pytest.param(
        "100000000001", "100000000001", "uin/100000000001", id="the owner's uin, which is a name too"
    ),
    pytest.param("mallory", "mallory", OTHER, id="a name"),
    pytest.param("4711", "4711", OTHER, id="a name of digits that is no uin of a user"),
    pytest.param("alice", "alice", "alice", id="a name of two users, which names neither"),
    pytest.param("mallory", "100000000105", OTHER, id="a uin alone"),
    pytest.param("mallory", "100000000999", "100000000999", id="a uin that does not exist"),
]


@pytest.mark.parametrize(("name", "typed", "judged"), NAMED)
def test_a_uin_is_that_user_whatever_others_are_called(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, typed: str, judged: str
) -> None:
    people = folder / "bundle/principals.json"
    tree = json.loads(people.read_text())
    tree["users"]["100000000105"]["name"] = name
    people.write_text(json.dumps(tree))
    main(["check", "--principal", typed, "--action", "aiart:TextToImage", "--ip", OFFICE, "--format", "json"])
    assert json.loads(capsys.readouterr().out)["principal"] == judged
    (folder / "mine.toml").write_text(
        f'now = 2026-12-01T09:00:00Z\n[[test]]\nprincipals = ["{typed}"]\nactions = ["aiart:TextToImage"]\n'
        f'ips = ["{OFFICE}"]\ndefault = "allow"\n'
    )
    code = main(["test", "mine.toml", "--format", "json"])
    assert (code == 3) is ("/" not in judged)


def test_explain_names_what_the_owner_does_not_own() -> None:
    theirs = "qcs::cvm:ap-guangzhou:uin/200:instance/ins-1"
    why = Explanation(Decision(Reason.NO_ALLOW, layer="identity"), None, (), (), (theirs,))
    explanation = describe_why(why, ())
    assert explanation["foreign"] == [theirs]
    document = {
        "decision": "deny",
        "reason": "no_allow",
        "layer": "identity",
        "statements": [],
        "principal": "uin/100",
        "action": "cvm:Reboot",
        "asked": ["cvm:Reboot"],
        "resources": [theirs],
        "source_ip": None,
        "egress_ip": None,
        "time": None,
        "host": None,
        "peer": None,
        "record": None,
        "revision": "",
        "explanation": explanation,
    }
    line = f"{theirs}: belongs to another account; the owner is allowed only its own resources"
    assert line in list(render(document, "no statement allows it"))


# --- what a call supplies besides address and time --------------------------------------------------------

INSTANCE = "qcs::vm:ap-guangzhou:uin/100100:instance/ins-1"
SUPPLIED = catalog(
    service(
        "vm", action("vm:Stop", "qcs::vm:${region}:uin/${uin}:instance/${InstanceId}"), tag_authorization=True
    )
)
PROXY_KEYS = """
[client_ip]
trusted_proxies = ["10.0.0.1"]
egress = {"10.9.0.0/16" = "203.0.113.7"}
[attributes]
header = "x-a"
keys = ["qcs:mfa", "qcs:vpc"]
"""
NOT_TAGGED = {"null_equal": {"qcs:resource_tag/dept": "true"}}
NOT_REQUESTED = {"null_equal": {"qcs:request_tag/dept": "true"}}

# condition of the only allow, options, exit code
OPTIONS = [
    pytest.param({"string_equal": {"vm:region": "gz"}}, ["--region=ap-guangzhou"], 0, id="DEC-64 a region"),
    pytest.param({"string_equal": {"vm:region": "gz"}}, ["--region=ap-tokyo"], 6, id="DEC-64 another one"),
    pytest.param({"string_equal": {"vm:region": "gz"}}, [], 6, id="DEC-64 no region"),
    pytest.param({"string_equal": {"qcs:tag/dept": "rd"}}, [], 0, id="DEC-66 the inventory"),
    pytest.param({"string_equal": {"qcs:tag/dept": "rd"}}, ["--tag=dept=hr"], 6, id="DEC-66 other tags"),
    pytest.param(NOT_TAGGED, ["--no-tags"], 0, id="DEC-66 no tags"),
    pytest.param(NOT_REQUESTED, [], 6, id="DEC-65 tags in the request are not supplied"),
    pytest.param(NOT_REQUESTED, ["--no-request-tags"], 0, id="DEC-65 no tags in the request"),
    pytest.param(NOT_REQUESTED, ["--request-tag=dept=rd"], 6, id="DEC-65 a tag in the request"),
    pytest.param({"ip_equal": {"qcs:ip": "203.0.113.7"}}, ["--ip=10.9.1.1"], 0, id="T132 by the settings"),
    pytest.param({"ip_equal": {"qcs:ip": "203.0.113.7"}}, ["--ip=10.8.1.1"], 6, id="T132 not mapped"),
    pytest.param(
        {"ip_equal": {"qcs:ip": "203.0.113.7"}},
        ["--ip=10.8.1.1", "--egress=10.8.0.0/16=203.0.113.7"],
        0,
        id="T132 by an option",
    ),
    pytest.param(
        {"bool_equal": {"qcs:mfa": "true"}}, ['--attributes={"qcs:mfa": "true"}'], 0, id="T137 an attribute"
    ),
    pytest.param(
        {"string_equal_if_exist": {"qcs:vpc": "v"}}, ['--attributes={"qcs:vpc": []}'], 0, id="T137 absent"
    ),
    pytest.param({}, ['--attributes={"qcs:uin": "1"}'], 2, id="T137 a key that is not listed"),
    pytest.param({}, ["--attributes=x"], 2, id="T137 no JSON"),
    pytest.param({}, ["--ip=10.8.1.1", "--egress=10.8.0.0/16=::1"], 2, id="T132 two families"),
]


@pytest.mark.parametrize(("condition", "options", "code"), OPTIONS)
def test_options_supply_what_requests_supply(
    condition: dict[str, Any],
    options: list[str],
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_all(SUPPLIED.services.values(), tmp_path / "catalog")
    (tmp_path / "bundle" / "policies").mkdir(parents=True)
    (tmp_path / "bundle" / "policies" / "p.json").write_text(document(allow("vm:*", "*", **condition)))
    people = {"owner": OWNER, "users": {"100200": {"policies": ["p"]}}}
    (tmp_path / "bundle" / "principals.json").write_text(json.dumps(people))
    (tmp_path / "bundle" / "resource_tags.json").write_text(json.dumps({INSTANCE: {"dept": "rd"}}))
    (tmp_path / "camguard.toml").write_text(PROXY_KEYS)
    call = ["--principal=100200", "--action=vm:Stop", f"--resource={INSTANCE}"]
    assert main(["check", f"--config={tmp_path / 'camguard.toml'}", *call, *options]) == code
    out, err = capsys.readouterr()
    assert ("judged as 203.0.113.7" in out) is (code == 0 and "ip_equal" in condition)
    assert bool(err) is (code == 2)
