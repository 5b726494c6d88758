# ruff: noqa: S104 - addresses to read, not to bind
"""Addresses, ranges and sets of them, beside the standard library as an independent reader."""

from __future__ import annotations

import ipaddress
import socket
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.errors import AddressError
from camguard.ipset import (
    EVERY_ADDRESS,
    LINE_END,
    NO_ADDRESS,
    NO_MAP,
    V4_END,
    AddressMap,
    IpSet,
    format_address,
    parse_address,
    parse_range,
)

GOOD = [
    pytest.param("0.0.0.0", 0, id="the first address of all"),
    pytest.param("255.255.255.255", V4_END - 1, id="the last IPv4 address"),
    pytest.param("::", V4_END, id="the first IPv6 address is no IPv4 address"),
    pytest.param("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LINE_END - 1, id="the last address of all"),
    pytest.param("::ffff:203.0.113.66", 0xCB007142, id="T07 a mapped address is IPv4"),
    pytest.param("::ffff:cb00:7142", 0xCB007142, id="T07 a mapped address in hex is IPv4"),
    pytest.param("::1.2.3.4", V4_END + 0x01020304, id="an IPv4-compatible address is not unwrapped"),
    pytest.param("64:ff9b::1.2.3.4", V4_END + (0x64FF9B << 96) + 0x01020304, id="NAT64 is not unwrapped"),
    pytest.param("0000:0000:0000:0000:0000:ffff:255.255.255.255", V4_END - 1, id="the longest spelling"),
    pytest.param("2001:DB8::a", V4_END + (0x20010DB8 << 96) + 10, id="letters of either case"),
]


@pytest.mark.parametrize(("text", "place"), GOOD)
def test_parse_address(text: str, place: int) -> None:
    assert parse_address(text) == place


BAD = [
    pytest.param(text, id=f"{text[:24]!r} is refused")
    for text in (
        "", " ", "1.2.3", "127.1", "1.2.3.4.5", "256.0.0.1", "010.0.0.1", "0203.0.113.7", "0xcb.0.113.7",
        "3405803783", "203.0.28935", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "1.2.3.4\x00", "1.2.3.-4",
        "+1.2.3.4",
        "1.2.3.²", "\uff11.2.3.4",
        "1.2.3.4:80", "[::1]", "::1%eth0", "::1/128", "1.2.3.4/32", ":", ":::", "1::2::3",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::ffff:1.2.3.256", "::1.2.3.04", "1.2.3.4::",
        "unknown", "localhost", "_hidden", "\ufeff1.2.3.4", "::ffff:0x1.2.3.4", "1" * 5000, ":" * 5000,
        "0000:0000:0000:0000:0000:ffff:255.255.255.2555",
    )
]  # fmt: skip


def lenient(_family: int, _text: str) -> bytes:
    return bytes(16)


STRANGE = (
    *(
        "::1%eth0",
        "g::",
        "::1/128",
        "[::1]",
        "::1 ",
        "::ffff:1.2.3.256",
        "::1.2.3.04",
        "::1.2.3.4.5",
        "::1.2",
    ),
    *("::1.2.3.4x", "1.2.3.4::", "0000:0000:0000:0000:0000:0000:255.255.255.2555", "0" * 44 + "::"),
)


@pytest.mark.parametrize("text", STRANGE)
def test_no_address_on_a_platform_that_takes_more(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "inet_pton", lenient)
    assert parse_address("::") == V4_END
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.parametrize("text", BAD)
def test_no_address(text: str) -> None:
    with pytest.raises(AddressError, match="is not an IP address"):
        parse_address(text)


RANGES = [
    pytest.param("10.217.182.3/24", "10.217.182.0", "10.217.182.255", id="T16 host bits are masked"),
    pytest.param("0.0.0.0/0", "0.0.0.0", "255.255.255.255", id="T15 all of IPv4 holds no IPv6"),
    pytest.param("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", id="T15 all of IPv6 holds no IPv4"),
    pytest.param("1.2.3.4", "1.2.3.4", "1.2.3.4", id="a bare address is one host"),
    pytest.param("1.2.3.4/32", "1.2.3.4", "1.2.3.4", id="a full prefix is one host"),
    pytest.param("::1/128", "::1", "::1", id="a full IPv6 prefix is one host"),
    pytest.param("::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255", id="a mapped range is IPv4"),
    pytest.param("2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", id="an odd prefix"),
]


@pytest.mark.parametrize(("text", "first", "last"), RANGES)
def test_parse_range(text: str, first: str, last: str) -> None:
    assert parse_range(text) == (parse_address(first), parse_address(last))


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/00",
     "10.0.0.0/4294967304", "10.0.0.0/255.0.0.0", "::/129", "::ffff:10.0.0.0/8", "::ffff:10.0.0.0/95",
     "10.*.*.10/24", "/8", "10.0.0.0/8/8", "10.0.0.0/²", "10.0.0.0/" + "1" * 5000],
)  # fmt: skip
def test_no_range(text: str) -> None:
    with pytest.raises(AddressError):
        parse_range(text)


