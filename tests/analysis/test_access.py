"""An access set and a decision never disagree."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.analysis.agreement import Difference, compare, shares

EACH = 3  # bundles of one test
ENDS = ("allow: allowed", "deny: denied", "depends: allowed", "depends: denied")


def agree(worlds: int, seed: int) -> Counter[str]:
    """Compare so many worlds, and count answers and outcomes. A difference fails the test."""
    compared: Counter[str] = Counter()
    for world, found in compare(worlds, seed):
        if isinstance(found, Difference):
            text = "\n".join(f"{name}: {text}" for name, text in world.policies.items())
            rest = json.dumps([world.principals, world.settings, world.known, world.catalog])
            pytest.fail(f"{found}\n{text}\n{rest}")
        compared += found
    return compared


@pytest.mark.parametrize("seed", shares(1, 150, EACH))
def test_access_sets_and_oracle_agree(seed: int) -> None:
    assert set(agree(EACH, seed)) <= set(ENDS)


def test_few_bundles_have_every_answer_and_both_outcomes() -> None:
    compared = agree(12, seed=1)
    assert min(compared[end] for end in ENDS) > 0


@pytest.mark.heavy
def test_access_sets_and_oracle_agree_at_length() -> None:
    compared = agree(3000, seed=1_000_000)
    assert set(compared) == set(ENDS)
