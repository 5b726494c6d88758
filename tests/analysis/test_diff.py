"""Decisions of two bundles differ exactly where their diff says."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.analysis.differing import Mismatch, compare


def differ_as_said(pairs: int, seed: int) -> Counter[str]:
    """Compare so many pairs of bundles, and count calls. A mismatch fails the test."""
    compared: Counter[str] = Counter()
    for old, new, found in compare(pairs, seed):
        if isinstance(found, Mismatch):
            pytest.fail(f"{found}\nold: {old}\nnew: {new}")
        compared += found
    return compared


def test_decisions_differ_exactly_where_the_diff_says() -> None:
    compared = differ_as_said(50, seed=1)
    assert min(compared[each] for each in ("gained", "lost", "same")) > 5


@pytest.mark.heavy
def test_decisions_differ_exactly_where_the_diff_says_at_length() -> None:
    assert differ_as_said(1500, seed=1_000_000).total() > 10_000
