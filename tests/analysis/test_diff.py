"""Decisions of two bundles differ exactly where their diff says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from camguard.analysis.answers import Alternative, Answer, Condition, Need
from camguard.analysis.cases import newly_allowed
from camguard.analysis.causes import Side
from camguard.analysis.diff import access_diff, actions_of
from tests.analysis.agreement import shares
from tests.analysis.differing import Mismatch, compare
from tests.company import action, allow, bundle, catalog, deny, policy, service

CATALOG = catalog(service("cvm", action("cvm:Stop", "qcs::cvm:${region}:uin/${uin}:instance/${id}")))
A, B = "qcs::cvm:ap-guangzhou::instance/a", "qcs::cvm:ap-guangzhou::instance/b"
ALL = "qcs::cvm:ap-guangzhou::instance/*"
MFA = {"bool_equal": {"qcs:mfa": "true"}}
VPC = {"string_equal": {"vpc:requester_vpc": "vpc-1"}}
ON_A, ON_B, ON_ALL = (f"resource matches {each}" for each in (A, B, ALL))
WITH_MFA, IN_VPC = "qcs:mfa bool_equal true", "vpc:requester_vpc string_equal vpc-1"

# statements of OLD, statements of NEW, what is gained, what is lost: the ways, each as its literals
CASES = [
    pytest.param(
        [allow("cvm:*", A)], [allow("cvm:*", ALL)], {ON_ALL}, set(), id="a resource under a wider one"
    ),
    pytest.param([allow("cvm:*", A)], [allow("cvm:*", [A, B])], {ON_B}, set(), id="one more resource"),
    pytest.param([allow("cvm:*", A)], [allow("cvm:*", B)], {ON_B}, {ON_A}, id="another resource"),
    pytest.param([allow(**MFA)], [allow()], {""}, set(), id="a condition taken away"),
    pytest.param([allow()], [allow(), deny(**MFA)], set(), {""}, id="a deny under a condition"),
    pytest.param([allow(), deny(**MFA)], [allow()], {""}, set(), id="a deny under a condition, taken away"),
    pytest.param(
        [allow(**MFA)], [allow(**MFA), allow(**VPC)], {IN_VPC}, set(), id="an allow under another condition"
    ),
    pytest.param(
        [allow(**MFA)],
        [allow(**MFA), deny(**VPC)],
        set(),
        {WITH_MFA},
        id="a deny under another condition",
    ),
    pytest.param(
        [allow(**MFA), allow(**VPC)], [allow(**VPC), allow(**MFA)], set(), set(), id="another order"
    ),
    pytest.param([allow("cvm:*", [A, ALL])], [allow("cvm:*", ALL)], set(), set(), id="less of the same"),
]


@pytest.mark.parametrize(("old", "new", "gained", "lost"), CASES)
def test_a_change_names_its_conditions(old: Any, new: Any, gained: set[str], lost: set[str]) -> None:
    before, after = (
        Side(bundle([policy("own", *(each | {"action": "cvm:*"} for each in statements))], CATALOG))
        for statements in (old, new)
    )
    groups = access_diff(before, after, ["uin/100200"], actions_of(before, after))
    for kind, expected in (("gained", gained), ("lost", lost)):
        ways = [way for group in groups if group.part.kind == kind for way in group.part.cases.ways]
        assert {" and ".join(map(str, way)) for way in ways} == expected


def test_very_many_ways_to_be_allowed_count_as_a_change() -> None:
    def answer(count: int) -> Answer:
        """Return an answer with so many needs, each of which two conditions meet."""
        conditions = [Condition("key", f"cos:{at}", "string_equal", ("a",)) for at in range(2 * count)]
        alternatives = [Alternative((), (each,)) for each in conditions]
        pairs = zip(alternatives[::2], alternatives[1::2], strict=True)
        return Answer(None, (), tuple(Need("identity", None, pair) for pair in pairs))

    assert newly_allowed(answer(8), answer(7)).ways
    assert not newly_allowed(answer(7), answer(8))  # more needs allow nothing more
    many = newly_allowed(answer(8), answer(9))
    assert many
    assert (many.ways, many.exact) == ((), False)


def differ_as_said(pairs: int, seed: int) -> Counter[str]:
    """Compare so many pairs of bundles, and count calls. A mismatch fails the test."""
    compared: Counter[str] = Counter()
    for old, new, found in compare(pairs, seed):
        if isinstance(found, Mismatch):
            pytest.fail(f"{found}\nold: {old}\nnew: {new}")
        compared += found
    return compared


@pytest.mark.parametrize("seed", shares(1, 30, 1))
def test_decisions_differ_exactly_where_the_diff_says(seed: int) -> None:
    assert differ_as_said(1, seed)


def test_one_pair_of_bundles_has_gains_and_losses() -> None:
    compared = differ_as_said(1, seed=18)
    assert min(compared[each] for each in ("gained", "lost", "same")) > 5


@pytest.mark.heavy
def test_decisions_differ_exactly_where_the_diff_says_at_length() -> None:
    assert differ_as_said(400, seed=1_000_000).total() > 4_000
