"""What changed between two catalogs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camguard.catalog.diff import Change, compare
from camguard.catalog.model import Access, Action, Catalog, IpRestriction, Page, Service
from tests.company import action, service

ADD, BUY = action("toybox:AddToy", access=Access.WRITE), action("toybox:BuyToy", access=Access.WRITE)
TOYBOX = service("toybox", ADD)


def catalog(*actions: Action, service: Service = TOYBOX) -> Catalog:
    return Catalog({service.name: replace(service, actions={action.name: action for action in actions})})


OLD = catalog(ADD)

# what the action becomes, the change
CHANGES = [
    pytest.param(replace(ADD, access=Access.READ), Change("access", "write", "read"), id="its section"),
    pytest.param(replace(ADD, access_guessed=True), Change("access_guessed", False, True), id="a guess"),
    pytest.param(
        replace(ADD, ip_restriction=False), Change("ip_restriction", True, False), id="its restriction"
    ),
    pytest.param(
        replace(ADD, resources=("qcs::a::u:b",)),
        Change("resources", ["*"], ["qcs::a::u:b"]),
        id="its templates",
    ),
    pytest.param(replace(ADD, unreadable=("x",)), Change("unreadable", [], ["x"]), id="what cannot be read"),
    pytest.param(replace(ADD, match="any"), Change("match", "all", "any"), id="how templates combine"),
    pytest.param(replace(ADD, bind={"a": "b"}), Change("bind", {}, {"a": "b"}), id="a binding"),
    pytest.param(replace(ADD, version="2022-12-29"), Change("version", None, "2022-12-29"), id="its version"),
    pytest.param(replace(ADD, description="adds"), Change("description", "", "adds"), id="its description"),
]


@pytest.mark.parametrize(("action", "change"), CHANGES)
def test_every_fact_of_a_row_counts(action: Action, change: Change) -> None:
    difference = compare(OLD, catalog(action))
    assert difference.changed == {"toybox:AddToy": (change,)}
    assert difference


def test_added_and_removed_rows() -> None:
    difference = compare(OLD, catalog(BUY))
    assert (difference.added, difference.removed, difference.changed) == ((BUY,), (ADD,), {})


def test_added_and_removed_services() -> None:
    difference = compare(OLD, Catalog({"attic": replace(TOYBOX, name="attic", actions={})}))
    assert (difference.services_added, difference.services_removed) == (("attic",), ("toybox",))


def test_a_fact_of_the_product() -> None:
    later = replace(TOYBOX, ip_restriction=IpRestriction.PARTIAL)
    assert compare(OLD, catalog(ADD, service=later)).changed == {
        "toybox": (Change("ip_restriction", "supported", "partial"),)
    }


def test_a_page_saved_again_changes_nothing() -> None:
    again = replace(TOYBOX, pages=(Page("Toys", "2026-01-01", "0" * 64),))
    assert not compare(OLD, catalog(ADD, service=again))
