# ruff: noqa: S101 - an answer that is not the right one ends the program
"""What can be asked of policies beside one decision: which tools answer, and how exactly.

One company, written in the language of each tool: the group `art` (alice, bruno) may call an action from
10.1.0.0/16 and 192.0.2.0/24, and alice may not from 10.1.9.0/24. Every cell but `-` is run: `exact` means
that the tool's own answer is the right one; other words say what its answer lacks. `-` means that the public
interface of the tool has no function for the question. Tools for the policies of AWS are asked about an
action of AWS. A tool that is not installed has a column of `?`.

The tools are installed by `pip install --group questions`, and cedar-wasm by `npm install
@cedar-policy/cedar-wasm` in the folder that the variable CEDAR_WASM names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from _report import Report, options, show

from camguard import Call, load_bundle, parse_address
from camguard.ipset import parse_range

ACTION = "aiart:TextToImage"
ALLOWED, TAKEN = ("10.1.0.0/16", "192.0.2.0/24"), "10.1.9.0/24"
OFFICE = '["10.1.0.0/16", "192.0.2.0/24"]'
# Both sides of each edge, and what is right for alice and for bruno.
PLACES = {
    "10.0.255.255": (False, False), "10.1.0.0": (True, True), "10.1.8.255": (True, True),
    "10.1.9.0": (False, True), "10.1.9.255": (False, True), "10.1.10.0": (True, True),
    "10.1.255.255": (True, True), "10.2.0.0": (False, False), "192.0.2.9": (True, True),
}  # fmt: skip
QUESTIONS = (
    "decide one call",
    "from where can alice call it",
    "who can call it from 10.1.9.3",
    "what does a change open",
    "prove that nobody can from outside",
    "least policy for recorded calls",
    "what no recorded call needs",
    "mistakes that no test notices",
    "an action that does not exist",
)
Cells = Mapping[str, Callable[[], str]]


def all_right(ask: Callable[[str, str], bool]) -> str:
    """Ask about every place. Raises AssertionError for a wrong answer."""
    wrong = [
        (who, place)
        for (place, right), (at, who) in product(PLACES.items(), enumerate(("alice", "bruno")))
        if ask(who, place) is not right[at]
    ]
    assert not wrong, wrong
    return "exact"


# --- camguard ---------------------------------------------------------------------------------------------


def camguard() -> Cells:  # noqa: C901, PLR0915 - one function for each question
    """Ask the command line, with a bundle in a temporary folder."""
    folder = Path(tempfile.mkdtemp())
    root = Path(__file__).resolve().parents[1]

    def write(name: str, ranges: tuple[str, ...], action: str = ACTION) -> Path:
        policies = folder / name / "policies"
        policies.mkdir(parents=True)
        for policy, effect, texts in (("art", "allow", ranges), ("less", "deny", (TAKEN,))):
            statement = {"effect": effect, "action": action, "resource": "*"}
            condition = {"ip_equal": {"qcs:ip": list(texts)}}
            document = {"version": "2.0", "statement": [{**statement, "condition": condition}]}
            (policies / f"{policy}.json").write_text(json.dumps(document))
        users = {
            "100000000101": {"name": "alice", "groups": ["art"], "policies": ["less"]},
            "100000000102": {"name": "bruno", "groups": ["art"]},
        }
        owner = {"uin": "100000000001", "app_id": "1250000001"}
        people = {"owner": owner, "users": users, "groups": {"art": {"policies": ["art"]}}}
        (folder / name / "principals.json").write_text(json.dumps(people))
        return folder / name

    bundle, wider = write("old", ALLOWED), write("new", ("10.0.0.0/15", ALLOWED[1]))
    misspelt = write("misspelt", ALLOWED, "aiart:TextToImages")

    def run(*argv: str, of: Path | None = bundle) -> tuple[int, dict[str, Any]]:
        named = ["--bundle", str(of), "--catalog", str(root / "config/catalog")] if of else []
        command = [sys.executable, "-m", "camguard", *argv, *named, "--format", "json"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    def tested(text: str, *argv: str) -> tuple[int, dict[str, Any]]:
        file = folder / "mine.toml"
        file.write_text(f"now = 2026-12-01T09:00:00Z\n[[invariant]]\nname = 'one'\n{text}\n")
        return run("test", str(file), *argv)

    def log() -> str:
        keys = {"id": "1", "time": "2026-12-01T09:00:00Z", "decision": "allow", "reason": "allowed"}
        keys |= {"principal": "uin/100000000101", "service": "aiart", "action": "TextToImage"}
        keys |= {"source_ip": "10.1.2.3", "revision": None, "resources": ["*"]}
        (folder / "log.jsonl").write_text(json.dumps(keys) + "\n")
        return str(folder / "log.jsonl")

    loaded = load_bundle(bundle, catalog=root / "config/catalog")
    uins = {"alice": "uin/100000000101", "bruno": "uin/100000000102"}

    def check(who: str, place: str) -> bool:
        return bool(loaded.decide(Call(uins[who], ACTION, parse_address(place), 0.0)))

    def from_where() -> str:
        found = run("from-where", "--principal", "alice", "--action", ACTION)[1]["allow"]
        assert found == ["10.1.0.0/21", "10.1.8.0/24", "10.1.10.0/23", "10.1.12.0/22", "10.1.16.0/20",
                         "10.1.32.0/19", "10.1.64.0/18", "10.1.128.0/17", "192.0.2.0/24"], found  # fmt: skip
        return "exact"

    def who_can() -> str:
        entries = run("who-can", "--action", ACTION, "--ip", "10.1.9.3")[1]["entries"]
        assert [each["name"] for each in entries] == ["owner", "bruno"], entries
        return "exact"

    def diff() -> str:
        argv = ("diff", str(bundle), str(wider), "--catalog", str(root / "config/catalog"))
        changes = run(*argv, of=None)[1]["changes"]
        assert [(each["kind"], each["ranges"]) for each in changes] == [("gained", ["10.0.0.0/16"])], changes
        return "exact"

    def prove() -> str:
        never = f'never = {{action = "{ACTION}", principal_outside = "owner", ip_outside = %s}}'
        assert tested(never % OFFICE)[0] == 0
        code, found = tested(never % '["10.1.0.0/16"]')
        assert code == 4
        assert found["invariants"][0]["counterexample"]["source_ip"] == "192.0.2.0"
        return "exact"

    def suggest() -> str:
        found = run("suggest", log(), "--principal", "alice")[1]
        (statement,) = found["policy"]["statement"]
        assert statement["condition"] == {"ip_equal": {"qcs:ip": ["10.1.2.3"]}}
        return "exact"

    def unused() -> str:
        found = run("unused", log())[1]
        assert [each["id"] for each in found["statements"]] == ["less#0"]
        assert found["proof"]["changed"] == 0
        return "exact"

    def mutate() -> str:
        exactly = f'allowed_from = {{principal = "bruno", action = "{ACTION}", exactly = {OFFICE}}}'
        found = tested(exactly, "--mutate")[1]["mutation"]
        assert {each["statement"] for each in found["list"]} == {"less#0"}
        return "exact"

    def lint() -> str:
        argv = ("lint", str(misspelt), "--catalog", str(root / "config/catalog"))
        findings = run(*argv, of=None)[1]["findings"]
        assert {"CG201", "CG202"} <= {each["code"] for each in findings}, findings
        return "exact"

    asked = (lambda: all_right(check), from_where, who_can, diff, prove, suggest, unused, mutate, lint)
    return dict(zip(QUESTIONS, asked, strict=True))


# --- the others -------------------------------------------------------------------------------------------

CEDAR = """
permit(principal in Group::"art", action == Action::"TextToImage", resource) when {
  context.ip.isInRange(ip("10.1.0.0/16")) || context.ip.isInRange(ip("192.0.2.0/24"))
};
forbid(principal == User::"alice", action, resource) when { context.ip.isInRange(ip("10.1.9.0/24")) };
"""
MISSPELT = 'permit(principal, action == Action::"TextToImages", resource);'
SCHEMA = """
entity Group; entity User in [Group]; entity Any;
action TextToImage appliesTo { principal: [User], resource: [Any], context: { ip: ipaddr } };
"""
PEOPLE = [
    {"uid": {"type": "User", "id": name}, "attrs": {}, "parents": [{"type": "Group", "id": "art"}]}
    for name in ("alice", "bruno")
]


def cedarpy() -> Cells:
    """Ask Cedar 4 from Python."""
    import cedarpy  # noqa: PLC0415

    def request(who: str | None, place: str | None) -> dict[str, Any]:
        address = {"ip": {"__extn": {"fn": "ip", "arg": place}}}
        return {
            "principal": who and f'User::"{who}"',
            "action": 'Action::"TextToImage"',
            "resource": 'Any::"x"',
            "context": place and address,
        }

    def residuals(who: str | None, place: str | None) -> str:
        found = cedarpy.is_authorized_partial(request(who, place), CEDAR, PEOPLE)
        assert found.decision.name == "NoDecision"
        assert len(found.residuals) == 2
        return "residual conditions"

    def validated() -> str:
        assert cedarpy.validate_policies(CEDAR, SCHEMA).validation_passed
        assert not cedarpy.validate_policies(MISSPELT, SCHEMA).validation_passed
        return "exact, by a schema"

    return {
        QUESTIONS[0]: lambda: all_right(
            lambda who, place: cedarpy.is_authorized(request(who, place), CEDAR, PEOPLE).allowed
        ),
        QUESTIONS[1]: lambda: residuals("alice", None),
        QUESTIONS[2]: lambda: residuals(None, "10.1.9.3"),
        QUESTIONS[8]: validated,
    }


WASM = """
const cedar = require(process.argv[1]);
const {policies, people, places, misspelt, schema} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ask = (who, place) => cedar.isAuthorized({
  principal: {type: "User", id: who}, action: {type: "Action", id: "TextToImage"},
  resource: {type: "Any", id: "x"}, context: {ip: {__extn: {fn: "ip", arg: place}}},
  policies: {staticPolicies: policies}, entities: people,
}).response.decision === "allow";
const partial = cedar.isAuthorizedPartial({
  principal: {type: "User", id: "alice"}, action: {type: "Action", id: "TextToImage"},
  resource: {type: "Any", id: "x"}, context: {}, policies: {staticPolicies: policies}, entities: people,
});
const anybody = cedar.isAuthorizedPartial({
  principal: null, action: {type: "Action", id: "TextToImage"}, resource: {type: "Any", id: "x"},
  context: {ip: {__extn: {fn: "ip", arg: "10.1.9.3"}}},
  policies: {staticPolicies: policies}, entities: people,
});
const errors = text => cedar.validate({schema, policies: {staticPolicies: text}}).validationErrors;
const valid = text => errors(text).length === 0;
console.log(JSON.stringify({
  answers: places.map(place => ["alice", "bruno"].map(who => ask(who, place))),
  partial: [partial.type, anybody.type], valid: [valid(policies), valid(misspelt)],
}));
"""


def cedar_wasm() -> Cells:
    """Ask Cedar 4 from Node."""
    given = {
        "policies": CEDAR,
        "people": PEOPLE,
        "places": list(PLACES),
        "misspelt": MISSPELT,
        "schema": SCHEMA,
    }
    module = str(Path(os.environ["CEDAR_WASM"]) / "node_modules/@cedar-policy/cedar-wasm/nodejs")
    command = ["node", "-e", WASM, module]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    answers = dict(zip(PLACES, found["answers"], strict=True))

    def validated() -> str:
        assert found["valid"] == [True, False]
        return "exact, by a schema"

    def partial(at: int) -> str:
        assert found["partial"][at] == "residuals", found["partial"]
        return "residual conditions"

    return {
        QUESTIONS[0]: lambda: all_right(lambda who, place: answers[place][who == "bruno"]),
        QUESTIONS[1]: lambda: partial(0),
        QUESTIONS[2]: lambda: partial(1),
        QUESTIONS[8]: validated,
    }


CASBIN = """
[request_definition]
r = sub, act, ip
[policy_definition]
p = sub, act, ip, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.act == p.act && ipMatch(r.ip, p.ip)
"""


def casbin() -> Cells:
    """Ask Casbin, with its function ipMatch."""
    import casbin  # noqa: PLC0415

    model = casbin.Model()
    model.load_model_from_text(CASBIN)
    enforcer = casbin.Enforcer(model)
    for text in ALLOWED:
        enforcer.add_policy("art", "TextToImage", text, "allow")
    enforcer.add_policy("alice", "TextToImage", TAKEN, "deny")
    for name in ("alice", "bruno"):
        enforcer.add_grouping_policy(name, "art")

    def from_where() -> str:
        rows = enforcer.get_implicit_permissions_for_user("alice")
        assert sorted(row[2:] for row in rows) == [
            ["10.1.0.0/16", "allow"], ["10.1.9.0/24", "deny"], ["192.0.2.0/24", "allow"],
        ]  # fmt: skip
        return "rows, not combined"

    def who_can() -> str:
        assert enforcer.get_implicit_users_for_permission("TextToImage", "10.1.9.3") == ["bruno"]
        return "exact, one address"

    return {
        QUESTIONS[0]: lambda: all_right(lambda who, place: enforcer.enforce(who, "TextToImage", place)),
        QUESTIONS[1]: from_where,
        QUESTIONS[2]: who_can,
    }


REGO = """package p
allow if { some r in data.allow; r.first <= input.place; input.place <= r.last; not denied }
denied if { input.who == "alice"; some r in data.deny; r.first <= input.place; input.place <= r.last }
"""


def regopy() -> Cells:
    """Ask Rego. The interpreter has no net.cidr_contains, so addresses are numbers."""
    import regopy  # noqa: PLC0415

    rego = regopy.Interpreter()
    rego.add_module("p", REGO)
    pairs = {"allow": ALLOWED, "deny": (TAKEN,)}
    rego.add_data({
        name: [dict(zip(("first", "last"), parse_range(text), strict=True)) for text in texts]
        for name, texts in pairs.items()
    })  # fmt: skip

    def ask(who: str, place: str) -> bool:
        rego.set_input({"who": who, "place": parse_address(place)})
        return "[true]" in str(rego.query("data.p.allow"))

    return {QUESTIONS[0]: lambda: all_right(ask).replace("exact", "exact, in numbers")}


def parliament() -> Cells:
    """Ask a linter of AWS policies."""
    from parliament import analyze_policy_string  # noqa: PLC0415

    def findings(action: str) -> list[str]:
        statement = {"Effect": "Allow", "Action": [action], "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        return [each.issue for each in analyze_policy_string(json.dumps(document)).findings]

    def unknown() -> str:
        assert "UNKNOWN_ACTION" in findings("s3:GetObjectt")
        assert "UNKNOWN_ACTION" not in findings("s3:GetObject")
        return "exact, AWS only"

    return {QUESTIONS[8]: unknown}


def policy_sentry() -> Cells:
    """Ask a writer of AWS policies."""
    from policy_sentry.command.write_policy import write_policy_with_template  # noqa: PLC0415

    def suggest() -> str:
        given = {"mode": "actions", "name": "x", "actions": ["s3:GetObject"]}
        (first, *_) = write_policy_with_template(given)["Statement"]
        assert first["Action"] == ["s3:GetObject"]
        return "from a list, AWS only"

    return {QUESTIONS[5]: suggest}


TOOLS: Mapping[str, tuple[Callable[[], Cells], Callable[[], bool]]] = {
    "camguard": (camguard, lambda: True),
    "cedarpy": (cedarpy, lambda: find_spec("cedarpy") is not None),
    "cedar-wasm": (cedar_wasm, lambda: "CEDAR_WASM" in os.environ),
    "casbin": (casbin, lambda: find_spec("casbin") is not None),
    "regopy": (regopy, lambda: find_spec("regopy") is not None),
    "parliament": (parliament, lambda: find_spec("parliament") is not None),
    "policy_sentry": (policy_sentry, lambda: find_spec("policy_sentry") is not None),
}
NOTES = (
    "decide one call: every tool that decides was asked on both sides of each edge, 18 calls",
    "residual conditions: partial evaluation (experimental in Cedar) returns what is left of each policy",
    "permits and forbids stay apart in it, for a person or a solver; Cedar's own analyzer could not be had",
    "rows, not combined: the ranges of allows and denies as they are written; Casbin asks every user who can",
    "regopy has neither net.cidr_contains nor partial evaluation; OPA has both, and returns residual queries",
    "parliament and policy_sentry know the actions of AWS only, and neither decides a call",
    "-: no function for the question in the public interface of that version",
    "camguard answers for the policies of one vendor; the engines take any model that one writes for them",
)


def main() -> None:
    """Print the table."""
    given = options(__doc__)
    report = Report("questions: what each tool answers, and how exactly", ("", *TOOLS))
    columns = {}
    for name, (tool, installed) in TOOLS.items():
        cells = tool() if installed() else None
        columns[name] = ["?"] * len(QUESTIONS) if cells is None else [
            cells[each]() if each in cells else "-" for each in QUESTIONS
        ]  # fmt: skip
    report.rows += [
        (question, *(columns[name][at] for name in TOOLS)) for at, question in enumerate(QUESTIONS)
    ]
    report.notes += NOTES
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
