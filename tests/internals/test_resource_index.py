"""What the index of resource patterns looks up once, and the comparisons that it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from camguard.engine import resource_index
from camguard.engine.resource_index import Pieces, ResourceIndex, _Head, _paths, _reach
from camguard.policy.model import Effect
from camguard.policy.patterns import STAR
from tests.engine.test_resource_index import COMPANY, HERE, index_of, rule


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Return the last arguments of all calls of a function of the module, as they are made."""
    found: list[Any] = []
    right: Callable[..., Any] = getattr(resource_index, name)

    def noted(*given: Any) -> Any:
        found.append(given[-1])
        return right(*given)

    monkeypatch.setattr(resource_index, name, noted)
    return found


def test_an_index_keeps_what_reaches_sixteen_beginnings_of_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = counted(monkeypatch, "_reach")
    index = index_of([rule(Effect.ALLOW, "qcs::cvm:::i/*")])
    resources = [f"qcs::cvm:region-{at}::i/1" for at in range(17)]
    for resource in resources[:16] * 2:
        assert index.find(resource)[0]
    assert len(looked_up) == 16
    for resource in (resources[16], resources[16], resources[15]):
        assert index.find(resource)[0]
    assert len(looked_up) == 18, "the seventeenth emptied the cache"


@pytest.mark.parametrize(
    ("pattern", "comparisons"),
    [
        pytest.param("i/1-b", 0, id="a whole path"),
        pytest.param("i/*b", 0, id="one star"),
        pytest.param("i/**b", 0, id="two stars together"),
        pytest.param("i/*-*b", 1, id="a piece between two stars"),
        pytest.param("i/*-**b", 1, id="a piece between three stars"),
        pytest.param("j/*-*b", 0, id="a piece between two stars of another beginning"),
    ],
)
def test_a_path_is_compared_only_with_patterns_that_have_a_piece_between_stars(
    pattern: str, comparisons: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = counted(monkeypatch, "fits")
    index = index_of([rule(Effect.ALLOW, f"qcs::cvm:::{pattern}")])
    assert index.find(HERE + "i/1-b")[0] == (pattern[0] == "i")
    assert compared == ["i/1-b"] * comparisons


# the region of a deny, and whether its pattern is found among those that surely and those that perhaps reach
REACHED = [
    pytest.param("gz", (True, False), id="the region of the resource"),
    pytest.param("GZ", (False, True), id="a region that may be another one"),
    pytest.param("bj", (False, False), id="another region"),
]


@pytest.mark.parametrize(("region", "found"), REACHED)
def test_the_paths_that_may_be_reached_are_searched_only_where_there_are_some(
    region: str, found: tuple[bool, bool]
) -> None:
    surely, perhaps = found
    patterns: dict[Pieces, int] = {("i/", ""): 1}
    heads = {_Head(Effect.DENY, "cvm", region, COMPANY.account("")): patterns}
    assert _reach(COMPANY, heads, "qcs::cvm:gz:") == (
        True,
        _paths(patterns if surely else {}),
        _paths(patterns) if perhaps else None,
    )


class Uncut(str):
    """The text of a resource that is not to be cut into all of its segments."""

    __slots__ = ()

    def split(self, *_: Any) -> Any:
        raise AssertionError(f"{self} was cut into all of its segments")


@pytest.mark.parametrize("path", ["i/1", "", STAR])
def test_a_resource_without_a_colon_in_its_path_is_cut_once(path: str) -> None:
    index: ResourceIndex = index_of([rule(Effect.ALLOW, "qcs::cvm:::*")])
    assert index.find(Uncut(HERE + path)) == index.find(HERE + path)
    with pytest.raises(AssertionError, match="into all"):
        index.find(Uncut(f"{HERE}{path}:more"))