def test_an_error_shows_what_was_written_and_no_more() -> None:
    with pytest.raises(AddressError, match=r"'10\.0\.0\.0/33': has a prefix length above /32"):
        parse_range("10.0.0.0/33")
    with pytest.raises(AddressError) as caught:
        parse_address("9" * 100_000)
    assert len(str(caught.value)) < 120


SETS = [
    pytest.param([], (), id="the empty set"),
    pytest.param(["10.0.0.0/25", "10.0.0.128/25"], ("10.0.0.0/24",), id="adjacent ranges become one"),
    pytest.param(["10.0.0.0/8", "10.1.0.0/16"], ("10.0.0.0/8",), id="a nested range vanishes"),
    pytest.param(["10.0.0.1", "10.0.0.1"], ("10.0.0.1",), id="a duplicate vanishes"),
    pytest.param(
        ["::/0", "0.0.0.0/0"], ("0.0.0.0/0", "::/0"), id="the families do not merge where they touch"
    ),
    pytest.param(["::/128", "::/127", "::/0"], ("::/0",), id="ranges that begin where IPv6 does become one"),
    pytest.param(["10.0.0.1", "10.0.0.2"], ("10.0.0.1", "10.0.0.2"), id="neighbours that make no block"),
    pytest.param(["10.0.0.3/32", "10.0.0.4/30"], ("10.0.0.3", "10.0.0.4/30"), id="a run is cut into blocks"),
]


@pytest.mark.parametrize(("texts", "cidrs"), SETS)
def test_ipset(texts: list[str], cidrs: tuple[str, ...]) -> None:
    assert IpSet.of(texts).cidrs() == cidrs


# a set, another one, whether the other one contains it
WITHIN = [
    pytest.param([], [], True, id="the empty set is within itself"),
    pytest.param([], ["10.0.0.1"], True, id="the empty set is within any other"),
    pytest.param(["10.0.0.1"], [], False, id="nothing else is within the empty set"),
    pytest.param(["10.1.0.0/16", "10.2.0.1"], ["10.0.0.0/8"], True, id="ranges within one larger range"),
    pytest.param(["10.0.0.0/8"], ["10.0.0.0/8"], True, id="a set is within itself"),
    pytest.param(["10.0.0.0/8"], ["10.0.0.0/9"], False, id="a range that goes on behind the other"),
    pytest.param(["10.0.0.0/8"], ["10.128.0.0/9"], False, id="a range that begins before the other"),
    pytest.param(["10.0.0.0/30"], ["10.0.0.0", "10.0.0.3"], False, id="a range over a gap"),
    pytest.param(["::/0"], ["0.0.0.0/0"], False, id="the other family"),
]


@pytest.mark.parametrize(("texts", "others", "within"), WITHIN)
def test_a_set_is_within_another(texts: list[str], others: list[str], within: bool) -> None:
    assert (IpSet.of(texts) <= IpSet.of(others)) is within


def test_a_range_over_both_families_is_parted() -> None:
    both = IpSet.of_ranges([(V4_END - 1, V4_END)])
    assert both == IpSet((V4_END - 1, V4_END), (V4_END - 1, V4_END))
    assert both.cidrs() == ("255.255.255.255", "::")


V4 = st.integers(0, V4_END - 1)
V6 = st.one_of(st.integers(0, 2**128 - 1), st.integers(0xFFFF << 32, (0xFFFF << 32) + 2**33))
NETWORKS = st.one_of(
    st.builds(lambda v, p: f"{ipaddress.IPv4Address(v)}/{p}", V4, st.integers(0, 32)),
    st.builds(lambda v, p: f"{ipaddress.IPv6Address(v)}/{p}", V6, st.integers(0, 128)),
)


def folded(address: Any) -> Any:
    return getattr(address, "ipv4_mapped", None) or address


@given(st.one_of(V4.map(ipaddress.IPv4Address), V6.map(ipaddress.IPv6Address)))
def test_text_and_place_are_one_to_one(address: Any) -> None:
    place = parse_address(str(address))
    assert parse_address(format_address(place)) == place
    assert ipaddress.ip_address(format_address(place)) == folded(address)


