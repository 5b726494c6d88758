"""What lint says of random policies is true: what it calls pointless can go, and no decision changes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings

from camguard.catalog.model import Catalog
from camguard.engine.action_index import ActionIndex
from camguard.errors import PolicyError
from camguard.lint import CODES, CatalogView, Finding, Severity, errors, lint
from camguard.policy.document import parse_document
from tests.bridge import to_bundle, to_call, to_catalog
from tests.generators import World, a_catalog, documents, seeded, stream
from tests.test_agreement import QUIET

CALLS = 25  # of each random bundle
# Whatever stands where one of these points can be taken out; of CG401 and CG402 the whole statement can.
POINTLESS = (
    "CG202",
    "CG204",
    "CG209",
    "CG210",
    "CG301",
    "CG401",
    "CG402",
    "CG418",
    "CG419",
    "CG502",
    "CG503",
)
NOTHING = {"effect": "allow", "action": "none:None", "resource": "*"}  # neither grants nor denies


def steps_of(finding: Finding) -> list[str]:
    """Return the steps of the pointer of a finding."""
    steps = finding.where.partition("#/")[2].split("/")
    return [step.replace("~1", "/").replace("~0", "~") for step in steps]


def without(text: str, finding: Finding) -> str:
    """Return the document without the element of a list that a finding points at, else the statement."""
    document = json.loads(text)
    path = steps_of(finding)
    depth = 2 if isinstance(document[path[0]], list) else 1
    parent: Any = document
    for step in path[:-1]:
        parent = parent[int(step) if isinstance(parent, list) else step]
    if len(path) > depth and isinstance(parent, list) and len(parent) > 1:
        del parent[int(path[-1])]
    elif depth == 1:
        document[path[0]] = NOTHING
    else:
        document[path[0]][int(path[1])] = NOTHING
    return json.dumps(document)


def effect_at(text: str, finding: Finding) -> str:
    """Return the effect of the statement that a finding is about."""
    document = json.loads(text)
    path = steps_of(finding)
    found = document[path[0]]
    statement = found[int(path[1])] if isinstance(found, list) else found
    return next(str(value).lower() for name, value in statement.items() if name.lower() == "effect")


def pointless(world: World, catalog: Catalog) -> Iterator[tuple[str, Finding]]:
    """Yield each finding that says that something does nothing, with the name of its policy."""
    view = CatalogView(ActionIndex(catalog))
    for name, text in world.policies.items():
        policy = parse_document(text, f"{name}.json")
        ip_support = world.settings["ip_support"]
        findings = list(lint(policy, view, **world.settings))
        stopping = Counter(finding for finding in findings if finding.severity is Severity.ERROR)
        assert Counter(errors(policy, view, ip_support=ip_support)) == stopping
        for finding in findings:
            # A deny that cannot be known blocks, though its condition never holds.
            blocks = finding.code == "CG401" and effect_at(text, finding) == "deny"
            blocks |= finding.code == "CG402" and not finding.message.endswith("nothing is denied")
            # Where unlisted actions are judged, an allow may grant one.
            grants = finding.code == "CG202" and not finding.message.endswith("grants nothing")
            if finding.code in POINTLESS and not blocks and not grants:
                yield name, finding


def take_out(worlds: int, seed: int) -> Counter[str]:
    """Take out what lint calls pointless in so many bundles, and count the codes.

    Raises AssertionError for the first decision that changes.
    """
    taken_out: Counter[str] = Counter()
    for world, calls in islice(stream(seed, CALLS), worlds):
        catalog = to_catalog(world.catalog)
        # Time and address are always known of a call that came over HTTP.
        queries = [
            to_call(call) for call in calls if call["time"] is not None and call["source_ip"] is not None
        ]
        bundle = to_bundle(catalog, world.policies, world.principals, **world.settings)
        before = [bundle.decide(call).reason for call in queries]
        for name, finding in pointless(world, catalog):
            taken_out[finding.code] += 1
            shorter = {**world.policies, name: without(world.policies[name], finding)}
            bundle = to_bundle(catalog, shorter, world.principals, **world.settings)
            after = [bundle.decide(call).reason for call in queries]
            assert after == before, (finding, world.policies[name], shorter[name])
    return taken_out


def test_what_is_pointless_can_be_taken_out() -> None:
    taken_out = take_out(200, seed=7)
    assert {code for code in POINTLESS if not taken_out[code]} == set()


@pytest.mark.heavy
def test_what_is_pointless_can_be_taken_out_of_many() -> None:
    assert sum(take_out(1_500, seed=10_000).values()) > 1_500


@settings(QUIET, max_examples=150)
@given(documents())
def test_lint_raises_on_no_document_that_loads(text: str) -> None:
    try:
        policy = parse_document(text, "p.json")
    except PolicyError:
        return
    view = CatalogView(ActionIndex(to_catalog(a_catalog(seeded(len(text))))))
    document = json.loads(text)
    findings = list(lint(policy, view))
    assert list(errors(policy, view)) == [f for f in findings if f.severity is Severity.ERROR]
    for finding in findings:
        assert finding.severity is CODES[finding.code].severity
        found: Any = document
        for step in filter(None, steps_of(finding)):  # the place exists, as it was written
            found = found[int(step) if isinstance(found, list) else step]
