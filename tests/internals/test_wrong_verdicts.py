"""The comparison of verdicts with the rows of all actions finds deliberately wrong verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from camguard.analysis import verdicts
from camguard.engine.table import Table
from tests.analysis.test_verdicts import compare

pytestmark = pytest.mark.heavy

right_under, right_rule = verdicts._under, Table.rule


def what_is_open_is_sure(mask: int, applied: Iterable[Any]) -> tuple[int, int]:
    """A statement that can apply is taken for one that does."""
    sure, is_open = right_under(mask, applied)
    return sure | is_open, 0


def what_is_forbidden_is_forgotten(mask: int, applied: Iterable[Any]) -> tuple[int, int]:
    """A negated condition on the address always holds."""
    return right_under(mask, [each._replace(forbidden=0) for each in applied])


def what_is_required_is_forgotten(mask: int, applied: Iterable[Any]) -> tuple[int, int]:
    """A condition on the address always holds."""
    return right_under(mask, [each._replace(required=0) for each in applied])


def unknown_is_true(table: Table, part: Any, named: Any, *others: Any) -> Any:
    """An allow that is unknown allows (DEC-1)."""
    rule = right_rule(table, part, named, *others)
    return rule if rule is None else rule._replace(settled=True)


def doubt_is_forgotten(table: Table, part: Any, named: Any, *others: Any) -> Any:
    """A condition on an address that CAM may not receive is taken as it is (DEC-62)."""
    rule = right_rule(table, part, named, *others)
    if rule is None:
        return None
    return rule._replace(bits=rule.bits._replace(unknown_with=0, unknown_without=0))


# What is wrong -> where, the name, the replacement, and a bundle from which on it is found soon.
WRONG: dict[str, tuple[Any, str, Callable[..., Any], int]] = {
    "what is open is sure": (verdicts, "_under", what_is_open_is_sure, 3),
    "what is forbidden is forgotten": (verdicts, "_under", what_is_forbidden_is_forgotten, 3),
    "what is required is forgotten": (verdicts, "_under", what_is_required_is_forgotten, 3),
    "an unknown allow allows": (Table, "rule", unknown_is_true, 1010),
    "an unknown condition on the address holds": (Table, "rule", doubt_is_forgotten, 1660),
}


@pytest.mark.parametrize(("where", "name", "wrong", "first"), WRONG.values(), ids=WRONG)
def test_a_wrong_verdict_is_found(
    where: Any, name: str, wrong: Any, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        compare(60, seed=first)
