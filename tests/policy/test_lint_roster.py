"""The catalog as bits: which resource-level actions a pattern may meet, and what is remembered."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.policy.actions import read_action
from camguard.policy.lint import roster as module
from camguard.policy.lint.roster import Roster, roster_of
from camguard.policy.model import ActionPattern, Effect, ResourcePattern
from camguard.policy.resources import read_resource

ALLOW, DENY = Effect.ALLOW, Effect.DENY


def row(name: str, *templates: str, **bind: str) -> Action:
    level = Granularity.RESOURCE
    return Action(
        "db", name, Access.WRITE, level, templates, ip_restriction=True, bind=MappingProxyType(bind)
    )


ROWS = (
    row("Bare", "qcs::db:${region}:uin/${uin}:box/boxId", boxId="BoxId"),
    row("Star", "*"),
    row("Fixed", "qcs::db:ap-guangzhou:uin/${uin}:fixed/$id"),
    row("Nowhere", "qcs::db::uin/${uin}:global/{$id}"),
    row("Module", "qcs::${ApiModule}:$region:$account:mod/{id}"),
    row("Other", "qcs::vpc:$region:$account:net/{id}/sub"),
)


def catalog() -> Catalog:
    actions = {one.name: one for one in ROWS}
    return Catalog(
        {"db": Service("db", "db", True, False, Granularity.RESOURCE, IpRestriction.SUPPORTED, actions)}
    )


def pattern(text: str) -> ResourcePattern:
    found = read_resource(text)
    assert isinstance(found, ResourcePattern)
    return found


def action(text: str) -> ActionPattern:
    found = read_action(text)
    assert isinstance(found, ActionPattern)
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
    roster = Roster(catalog())
    found = roster.actions(roster.reached(pattern(text), effect))
    assert " ".join(one.name for one in found) == names


def test_how_resources_look() -> None:
    roster = Roster(catalog())
    everything = sum(roster.bits.values())
    assert roster.types(everything, 2) == "qcs::db:::box/…, qcs::db:::fixed/…"
    assert roster.types(roster.bits["db:Star"]) == ""
    assert roster.services_of(everything) == {"db", "vpc"}
    assert roster.services_of(roster.bits["db:Star"]) == {"db"}


def test_a_few_ids_stand_for_many() -> None:
    roster = Roster(catalog())
    assert roster.some(roster.bits["db:Bare"]) == "db:Bare"
    assert roster.some(sum(roster.bits.values()), 2) == "db:Bare, db:Fixed and 4 more"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PATTERNS", 1)
    monkeypatch.setattr(module, "_MOST_WORDS", 1)
    roster = Roster(catalog())
    for _ in range(2):
        for name in ("Bare", "Star"):
            assert roster.named(action(f"db:{name}"), ALLOW).sure == roster.bits[f"db:{name}"]
            assert roster.named(action(f"db:{name.lower()}"), DENY).doubtful == roster.bits[f"db:{name}"]
        assert roster.reached(pattern("qcs::db:::box/1"), ALLOW) == roster.bits["db:Bare"]
        assert roster.reached(pattern("qcs::db:::mod/1"), ALLOW) == roster.bits["db:Module"]
        assert roster.near_action("db", "Bear") == ("db:Bare",)
        assert roster.near_action("db", "Sta") == ()  # one word more than is looked up
        assert roster.near_action("ghost", "Bear") == ()


def test_the_latest_catalog_is_spread_once() -> None:
    one, other = catalog(), catalog()
    assert roster_of(one) is roster_of(one)
    assert roster_of(other).catalog is other
