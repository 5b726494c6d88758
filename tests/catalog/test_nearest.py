"""The actions of the catalog whose names are near a name that it lacks."""

from __future__ import annotations

import pytest

from camguard.catalog import nearest_actions
from tests.company import catalog, service

CATALOG = catalog(
    service("toybox", "AddToy", "DeleteToys", "Deletetoys", "ActivateService"),
    service("attic", "ActivateService", "AddBox"),
    service("db", *(f"MoveRow{at}" for at in range(5)), "MoveRow9"),
)

# what was written, what is near
NEAR = [
    pytest.param("toybox:AddToys", ("toybox:AddToy",), id="a letter too many"),
    pytest.param("toybox:addtoy", ("toybox:AddToy",), id="another case"),
    pytest.param("name/toybox:AddToi", ("toybox:AddToy",), id="the older form"),
    pytest.param(
        "name/db:MoveRow9", ("db:MoveRow9", "db:MoveRow4", "db:MoveRow3"), id="three of six, best first"
    ),
    pytest.param(
        "toybox:deleteToys", ("toybox:DeleteToys", "toybox:Deletetoys"), id="twins by case are both near"
    ),
    pytest.param("toibox:AddToy", ("toybox:AddToy",), id="a misspelt service"),
    pytest.param("AddToy", ("toybox:AddToy", "attic:AddBox"), id="no service"),
    pytest.param("toybox:AddToyss", ("toybox:AddToy",), id="no action of another verb"),
    pytest.param("toybox:DestroyToys", (), id="a verb that no action has"),
    pytest.param(
        "warehouse:ActivateService",
        ("toybox:ActivateService", "attic:ActivateService"),
        id="a service like no other",
    ),
    pytest.param("toybox:Zzz", (), id="nothing like it"),
    pytest.param("", (), id="nothing"),
    pytest.param("x" * 100_000, (), id="endless"),
]


@pytest.mark.parametrize(("written", "near"), NEAR)
def test_near(written: str, near: tuple[str, ...]) -> None:
    assert nearest_actions(CATALOG, written) == near


TWINS = catalog(service("attic", "AddBox"), service("attics", "AddBox"), service("db", "AddBox"))


@pytest.mark.parametrize("written", ["attic:AddBix", "name/attic:AddBix"])
def test_only_actions_of_the_service_are_near_where_the_service_is_known(written: str) -> None:
    assert nearest_actions(TWINS, written) == ("attic:AddBox",)


def test_no_more_names_than_requested() -> None:
    assert len(nearest_actions(CATALOG, "toybox:deletetoys", most=1)) == 1
