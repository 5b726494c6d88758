"""The comparison of diffs with the oracle finds deliberately wrong diffs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from camguard.analysis import cases, causes, diff, grid
from camguard.analysis.cases import NEVER, Cases
from camguard.analysis.grid import Cells
from tests.analysis.differing import Mismatch, compare

pytestmark = pytest.mark.heavy

right_newly, right_places = cases.newly_allowed, grid._places
right_joined, right_affected, right_unchanged = grid._joined, causes.affected, diff._unchanged


def only_sure(before: Any, after: Any) -> Cases:
    """Where one answer depends on conditions, nothing is gained or lost."""
    return NEVER if before.decision is None or after.decision is None else right_newly(before, after)


def one_address_short(*given: Any) -> Iterator[Any]:
    """Every part of the line but the first begins one address too late."""
    for first, end, masks in right_places(*given):
        yield first + (first > 0), end, masks


def first_time_only(intervals: Any) -> Any:
    """Of several intervals only the first one is kept."""
    return right_joined(intervals)[:1]


def certain_only(*given: Any) -> int | None:
    """A principal whose boundary or account changed counts as unchanged."""
    return right_affected(*given) or 0


def implied(*_: Any) -> bool:
    """Every condition implies every other one."""
    return True


def the_first_cell_only(parts: Any, old: Any, new: Any) -> int:
    """What does not change in the first part of the line and of time counts as unchanged everywhere."""
    first = SimpleNamespace(cells=lambda *used: Cells(*(each[:1] for each in parts.cells(*used))))
    return right_unchanged(first, old, new)  # type: ignore[arg-type]


def what_is_denied_once(parts: Any, old: Any, new: Any) -> int:
    """What is surely denied by the old bundle counts as unchanged."""
    denied = -1
    for time, _, _ in parts.cells(-1, -1).times:
        for place, _, _ in parts.cells(-1, -1).places:
            denied &= old(time | place).denied
    return denied | right_unchanged(parts, old, new)


# What is wrong -> the module and the function, its replacement, and a pair from which on it is found soon.
WRONG: dict[str, tuple[Any, str, Callable[..., Any], int]] = {
    "open conditions are left out": (diff, "newly_allowed", only_sure, 1),
    "ranges begin too late": (grid, "_places", one_address_short, 1),
    "only the first time is kept": (grid, "_joined", first_time_only, 50),
    "a changed boundary is passed over": (diff, "affected", certain_only, 1),
    "one part stands for all": (diff, "_unchanged", the_first_cell_only, 1),
    "what was denied counts as unchanged": (diff, "_unchanged", what_is_denied_once, 1),
    "every condition implies every other": (cases, "implies", implied, 1),
}


@pytest.mark.parametrize(("module", "function", "instead", "first"), WRONG.values(), ids=WRONG)
def test_a_wrong_diff_is_found(
    module: Any, function: str, instead: Callable[..., Any], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, function, instead)
    assert any(isinstance(found, Mismatch) for *_, found in compare(200, seed=first))
