"""The comparison of invariants with the oracle finds deliberately wrong kernels."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.analysis import faults
from camguard.analysis.invariants import ALWAYS
from camguard.ipset import IpSet
from tests.analysis.test_invariants import check

right_wrong, right_during = faults._wrong, faults._during


def what_depends_is_denied(ranges: Any, wanted: Any) -> Any:
    """An answer that depends on conditions counts as a denial."""
    found = right_wrong(ranges, wanted)
    yield from (each for each in found if each[1].word != "depends" or each[0] == "allow")


def only_the_last_range(ranges: Any, wanted: Any) -> Any:
    """Only the last addresses of the space are looked at."""
    last = [(IpSet(addresses.starts[-1:], addresses.ends[-1:]), word) for addresses, word in wanted]
    yield from right_wrong(ranges, last)


def only_the_last_window(windows: Any, times: Any) -> Any:
    """Only the last part of time is looked at."""
    yield from list(right_during(windows, times))[-1:]


def times_are_ignored(windows: Any, _times: Any) -> Any:
    """The whole of time is looked at."""
    yield from right_during(windows, ALWAYS)


WRONG = [
    pytest.param("_wrong", what_depends_is_denied, id="what depends is denied"),
    pytest.param("_wrong", only_the_last_range, id="only the last range"),
    pytest.param("_during", only_the_last_window, id="only the last window"),
    pytest.param("_during", times_are_ignored, id="times are ignored"),
    pytest.param("_same", lambda one, two, _: one.word == two.word, id="conditions are not compared"),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_kernel_is_found(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, name, wrong)
    with pytest.raises(AssertionError):
        check(600, seed=5)