@given(
    st.lists(NETWORKS, max_size=6), st.one_of(V4.map(ipaddress.IPv4Address), V6.map(ipaddress.IPv6Address))
)
def test_a_set_holds_what_a_second_reader_says(texts: list[str], address: Any) -> None:
    try:
        addresses = IpSet.of(texts)
    except AddressError:
        return  # a mapped range below /96
    networks = [ipaddress.ip_network(text, strict=False) for text in texts]
    address = folded(address)
    expected = any(
        address in network if network.version == address.version else _mapped_in(address, network)
        for network in networks
    )
    assert (parse_address(str(address)) in addresses) is expected
    pairs = list(zip(addresses.starts, addresses.ends, strict=True))
    assert all(first <= last for first, last in pairs)
    assert all(a[1] + 1 < b[0] or b[0] == V4_END for a, b in pairwise(pairs)), (
        "sorted, disjoint, not adjacent"
    )
    assert IpSet.of(addresses.cidrs()) == addresses


def _mapped_in(address: Any, network: Any) -> bool:
    """An IPv4 address is in an IPv6 network only where the network itself is a mapped one."""
    if address.version == 4 and network.prefixlen >= 96:
        return (
            folded(network.network_address) != network.network_address
            and ipaddress.IPv6Address((0xFFFF << 32) + int(address)) in network
        )
    return False


@given(st.text(max_size=50))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    for read in (parse_address, parse_range):
        try:
            read(text)
        except AddressError:
            continue


# pairs, an address, the address that stands for it
PAIRS = {
    "10.0.0.0/8": "192.0.2.1",
    "10.1.0.0/16": "192.0.2.2",
    "10.1.2.3": "192.0.2.3",
    "fd00::/8": "2001:db8::1",
}
MAPS = [
    pytest.param("10.0.0.0", "192.0.2.1", id="T132 the first address of a range"),
    pytest.param("10.255.255.255", "192.0.2.1", id="T132 the last one"),
    pytest.param("10.0.255.255", "192.0.2.1", id="T132 below the narrower range"),
    pytest.param("10.1.0.0", "192.0.2.2", id="T132 the narrower range"),
    pytest.param("10.1.2.3", "192.0.2.3", id="T132 the narrowest one"),
    pytest.param("10.1.2.4", "192.0.2.2", id="T132 behind the narrowest one"),
    pytest.param("10.2.0.0", "192.0.2.1", id="T132 behind the narrower range"),
    pytest.param("9.255.255.255", None, id="T132 below all ranges"),
    pytest.param("11.0.0.0", None, id="T132 above the range"),
    pytest.param("fd12::1", "2001:db8::1", id="T132 IPv6"),
    pytest.param("fe00::", None, id="T132 IPv6 above the range"),
    pytest.param("::ffff:10.1.2.3", "192.0.2.3", id="T132 a mapped spelling"),
]


@pytest.mark.parametrize(("address", "target"), MAPS)
def test_an_address_map(address: str, target: str | None) -> None:
    found = AddressMap.of(PAIRS).get(parse_address(address))
    assert (None if found is None else format_address(found)) == target
    assert NO_MAP.get(parse_address(address)) is None


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param({"10.0.0.1/8": "192.0.2.1", "10.0.0.0/8": "192.0.2.1"}, id="T132 equal after masking"),
        pytest.param({"10.0.0.0/8": "::1"}, id="T132 another family"),
        pytest.param({"10.0.0.0/8": "::"}, id="T132 the first address of another family"),
        pytest.param({"::/8": "192.0.2.1"}, id="T132 the other way round"),
        pytest.param({"10.0.0.0/8": "192.0.2.0/24"}, id="T132 a range as target"),
        pytest.param({"10.0.0.0/33": "192.0.2.1"}, id="T132 no range"),
        pytest.param({"x": "192.0.2.1"}, id="T132 no address"),
    ],
)
def test_pairs_that_are_no_map(pairs: dict[str, str]) -> None:
    with pytest.raises(AddressError):
        AddressMap.of(pairs)


SOME_SETS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=6).map(
    lambda pairs: IpSet.of_ranges((V4_END - 20 + first, V4_END - 20 + first + size) for first, size in pairs)
)


@given(SOME_SETS, SOME_SETS)
def test_common_and_remaining_addresses(one: IpSet, other: IpSet) -> None:
    places = range(V4_END - 25, V4_END + 40)
    mine = [place for place in places if place in one]
    common = [place for place in mine if place in other]
    rest = [place for place in mine if place not in other]
    for found, wanted in ((one & other, common), (one - other, rest)):
        assert [place for place in places if place in found] == wanted
        assert IpSet.of_ranges(zip(found.starts, found.ends, strict=True)) == found


