"""The case files are well-formed, and cover what they claim: every rule of the language, several times.

That every rule has a line in SEMANTICS.md, and every line a test, is the matter of `test_citations.py`.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from camguard import Reason
from tests import oracle
from tests.casebook import CALL, FOLDER, decision_cases, document_cases, raw_cases, rule_of

# Sections and decisions of SEMANTICS.md that a case of policies and calls can show. Left out: DEC-38
# (camguard reads no resource policies) and DEC-49 to DEC-53 (freshness, the wire).
_NUMBERS = (
    *(
        "2",
        "3.1",
        "3.5",
        "4",
        "5.1",
        "5.2",
        "5.3",
        "5.4",
        "7.1",
        "7.2",
        "7.3",
        "7.4",
        "7.5",
        "7.6",
        "8",
        "8.1",
        "8.2",
    ),
    *("9", "10.1", "10.2", "10.3", "11.2", "11.3", "11.4", "11.5", "17"),
)
SECTIONS = tuple(f"CAM {number}" for number in _NUMBERS)
DECISIONS = tuple(f"DEC-{number}" for number in (*range(1, 38), *range(39, 49), *range(54, 65), 66))
LABELED = ("DEC-67", "DEC-68")
UNKNOWNS = tuple(f"U{number}" for number in range(1, 10))

CASES = raw_cases()
COUNTED = Counter(rule_of(case) for _, case in CASES)
KINDS = ({"call", "policies"}, {"document"}, {"policies"})


@pytest.mark.parametrize("rule", [*SECTIONS, *DECISIONS, *LABELED, *UNKNOWNS])
def test_each_rule_has_several_cases(rule: str) -> None:
    assert COUNTED[rule] >= 2


def test_a_rule_and_a_sentence_name_one_case() -> None:
    names = Counter((case["rule"], case["id"]) for _, case in CASES)
    assert [name for name, times in names.items() if times > 1] == []


def test_every_case_is_of_one_kind_and_has_nothing_unknown() -> None:
    for file, case in CASES:
        kind = case.keys() & {"call", "policies", "document"}
        assert kind in KINDS, (file, case)
        assert case.keys() - kind <= {"rule", "id", "expect", "principals", "settings", "inventory"}, (
            file,
            case,
        )
        assert case.get("call", {}).keys() <= CALL.keys(), (file, case)
        assert case.get("settings", {}).keys() <= {"ip_support", "unknown_action"}, (file, case)


def test_sentences_are_sentences() -> None:
    assert [case["id"] for _, case in CASES if not re.fullmatch(r"\S(.*\S)?", case["id"])] == []


def test_reason_decision_and_statements_fit() -> None:
    for case in decision_cases():
        assert case.decision == ("allow" if case.reason == Reason.ALLOWED else "deny"), case.id
        assert case.reason in list(Reason), case.id
        if case.reason in {"explicit_deny", "undetermined_deny"}:
            assert case.statements, case.id
        if case.reason not in {"explicit_deny", "undetermined_deny", "allowed"}:
            assert case.statements == (), case.id


def test_every_reason_that_policies_can_give_occurs() -> None:
    occur = Counter(case.reason for case in decision_cases())
    reasons = ("allowed", "explicit_deny", "undetermined_deny", "no_allow", "layer_limit", "action_unknown")
    assert {reason for reason in reasons if occur[reason] < 5} == set()
    assert occur.keys() - reasons == {"action_invalid", "service_unknown", "principal_unknown"}


def test_every_code_that_a_document_can_have_occurs() -> None:
    occur = {code for case in document_cases() for code in case.codes}
    assert occur == {
        *("PolicyDocumentError", "PolicyDocumentLengthOverLimit", "VersionError", "StatementError"),
        *("EffectError", "ActionError", "ResourceError", "ResourceQcsError", "ResourceProjectError"),
        *("ResourceContentError", "ConditionError", "ConditionTypeError", "ConditionContentError"),
        "PrincipalError",
    }


def test_statements_named_exist() -> None:
    for case in decision_cases():
        documents = {**case.policies, "session": case.call["session"]}
        for name in case.statements:
            policy, mark, index = name.partition("#")
            if policy == "general":
                continue
            if not mark:
                assert policy not in documents, case.id
                continue
            statements = json.loads(documents[policy])["statement"]
            assert int(index) < len(statements), case.id


def test_policies_of_decisions_load() -> None:
    for case in decision_cases():
        for text in [*case.policies.values(), case.call["session"]]:
            assert text is None or oracle.validate(text) == [], case.id


def test_every_file_describes_itself_and_is_read() -> None:
    files = {path.stem for path in FOLDER.glob("*.json")} - {"catalogs"}
    assert {file for file, _ in CASES} == files
    for name in files:
        found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert found.keys() == {"about", "cases"}
        assert found["about"]
