"""Attachments: which policies are attached to which principals, and what is doubtful about that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog import load_catalog
from camguard.catalog.model import Catalog
from camguard.engine.action_index import ActionIndex
from camguard.engine.principals import Principals, read_principals
from camguard.lint import CatalogView, Finding, Severity, lint
from camguard.lint.check_attachments import lint_attachments
from camguard.policy.document import Document, parse_document
from tests.bridge import to_catalog
from tests.casebook import catalogs, decision_cases
from tests.company import OWNER, allow, deny, document

ALLOW, DENY = allow(), deny("aiart:TextToImage")
CATALOG = to_catalog(catalogs()["main"])


def of_vm(resource: str, effect: str = "allow", **condition: Any) -> Mapping[str, Any]:
    return {**allow("cvm:RebootInstances", resource, **condition), "effect": effect}


def user(*policies: str, boundary: str | None = None) -> Mapping[str, Any]:
    return {"name": "x", "groups": [], "policies": list(policies), "boundary": boundary}


def attachments(documents: Mapping[str, Document], principals: Any, catalog: Catalog) -> list[Finding]:
    people = read_principals(principals, "principals.json")
    assert isinstance(people, Principals)
    return list(lint_attachments(people, documents, catalog))


def findings(policies: Mapping[str, Any], **principals: Any) -> list[Finding]:
    parsed = {
        name: parse_document(document(statement), f"policies/{name}.json")
        for name, statement in policies.items()
    }
    return attachments(parsed, {"owner": OWNER, **principals}, CATALOG)


UIN = "qcs::cvm:::instance/${uin}-*"
BOT = {"bot": {"policies": ["p"], "boundary": None}}

# code, place, (policies, principals) that have it, (policies, principals) that almost do
ROWS = [
    pytest.param("CG601", "policies/q.json", {"p": ALLOW, "q": ALLOW}, {"users": {"100101": user("p")}},
                 {"p": ALLOW, "q": ALLOW}, {"users": {"100101": user("p", boundary="q")}},
                 id="a policy that is attached to no principal"),
    pytest.param("CG602", "principals.json#/users/100101",
                 {"p": ALLOW}, {"users": {"100101": user("p", "gone")}},
                 {"p": ALLOW, "gone": ALLOW}, {"users": {"100101": user("p", "gone")}},
                 id="a missing policy"),
    pytest.param("CG602", "principals.json#/roles/bot", {}, {"roles": BOT}, {"p": ALLOW}, {"roles": BOT},
                 id="a missing policy of a role"),
    pytest.param("CG602", "principals.json#/account/0", {}, {"account": [["gone"]]}, {}, {"account": []},
                 id="a missing policy of the account"),
    pytest.param("CG603", "policies/q.json", {"p": ALLOW, "q": DENY},
                 {"users": {"100101": user("p", boundary="q")}},
                 {"p": ALLOW, "q": ALLOW}, {"users": {"100101": user("p", boundary="q")}},
                 id="a boundary that only denies"),
    pytest.param("CG604", "principals.json#/account/1", {"p": ALLOW, "q": DENY}, {"account": [["p"], ["q"]]},
                 {"p": ALLOW, "q": DENY}, {"account": [["p"], ["q", "p"]]},
                 id="an account level that only denies"),
    pytest.param("CG604", "principals.json#/account/0", {}, {"account": [[]]}, {}, {"account": []},
                 id="an account level of nothing"),
    pytest.param("CG605", "principals.json#/users/100101", {}, {"users": {"100101": user()}}, {"p": ALLOW},
                 {"users": {"100101": user("p")}}, id="a user without a policy"),
    pytest.param("CG605", "principals.json#/roles/bot", {"p": DENY}, {"roles": BOT},
                 {"p": ALLOW}, {"roles": BOT}, id="a role with denies only"),
    pytest.param("CG606", "policies/p.json#/statement/0/resource", {"p": of_vm("qcs::cvm::uin/100200:*")},
                 {"users": {"100101": user("p")}}, {"p": of_vm("qcs::cvm::uin/100100:*")},
                 {"users": {"100101": user("p")}},
                 id="a resource of another account"),
    pytest.param("CG621", "policies/p.json#/statement/0/resource",
                 {"p": of_vm("qcs::cvm::uid/126:*", "deny")}, {"users": {"100101": user("p")}},
                 {"p": of_vm("qcs::cvm::uid/125:*", "deny")},
                 {"users": {"100101": user("p")}}, id="a resource of another APPID"),
    pytest.param("CG608", "principals.json#/users/100102",
                 {"p": ALLOW}, {"users": {"100101": user("p"), "100102": user("p")}},
                 {"p": ALLOW}, {"users": {"100101": user("p"), "100102": {**user("p"), "name": "y"}}},
                 id="a name of two users"),
    pytest.param("CG620", "policies/p.json#/statement/0/resource", {"p": of_vm("qcs::cvm::125:*", "deny")},
                 {"users": {"100101": user("p")}}, {"p": of_vm("qcs::cvm::uid/125:*", "deny")},
                 {"users": {"100101": user("p")}}, id="DEC-59 the APPID of the owner in bare digits"),
    pytest.param("CG607", "policies/p.json#/statement/0/resource", {"p": of_vm(UIN)}, {"roles": BOT},
                 {"p": of_vm(UIN)}, {"users": {"100101": user("p")}}, id="a role has no uin in a resource"),
    pytest.param("CG607", "policies/p.json#/statement/0/condition/string_equal/qcs:create_uin/1",
                 {"p": of_vm("*", string_equal={"qcs:create_uin": ["1", "${uin}"]})}, {"roles": BOT},
                 {"p": of_vm("*", string_equal={"qcs:create_uin": ["1", "${owner_uin}"]})}, {"roles": BOT},
                 id="a role has no uin in a condition"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "place", "policies", "principals", "others", "other_principals"), ROWS)
def test_a_bundle_has_a_finding_or_just_not(
    code: str,
    place: str,
    policies: Mapping[str, Any],
    principals: Mapping[str, Any],
    others: Mapping[str, Any],
    other_principals: Mapping[str, Any],
) -> None:
    assert [f.where for f in findings(policies, **principals) if f.code == code] == [place]
    assert [f.where for f in findings(others, **other_principals) if f.code == code] == []


def test_principals_with_the_same_policies_make_one_finding() -> None:
    users = {str(uin): {**user("gone"), "name": str(uin)} for uin in range(100101, 100106)}
    (finding,) = findings({}, users=users)
    assert "uin/100101, uin/100102, uin/100103 and 2 more" in finding.message
    (finding,) = findings({}, users={uin: {**user(), "name": uin} for uin in users})
    assert finding.message == (
        "uin/100101, uin/100102, uin/100103 and 2 more: no policy is attached, so every call is refused"
    )


def test_an_account_number_that_the_catalog_prints_is_not_foreign() -> None:
    catalog = dict(catalogs()["main"])
    page = {
        **catalog["cvm"]["actions"][2],
        "resources": ["qcs::cvm:${region}:uin/100200:instance/${instanceId}"],
    }
    catalog["cvm"] = {**catalog["cvm"], "actions": [page]}
    parsed = parse_document(document(of_vm("qcs::cvm::uin/100200:*")), "policies/p.json")
    people = {"owner": OWNER, "users": {"100101": user("p")}}
    assert attachments({"p": parsed}, people, to_catalog(catalog)) == []


def test_the_shipped_bundle_has_no_errors(repository: Path) -> None:
    folder, catalog = repository / "config/bundle", load_catalog(repository / "config/catalog")
    documents = {
        path.stem: parse_document(path.read_bytes(), path.name) for path in (folder / "policies").iterdir()
    }
    principals = json.loads((folder / "principals.json").read_text(encoding="utf-8"))
    assert attachments(documents, principals, catalog) == []
    view = CatalogView(ActionIndex(catalog))
    found = [finding for parsed in documents.values() for finding in lint(parsed, view)]
    assert [finding for finding in found if finding.severity is Severity.ERROR] == []


@pytest.mark.parametrize(
    "case", [c for c in decision_cases() if c.file == "worked_examples"], ids=lambda c: c.rule
)
def test_no_worked_example_is_kept_from_loading(case: Any) -> None:
    view = CatalogView(ActionIndex(CATALOG))
    for name, text in case.policies.items():
        errors = [f for f in lint(parse_document(text, name), view) if f.severity is Severity.ERROR]
        assert [finding for finding in errors if finding.code not in {"CG201", "CG203"}] == []  # DEC-11