def test_everything_but_some_addresses() -> None:
    every = IpSet.of_ranges([(0, LINE_END - 1)])
    assert every - every == IpSet((), ())
    assert every - IpSet((), ()) == every
    assert (every - (every - IpSet.of(["10.0.0.0/8"]))).cidrs() == ("10.0.0.0/8",)


def test_blocks_whose_text_would_name_ipv4_are_left_out() -> None:
    """No address of a client lies there: an IPv4 address that is mapped into IPv6 is read as IPv4."""
    first, end = NO_ADDRESS
    assert IpSet.of_ranges([(first - 1, end)]).cidrs() == (format_address(first - 1), format_address(end))
    assert IpSet.of_ranges([(first, end - 1)]).cidrs() == ()


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "::/1", "::8/125"])
def test_a_range_of_one_version_is_one_range(text: str) -> None:
    ranges = IpSet.of((text,))
    assert len(ranges.starts) == len(ranges.ends) == 1


def ips(*ranges: tuple[int, int]) -> IpSet:
    return IpSet.of_ranges(ranges)


# two sets; what both contain, and what only the first contains
ALGEBRA = [
    pytest.param(ips(), ips(), ips(), ips(), id="two empty sets"),
    pytest.param(ips((0, 5)), ips(), ips(), ips((0, 5)), id="a set and an empty one"),
    pytest.param(ips(), ips((0, 5)), ips(), ips(), id="an empty set and another one"),
    pytest.param(ips((0, 5)), ips((0, 5)), ips((0, 5)), ips(), id="equal sets"),
    pytest.param(ips((0, 5)), ips((3, 8)), ips((3, 5)), ips((0, 2)), id="an overlap"),
    pytest.param(ips((3, 8)), ips((0, 5)), ips((3, 5)), ips((6, 8)), id="an overlap from below"),
    pytest.param(ips((0, 9)), ips((3, 3)), ips((3, 3)), ips((0, 2), (4, 9)), id="one address within"),
    pytest.param(ips((3, 3)), ips((0, 9)), ips((3, 3)), ips(), id="one address alone"),
    pytest.param(ips((0, 3)), ips((4, 9)), ips(), ips((0, 3)), id="neighbours"),
    pytest.param(ips((4, 9)), ips((0, 3)), ips(), ips((4, 9)), id="neighbours the other way round"),
    pytest.param(
        ips((0, 9), (20, 29)),
        ips((5, 24)),
        ips((5, 9), (20, 24)),
        ips((0, 4), (25, 29)),
        id="a range over a gap",
    ),
    pytest.param(
        ips((5, 24)), ips((0, 9), (20, 29)), ips((5, 9), (20, 24)), ips((10, 19)), id="a gap within a range"
    ),
    pytest.param(
        ips((0, 2), (4, 6), (8, 9)),
        ips((2, 4), (6, 8)),
        ips((2, 2), (4, 4), (6, 6), (8, 8)),
        ips((0, 1), (5, 5), (9, 9)),
        id="ranges whose ends meet",
    ),
    pytest.param(
        ips((0, LINE_END - 1)),
        ips((0, 0), (LINE_END - 1, LINE_END - 1)),
        ips((0, 0), (LINE_END - 1, LINE_END - 1)),
        ips((1, LINE_END - 2)),
        id="both ends of the line",
    ),
]


@pytest.mark.parametrize(("one", "other", "common", "rest"), ALGEBRA)
def test_what_two_sets_have_in_common_and_what_is_left(
    one: IpSet, other: IpSet, common: IpSet, rest: IpSet
) -> None:
    assert (one & other, one - other) == (common, rest)


def test_every_address_is_all_but_those_that_are_read_as_ipv4() -> None:
    first, end = NO_ADDRESS
    expected = IpSet((0, V4_END, end), (V4_END - 1, first - 1, LINE_END - 1))
    assert expected == EVERY_ADDRESS


def test_t132_the_narrowest_of_several_ranges_counts() -> None:
    pairs = {
        "10.0.0.0/8": "1.1.1.1",
        "10.200.0.0/16": "2.2.2.2",
        "10.200.200.0/24": "3.3.3.3",
        "12.0.0.0/8": "4.4.4.4",
    }
    for order in (pairs, dict(reversed(pairs.items()))):
        found = AddressMap.of(order)
        assert [
            found.get(parse_address(each)) for each in ("10.0.0.1", "10.200.0.1", "10.200.200.1", "12.1.1.1")
        ] == [parse_address(each) for each in pairs.values()]
        assert found.get(parse_address("11.0.0.0")) is None
        assert found.pairs == tuple(order.items())
