"""Addresses and times of a change are exactly those where the two bundles decide differently."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from camguard.analysis.access import UNCUT
from camguard.analysis.causes import Side
from camguard.analysis.diff import access_diff
from camguard.analysis.grid import grid_of
from camguard.bundle import Bundle
from camguard.catalog.model import Access
from camguard.ipset import LINE_END, NO_MAP, V4_END, AddressMap, parse_address
from tests.company import USER, allow, bundle, catalog, deny, inside, outside, policy, principals, service

CATALOG = catalog(service("art", "Draw", "Look"))
DRAW = "art:Draw"
NO_EGRESS: dict[str, str] = {}
NOTHING = [allow("none:None")]


def of(*statements: Any) -> Bundle:
    return bundle([policy("mine", *statements)], CATALOG)


def changes(old: Bundle, new: Bundle, egress: dict[str, str]) -> dict[str, tuple[Any, Any]]:
    """Return the addresses and the times of each kind of change of one action."""
    groups = access_diff(Side(old), Side(new), [USER], {DRAW: Access.READ}, egress=AddressMap.of(egress))
    found = {group.part.kind: group.part for group in groups}
    assert len(found) == len(groups)
    return {
        kind: (list(zip(part.ranges.starts, part.ranges.ends, strict=True)), part.times)
        for kind, part in found.items()
    }


def block(text: str) -> tuple[int, int]:
    """Return the first and the last address of a range of IPv4."""
    address, _, bits = text.partition("/")
    first = parse_address(address)
    return first, first + (1 << 32 - int(bits or 32)) - 1


EVERYWHERE = [(0, V4_END - 1), (V4_END, LINE_END - 1)]
LOW, HIGH = parse_address("::fffe:0:0"), parse_address("::1:ffff:ffff:ffff")
# statements of OLD and NEW, addresses that stand for those of clients, where it is gained, where it is lost
PLACES = [
    pytest.param(NOTHING, [allow("*")], NO_EGRESS, EVERYWHERE, None, id="everywhere"),
    pytest.param(
        NOTHING,
        [allow("*", **inside("0.0.0.0/8", "192.0.2.0/24"))],
        NO_EGRESS,
        [block("0.0.0.0/8"), block("192.0.2.0/24")],
        None,
        id="from two ranges, one of which begins at the first address",
    ),
    pytest.param(
        [allow("*", **inside("10.0.0.0/8"))],
        [allow("*", **inside("10.1.0.0/16", "11.0.0.0/8"))],
        NO_EGRESS,
        [block("11.0.0.0/8")],
        [(block("10.0.0.0/16")), (parse_address("10.2.0.0"), parse_address("10.255.255.255"))],
        id="ranges that overlap",
    ),
    *(
        pytest.param(
            [allow("*", **inside(one)), allow("*", **inside(other))],
            [allow("*", **inside(one))],
            NO_EGRESS,
            None,
            [block(other)],
            id=f"of {one} and {other} the second one is taken away",
        )
        for one, other in (("10.0.0.0/8", "192.0.2.0/24"), ("192.0.2.0/24", "10.0.0.0/8"))
    ),
    *(
        pytest.param(
            [allow("*", **inside(one))],
            [allow("*", **inside(one)), allow("*", **inside(other))],
            NO_EGRESS,
            [block(other)],
            None,
            id=f"beside {one} stands {other}",
        )
        for one, other in (("10.0.0.0/8", "192.0.2.0/24"), ("192.0.2.0/24", "10.0.0.0/8"))
    ),
    pytest.param(
        NOTHING,
        [allow("*", **inside("::fffe:0:0/96", "::1:0:0:0/80"))],
        NO_EGRESS,
        [(LOW, HIGH)],
        None,
        id="a range continues over the places between that are no address",
    ),
    pytest.param(
        NOTHING,
        [allow("*", **inside("203.0.113.7"))],
        {"10.0.0.0/8": "203.0.113.7"},
        [block("10.0.0.0/8"), block("203.0.113.7")],
        None,
        id="T132 clients whom policies know by another address",
    ),
    pytest.param(
        NOTHING,
        [allow("*", **inside("10.0.0.0/7"))],
        {"10.0.0.0/8": "203.0.113.7"},
        [block("11.0.0.0/8")],
        None,
        id="T132 clients whose own address policies do not see",
    ),
    pytest.param(
        [allow("*", **outside("203.0.113.7"))],
        [allow("*")],
        {"10.0.0.1": "203.0.113.7"},
        [block("10.0.0.1"), block("203.0.113.7")],
        None,
        id="T132 one client whom policies know by another address",
    ),
]


@pytest.mark.parametrize(("old", "new", "egress", "gained", "lost"), PLACES)
def test_addresses_of_a_change(old: Any, new: Any, egress: dict[str, str], gained: Any, lost: Any) -> None:
    found = changes(of(*old), of(*new), egress)
    wanted = {"gained": gained, "lost": lost}
    assert {kind: places for kind, (places, _) in found.items()} == {
        kind: places for kind, places in wanted.items() if places
    }
    assert {times for _, times in found.values()} == {((-inf, inf),)}


DAY = 86_400.0


def before(day: int) -> dict[str, Any]:
    """Return the condition that a call comes before the beginning of a day in January 1970."""
    return {"date_less_than": {"qcs:current_time": f"1970-01-{day:02}T00:00:00Z"}}


def since(day: int) -> dict[str, Any]:
    return {"date_greater_than_equal": {"qcs:current_time": f"1970-01-{day:02}T00:00:00Z"}}


# statements of OLD and NEW, when it is gained, when it is lost
TIMES = [
    pytest.param(NOTHING, [allow("*", **before(2))], [(-inf, DAY)], None, id="before a day"),
    pytest.param(NOTHING, [allow("*", **since(2))], [(DAY, inf)], None, id="from a day on"),
    pytest.param(
        NOTHING,
        [allow("*"), deny("*", **since(2), **before(3))],
        [(-inf, DAY), (2 * DAY, inf)],
        None,
        id="before a day, and from another one on",
    ),
    pytest.param(
        NOTHING, [allow("*", **since(2), **before(4))], [(DAY, 3 * DAY)], None, id="between two days"
    ),
    pytest.param(
        [allow("*", **before(3))], [allow("*", **before(5))], [(2 * DAY, 4 * DAY)], None, id="two days longer"
    ),
    pytest.param(
        [allow("*", **before(5))], [allow("*", **before(3))], None, [(2 * DAY, 4 * DAY)], id="two days less"
    ),
    pytest.param(
        [allow("*", **before(3)), deny("*", **since(9))],
        [allow("*", **since(2), **before(6)), deny("*", **since(8))],
        [(2 * DAY, 5 * DAY)],
        [(-inf, DAY)],
        id="times that overlap",
    ),
    pytest.param(
        NOTHING,
        [
            allow("*", **since(2), **before(7)),
            *(deny("*", **since(day), **before(day + 1)) for day in (3, 5)),
        ],
        [(DAY, 2 * DAY), (3 * DAY, 4 * DAY), (5 * DAY, 6 * DAY)],
        None,
        id="three days",
    ),
]


@pytest.mark.parametrize(("old", "new", "gained", "lost"), TIMES)
def test_times_of_a_change(old: Any, new: Any, gained: Any, lost: Any) -> None:
    found = changes(of(*old), of(*new), NO_EGRESS)
    wanted = {"gained": gained, "lost": lost}
    assert {kind: list(times) for kind, (_, times) in found.items()} == {
        kind: times for kind, times in wanted.items() if times
    }
    assert all(places == EVERYWHERE for places, _ in found.values())


def test_addresses_at_some_times() -> None:
    some = of(allow("*", **inside("10.0.0.0/8"), **before(2)))
    where = ([block("10.0.0.0/8")], ((-inf, DAY),))
    assert changes(of(*NOTHING), some, NO_EGRESS) == {"gained": where}
    assert changes(some, of(*NOTHING), NO_EGRESS) == {"lost": where}


def test_a_principal_of_one_bundle_only() -> None:
    """The other bundle has no table for the principal."""
    some = policy("art", allow("*", **inside("10.0.0.0/8"), **before(2)))
    with_user = bundle([some], CATALOG, principals(users={"100200": ["art"], "100300": []}))
    without = bundle([some], CATALOG, principals(users={"100300": []}))
    where = ([block("10.0.0.0/8")], ((-inf, DAY),))
    assert changes(without, with_user, NO_EGRESS) == {"gained": where}
    assert changes(with_user, without, NO_EGRESS) == {"lost": where}


def test_cells_have_the_masks_of_the_bits_that_are_asked_for() -> None:
    old, new = (
        of(allow("*", **inside(f"{first}.0.0.0/8"), **before(first))).evaluator.table(USER)
        for first in (10, 11)
    )
    assert old is not None
    assert new is not None
    grid = grid_of(old, new, NO_MAP)
    counts = {
        used: (len(grid.cells(*used).times), len(grid.cells(*used).places))
        for used in ((-1, -1), (-1, 0), (0, -1), (0, 0))
    }
    assert counts == {(-1, -1): (3, 3), (-1, 0): (2, 2), (0, -1): (2, 2), (0, 0): (1, 1)}
    nothing = grid_of(UNCUT, UNCUT, NO_MAP).cells(-1, -1)
    assert [pair for *pair, _ in (*nothing.times, *nothing.places)] == [[0, 0], [0, 0]]
    ((_, _, every),) = grid.cells(0, 0).places
    assert grid.ranges(every).starts == (0, V4_END)
    ((_, _, always),) = grid.cells(0, 0).times
    assert grid.intervals(always) == ((-inf, inf),)
