"""The catalog as lint sees it: which resource-level actions a pattern may match, and what is suggested."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from camguard.catalog.model import Action, Granularity
from camguard.engine.action_index import ActionIndex
from camguard.lint.catalog_view import CatalogView
from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.resources import read_resource
from tests.company import action, catalog, service

ALLOW, DENY = Effect.ALLOW, Effect.DENY


def row(name: str, *templates: str, **bind: str) -> Action:
    return action(f"db:{name}", *templates, granularity=Granularity.RESOURCE, bind=MappingProxyType(bind))


ROWS = (
    row("Bare", "qcs::db:${region}:uin/${uin}:box/boxId", boxId="BoxId"),
    row("Star", "*"),
    row("Fixed", "qcs::db:ap-guangzhou:uin/${uin}:fixed/$id"),
    row("Nowhere", "qcs::db::uin/${uin}:global/{$id}"),
    row("Module", "qcs::${ApiModule}:$region:$account:mod/{id}"),
    row("Other", "qcs::vpc:$region:$account:net/{id}/sub"),
)


CATALOG = catalog(service("db", *ROWS))


def pattern(text: str) -> ResourcePattern:
    found = read_resource(text)
    assert isinstance(found, ResourcePattern)
    return found


# pattern, effect, actions that it may meet
MEETS = [
    ("qcs::db:::box/b-1", ALLOW, "Bare"),
    ("qcs::db:::boxId/b-1", ALLOW, ""),
    ("qcs::db:::box", ALLOW, ""),
    ("qcs::db:gz::fixed/1", ALLOW, "Fixed"),
    ("qcs::db:ap-*::fixed/1", ALLOW, "Fixed"),
    ("qcs::db:bj::fixed/1", ALLOW, ""),
    ("qcs::db:::global/1", ALLOW, "Nowhere"),
    ("qcs::db:bj::global/1", ALLOW, ""),
    ("qcs::db:bj::global/1", DENY, "Nowhere Star"),
    ("qcs::db:::mod/1", ALLOW, "Module"),
    ("qcs::vpc:::net/1/sub", ALLOW, "Other"),
    ("qcs::vpc:::net/1/*", ALLOW, "Other"),
    ("qcs::vpc:::net/1/sup", ALLOW, ""),
    ("qcs::vpc:::*/su", ALLOW, ""),
    ("qcs::db:::net/1/sub", ALLOW, ""),
    ("qcs:::::*", ALLOW, "Bare Fixed Module Nowhere Other"),
    ("qcs:::::*", DENY, "Bare Fixed Module Nowhere Other Star"),
    ("qcs::*:::box/${uin}", ALLOW, "Bare"),
    ("qcs::db:::box/", ALLOW, "Bare"),
    ("qcs::db:::bo/", DENY, "Bare Star"),
    ("qcs::db:::box/b-1/*", DENY, "Bare Star"),
    ("qcs::ghost:::*", DENY, "Star"),
    ("qcs::ghost:::*", ALLOW, ""),
]


@pytest.mark.parametrize(("text", "effect", "names"), MEETS)
def test_which_actions_a_pattern_may_meet(text: str, effect: Effect, names: str) -> None:
    view = CatalogView(ActionIndex(CATALOG))
    found = view.index.members(view.reached(pattern(text), effect))
    assert " ".join(one.name for one in found) == names


def test_how_resources_look() -> None:
    view = CatalogView(ActionIndex(CATALOG))
    everything = view.services["db"]
    star = view.index.set_of([ROWS[1]])
    assert view.resource_shapes(everything, 2) == "qcs::db:::box/…, qcs::db:::fixed/…"
    assert view.resource_shapes(star) == ""
    assert view.services_of(everything) == {"db", "vpc"}
    assert view.services_of(star) == {"db"}


def test_a_few_ids_represent_many() -> None:
    view = CatalogView(ActionIndex(CATALOG))
    assert view.some(view.index.set_of([ROWS[0]])) == "db:Bare"
    assert view.some(view.services["db"], 2) == "db:Bare, db:Fixed and 4 more"
