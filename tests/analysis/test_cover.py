"""Covers by a few CIDR blocks are complete and as small as possible."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.analysis.cover import cover
from camguard.ipset import V4_END, IpSet, parse_address

BITS = 5
BLOCKS = [
    (begin << width, ((begin + 1) << width) - 1)
    for width in range(BITS + 1)
    for begin in range(1 << BITS - width)
]


def size(found: IpSet) -> int:
    return sum(last - first + 1 for first, last in zip(found.starts, found.ends, strict=True))


def smallest(places: set[int], most: int) -> int:
    """Every choice of so many blocks is tried."""
    chosen = (each for count in range(1, most + 1) for each in combinations(BLOCKS, count))
    covers = (IpSet.of_ranges(each) for each in chosen)
    return min(size(each) for each in covers if all(place in each for place in places))


@given(st.sets(st.integers(0, (1 << BITS) - 1), min_size=1, max_size=6), st.integers(1, 2))
def test_no_cover_of_so_many_blocks_is_smaller(places: set[int], most: int) -> None:
    for base in (0, V4_END):
        found = cover((base + place for place in places), most)
        assert all(base + place in found for place in places)
        assert len(found.cidrs()) <= most
        assert size(found) == smallest(places, most)


# the addresses, the most blocks, the cover
COVERS = [
    pytest.param([], 3, [], id="nothing"),
    pytest.param(["10.1.2.3"], 3, ["10.1.2.3"], id="one address"),
    pytest.param(["10.1.2.3", "10.1.2.9", "10.1.2.77", "192.0.2.1"], 4, 4, id="each by itself"),
    pytest.param(
        ["10.1.2.3", "10.1.2.9", "10.1.2.77", "192.0.2.1"],
        3,
        ["10.1.2.0/28", "10.1.2.77", "192.0.2.1"],
        id="the nearest two together",
    ),
    pytest.param(["10.1.2.2", "10.1.2.3"], 2, ["10.1.2.2/31"], id="two neighbours are one block"),
    pytest.param(["255.255.255.255", "::"], 1, ["255.255.255.255", "::"], id="two families take two blocks"),
    pytest.param(
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::ffff"],
        2,
        ["10.0.0.0/30", "2001:db8::/112"],
        id="one block for each family",
    ),
    pytest.param(
        ["10.0.0.1", "10.0.0.128", "2001:db8::1", "2001:db8::ffff"],
        3,
        ["10.0.0.1", "10.0.0.128", "2001:db8::/112"],
        id="addresses of one /64 are one subscriber",
    ),
    pytest.param(
        ["10.0.0.1", "10.0.0.2", "2001:db8::", "2001:db8:0:3::"],
        3,
        ["10.0.0.0/30", "2001:db8::", "2001:db8:0:3::"],
        id="four networks of /64 waste more than four addresses of IPv4",
    ),
    pytest.param(
        ["10.0.0.1", "10.0.0.2", "2001:db8::", "2001:db8:0:1::"],
        3,
        ["10.0.0.1", "10.0.0.2", "2001:db8::/63"],
        id="two networks of /64 waste less than four addresses of IPv4",
    ),
    pytest.param(
        ["10.0.0.7", "10.0.0.8", "10.0.0.12"],
        2,
        ["10.0.0.7", "10.0.0.8/29"],
        id="neighbours of two halves are not joined before those of one half",
    ),
    pytest.param(
        ["10.0.0.5", "10.0.0.8", "10.0.0.9", "10.0.0.23", "10.0.0.26"],
        3,
        ["10.0.0.0/28", "10.0.0.23", "10.0.0.26"],
        id="the blocks go to the half in which they spare most",
    ),
]


@pytest.mark.parametrize(("texts", "most", "cidrs"), COVERS)
def test_covers(texts: list[str], most: int, cidrs: list[str] | int) -> None:
    found = list(cover(map(parse_address, texts), most).cidrs())
    assert found == (texts if isinstance(cidrs, int) else cidrs)


def test_many_addresses_are_covered() -> None:
    places = [place * 7919 for place in range(20_000)]
    found = cover(places, 8)
    assert all(place in found for place in places)
    assert len(found.cidrs()) <= 8
