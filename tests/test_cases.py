"""The language as `tests/cases` defines it, held against everything that implements it."""

from __future__ import annotations

import json
from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest

from camguard import Bundle, CamguardError, load_bundle
from camguard.catalog.model import Catalog
from tests import oracle
from tests.bridge import answer, codes_of, to_bundle, to_call, to_catalog
from tests.casebook import (
    BundleCase,
    DecisionCase,
    DocumentCase,
    bundle_cases,
    catalogs,
    decision_cases,
    document_cases,
)
from tests.tables import Rows, by_topic, check_each

MAIN, KNOWN = catalogs()["main"], catalogs()["known"]
RULE, SENTENCE = attrgetter("rule"), attrgetter("id")
DECISIONS = by_topic(decision_cases(), RULE, SENTENCE)
DOCUMENTS = by_topic(document_cases(), RULE, SENTENCE)
BUNDLES = [pytest.param(case, id=f"{case.rule} {case.id}") for case in bundle_cases()]


@cache
def catalog() -> Catalog:
    return to_catalog(MAIN, KNOWN)


def bundle_of(case: DecisionCase) -> Bundle:
    return to_bundle(catalog(), case.policies, case.principals, inventory=case.inventory, **case.settings)


@pytest.mark.parametrize("cases", DECISIONS)
def test_the_bundle_decides_and_explains(cases: Rows[DecisionCase]) -> None:
    check_each(cases, bundle_decides_and_explains)


def bundle_decides_and_explains(case: DecisionCase) -> None:
    bundle, call = bundle_of(case), to_call(case.call)
    decision = bundle.decide(call)
    assert answer(decision) == (case.reason, case.statements)
    assert bool(decision) is (case.decision == "allow")
    assert answer(bundle.explain(call).decision) == (case.reason, case.statements)


@pytest.mark.parametrize("cases", DECISIONS)
def test_the_oracle_decides(cases: Rows[DecisionCase]) -> None:
    check_each(cases, oracle_decides)


def oracle_decides(case: DecisionCase) -> None:
    found = oracle.decide(
        MAIN,
        case.policies,
        case.principals,
        case.call,
        known=KNOWN,
        inventory=case.inventory,
        **case.settings,
    )
    assert found == (case.reason, case.statements)


@pytest.mark.parametrize("cases", DOCUMENTS)
def test_the_parser_finds_what_is_wrong(cases: Rows[DocumentCase]) -> None:
    check_each(cases, parser_finds_what_is_wrong)


def parser_finds_what_is_wrong(case: DocumentCase) -> None:
    assert codes_of(case.document) == case.codes


@pytest.mark.parametrize("cases", DOCUMENTS)
def test_the_oracle_finds_what_is_wrong(cases: Rows[DocumentCase]) -> None:
    check_each(cases, oracle_finds_what_is_wrong)


def oracle_finds_what_is_wrong(case: DocumentCase) -> None:
    assert frozenset(oracle.validate(case.document)) == case.codes


@pytest.mark.parametrize("case", BUNDLES)
def test_the_bundle_loads_or_not(case: BundleCase, tmp_path: Path) -> None:
    for name, product in MAIN.items():
        (tmp_path / "catalog").mkdir(exist_ok=True)
        (tmp_path / "catalog" / f"{name}.json").write_text(json.dumps(product), encoding="utf-8")
    (tmp_path / "catalog" / "services.json").write_text(json.dumps(KNOWN), encoding="utf-8")
    for name, text in case.policies.items():
        (tmp_path / "bundle" / "policies").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / "policies" / f"{name}.json").write_text(text, encoding="utf-8")
    (tmp_path / "bundle" / "principals.json").write_text(json.dumps(case.principals), encoding="utf-8")
    try:
        load_bundle(tmp_path / "bundle", tmp_path / "catalog")
    except CamguardError:
        assert not case.loads
    else:
        assert case.loads


@pytest.mark.parametrize("case", BUNDLES)
def test_the_oracle_knows_which_bundles_load(case: BundleCase) -> None:
    wrong = [code for text in case.policies.values() for code in oracle.validate(text)]
    assert case.loads is not bool(wrong)
