"""Reads `tests/cases/*.json`, the second definition of the policy language.

A file is `{"about": text, "cases": [...]}`. A case has a `rule` (a section, decision, source of UNKNOWN or
worked example of camguard/policy/SEMANTICS.md) and an `id`, a sentence; together they are unique.
There are three kinds of cases:

* a decision: `policies` (id -> document, or the list of its statements), `call`, and `expect` with decision,
  reason and statements. What most cases share is left out: see `principals_of` and `CALL`. `settings` may
  hold `ip_support` and `unknown_action`, and `inventory` is what a resource_tags.json says. The actions are
  those of catalog "main" in `cases/catalogs.json`.
* a document: `document`, a text, and `expect` with the `codes` of what is wrong with it, none if it loads.
* a bundle: `policies`, and `expect` with `loads`, whether camguard may take them as a whole.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "cases"
OWNER = {"uin": "100100", "app_id": "125"}
CALL = {
    "principal": "uin/100101",
    "action": "",
    "source_ip": "10.217.182.77",
    "time": "2026-01-01T00:00:00Z",
    "resources": ["*"],
    "resource_tags": None,
    "request_tags": None,
    "context": None,
    "session": None,
}


class DecisionCase(NamedTuple):
    """A call, everything it depends on as JSON has it, and the answer; documents are text."""

    file: str
    rule: str
    id: str
    policies: dict[str, str]
    principals: dict[str, Any]
    settings: dict[str, str]
    inventory: dict[str, dict[str, str]] | None
    call: dict[str, Any]
    decision: str
    reason: str
    statements: tuple[str, ...]


class DocumentCase(NamedTuple):
    """A document, and the codes of what is wrong with it."""

    file: str
    rule: str
    id: str
    document: str
    codes: frozenset[str]


class BundleCase(NamedTuple):
    """Policies as text, principals, and whether they load together."""

    file: str
    rule: str
    id: str
    policies: dict[str, str]
    principals: dict[str, Any]
    loads: bool


def document_text(found: Any) -> str:
    """A document as text, whether given as such, as an object, or as the list of its statements."""
    document = {"version": "2.0", "statement": found} if isinstance(found, list) else found
    return document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)


@cache
def catalogs() -> dict[str, Any]:
    """Name of a catalog -> service -> its catalog file."""
    found: dict[str, Any] = json.loads((FOLDER / "catalogs.json").read_text(encoding="utf-8"))
    return found


def raw_cases() -> list[tuple[str, dict[str, Any]]]:
    """Every case as written, with the name of its file."""
    return [
        (path.stem, case)
        for path in sorted(FOLDER.glob("*.json"))
        if path.stem != "catalogs"
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]
    ]


def rule_of(case: dict[str, Any]) -> str:
    """Return the citation that a case has as its rule: `CAM 7.4`, also where only `7.4` is written."""
    rule: str = case["rule"]
    return f"CAM {rule}" if rule[0].isdigit() else rule


def policies_of(case: dict[str, Any]) -> dict[str, str]:
    """The policies of a case, as text."""
    return {name: document_text(found) for name, found in case["policies"].items()}


def principals_of(case: dict[str, Any]) -> dict[str, Any]:
    """The principals of a case; if it names none, one user who has every policy."""
    users = {"100101": {"policies": list(case["policies"])}}
    found: dict[str, Any] = case.get("principals", {"owner": OWNER, "users": users})
    return found


def decision_cases() -> list[DecisionCase]:
    """The cases that ask for a decision."""
    return [decision_case(file, case) for file, case in raw_cases() if "call" in case]


def decision_case(file: str, case: dict[str, Any]) -> DecisionCase:
    """One case with what it leaves out put in."""
    call = {**CALL, **case["call"]}
    if call["session"] is not None:
        call["session"] = document_text(call["session"])
    return DecisionCase(
        file=file,
        rule=case["rule"],
        id=case["id"],
        policies=policies_of(case),
        principals=principals_of(case),
        settings=case.get("settings", {}),
        inventory=case.get("inventory"),
        call=call,
        decision=case["expect"]["decision"],
        reason=case["expect"]["reason"],
        statements=tuple(case["expect"]["statements"]),
    )


def document_cases() -> list[DocumentCase]:
    """The cases that ask whether a document loads."""
    return [
        DocumentCase(file, case["rule"], case["id"], case["document"], frozenset(case["expect"]["codes"]))
        for file, case in raw_cases()
        if "document" in case
    ]


def bundle_cases() -> list[BundleCase]:
    """The cases that ask whether a bundle loads."""
    return [
        BundleCase(
            file, case["rule"], case["id"], policies_of(case), principals_of(case), case["expect"]["loads"]
        )
        for file, case in raw_cases()
        if "document" not in case and "call" not in case
    ]
