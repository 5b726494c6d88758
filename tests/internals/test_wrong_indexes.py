"""The comparison with the evaluation rule by rule finds deliberately wrong indexes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from camguard.engine import condition_index, resource_index, rule_index
from camguard.engine.rule_index import RuleIndex
from camguard.policy import resources
from camguard.policy.model import Qualifier
from tests.engine.index_agreement import Difference, compare

pytestmark = pytest.mark.heavy

WORLDS = 60
right_under, right_equalities = condition_index.under, condition_index._equalities
right_keys, right_decision = condition_index.key_indexes, rule_index._decision
right_find, right_paths = resource_index.ResourceIndex.find, resource_index._paths
right_of_tags, right_pieces = RuleIndex._of_tags, resources.pieces_of


def never_in_doubt(rules: Any, mask: int) -> tuple[int, int]:
    """A rule that cannot be determined holds."""
    return right_under(rules, mask)[0], 0


def all_values_needed(qualifier: Qualifier, clauses: Any) -> Any:
    """Every value must be equal, with each qualifier."""
    del qualifier
    return right_equalities(Qualifier.ALL, clauses)


def other_values_hold(qualifier: Qualifier, clauses: Any) -> Any:
    """A value that no policy names leaves every rule."""
    return right_equalities(qualifier, clauses)._replace(others=-1)


def first_name_only(rules: Any, layers: int) -> Any:
    """All rules belong to the first name that policies are asked for."""
    return right_keys(rules, layers * 100)


def one_kind(row: Any, deciding: Any) -> Any:
    """What all resources have together counts."""
    if isinstance(deciding, int):
        return right_decision(row, deciding)
    together = 0
    for kind in deciding:
        together |= kind
    return right_decision(row, together)


def always_owned(index: Any, resource: str | None) -> tuple[int, int, bool]:
    """Every resource belongs to the owner."""
    return (*right_find(index, resource)[:2], True)


def no_text_is_strange(index: Any, resource: str | None) -> tuple[int, int, bool]:
    """A text that is no resource is matched by no deny."""
    found = right_find(index, resource)
    return (0, 0, True) if not resource or resource.count(":") < 5 else found


def tags_of_the_first(index: Any, *given: Any) -> Sequence[Any] | None:
    """Every resource has the tags of the first one."""
    found = right_of_tags(index, *given)
    return found and [found[0]] * len(found)


def ends_without_middle(patterns: Mapping[Any, int]) -> Any:
    """What stands between two stars is not compared."""
    return right_paths({(each[0], each[-1]) if len(each) > 1 else each: patterns[each] for each in patterns})


def unfilled_is_empty(pattern: Any, bindings: Any) -> Any:
    """A variable without a value stands for no text at all."""
    return right_pieces(pattern, bindings) or ("nothing",)


def no(*_: Any) -> None:
    """There is none."""


def yes(*_: Any) -> bool:
    """It is so."""
    return True


# What is wrong -> where, what, its replacement, and a bundle from which on the difference is found soon.
WRONG: dict[str, tuple[object, str, Any, int]] = {
    "what is in doubt holds": (rule_index, "under", never_in_doubt, 1),
    "all values must be equal": (condition_index, "_equalities", all_values_needed, 255),
    "other values hold": (condition_index, "_equalities", other_values_hold, 100),
    "a region has one spelling": (condition_index, "REGION", "no such key", 1),
    "the first name is the only one": (rule_index, "key_indexes", first_name_only, 1),
    "several resources count as one": (rule_index, "_decision", one_kind, 1),
    "the owner has every resource": (resource_index.ResourceIndex, "find", always_owned, 1),
    "no text is strange": (resource_index.ResourceIndex, "find", no_text_is_strange, 1),
    "all resources have the same tags": (RuleIndex, "_of_tags", tags_of_the_first, 75),
    "nothing stands between two stars": (resource_index, "_paths", ends_without_middle, 1),
    "a variable without a value matches nothing": (resource_index, "pieces_of", unfilled_is_empty, 1),
    "a deny means no path that is close to it": (resource_index, "near_pieces_of", no, 1),
    "every service matches": (resource_index, "service_match", yes, 1),
    "every region matches": (resource_index, "region_match", yes, 1),
    "every account matches": (resource_index, "account_match", yes, 1),
    "a variable has the value of no principal": (rule_index, "contains_uin", no, 1),
}


@pytest.mark.parametrize(("where", "name", "instead", "first"), WRONG.values(), ids=WRONG)
def test_a_wrong_index_is_found(
    where: object, name: str, instead: Any, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, instead)
    assert any(isinstance(each, Difference) for each in compare(25, seed=first))


def test_the_right_index_is_not_found_wrong() -> None:
    words: Counter[str] = Counter()
    for each in compare(WORLDS, seed=1):
        assert not isinstance(each, Difference), each
        words += each
    assert words["by index"] > WORLDS * 15
