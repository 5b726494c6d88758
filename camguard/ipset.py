"""Sets of IP addresses, held as ranges on one number line.

Rule 1: only this module handles addresses as text; elsewhere an address is an `int`, its place on the line.
Rule 2: the line holds IPv4 first (0 to 2**32-1), then IPv6 (its value plus 2**32), so the two
        families never match each other. `::ffff:1.2.3.4` is IPv4, in whatever form a peer spells it.
Rule 3: `starts` and `ends` are sorted, disjoint and not adjacent. The operator `in` relies on that alone. A
        range ends where IPv4 ends, so that each range belongs to one family.
"""

from __future__ import annotations

import re
import socket
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from camguard.errors import AddressError

V4_END = 1 << 32  # the first place of IPv6
LINE_END = V4_END + (1 << 128)
_MAPPED = 0xFFFF << 32  # ::ffff:0:0
# No address has a place from the first to before the second: mapped addresses are IPv4 (Rule 2).
NO_ADDRESS = V4_END + _MAPPED, V4_END + _MAPPED + V4_END
_MAPPED_PREFIX = 96
_V4_BITS = 32
_V6_BITS = 128
_V6_TEXT = 45  # RFC 4291 text with a dotted quad at its end
# On Linux inet_pton alone is strict enough. These expressions make every platform refuse the same texts.
_V4 = re.compile(
    r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}"
)
_V6 = re.compile(rf"[0-9A-Fa-f:]+(?::{_V4.pattern})?")
_PREFIX = re.compile(r"0|[1-9][0-9]{,2}")


def _v6_value(text: str) -> int:
    if not _V6.fullmatch(text):
        raise AddressError(text)
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text))
    except OSError:
        raise AddressError(text) from None


def parse_address(text: str) -> int:
    """Return the place of one address on the number line.

    text: an address as a socket or a header spells it, without port, brackets, zone or white space.

    >>> parse_address("0.0.1.0"), parse_address("::ffff:0.0.1.0"), parse_address("::1") - V4_END
    (256, 256, 1)

    Raises AddressError for anything else, e.g. "127.1", "010.0.0.1" or "::1%eth0".
    Source: RFC 4291 section 2.2, DEC-24.
    """
    if ":" not in text:
        if not _V4.fullmatch(text):
            raise AddressError(text)
        return int.from_bytes(socket.inet_aton(text))
    if len(text) > _V6_TEXT:
        raise AddressError(text)
    value = _v6_value(text)
    return value & (V4_END - 1) if value >> _V4_BITS == _MAPPED >> _V4_BITS else value + V4_END


def format_address(place: int) -> str:
    """Return the shortest text of an address. The inverse of `parse_address`."""
    if place < V4_END:
        return socket.inet_ntop(socket.AF_INET, place.to_bytes(4))
    return socket.inet_ntop(socket.AF_INET6, (place - V4_END).to_bytes(16))


def parse_range(text: str) -> tuple[int, int]:
    """Return first and last place of a CIDR range or of a single address.

    Host bits are masked: `10.217.182.3/24` is `10.217.182.0/24` (CAM 7.3). A mapped range
    needs a prefix of at least 96 and becomes IPv4.

    Raises AddressError for anything else, including netmasks and leading zeros (DEC-24).
    """
    address, slash, prefix = text.partition("/")
    place = parse_address(address)
    if not slash:
        return place, place
    if not _PREFIX.fullmatch(prefix):
        raise AddressError(text, "has a prefix length that is not a plain number")
    written_as_v6 = ":" in address
    length = int(prefix)
    if written_as_v6 and place < V4_END:
        if length < _MAPPED_PREFIX:
            raise AddressError(text, "is an IPv4-mapped range with a prefix below /96")
        length -= _MAPPED_PREFIX
        written_as_v6 = False
    bits = _V6_BITS if written_as_v6 else _V4_BITS
    if length > bits:
        raise AddressError(text, f"has a prefix length above /{bits}")
    span = 1 << (bits - length)
    first = place - (place - V4_END) % span  # V4_END is a multiple of each IPv4 span
    return first, first + span - 1


def _split(first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Split a range where IPv4 ends."""
    return ((first, V4_END - 1), (V4_END, last)) if first < V4_END <= last else ((first, last),)


def _cidrs(first: int, last: int) -> Iterator[str]:
    """Yield the fewest CIDR blocks of one range of one family, in order."""
    base, bits = (0, _V4_BITS) if first < V4_END else (V4_END, _V6_BITS)
    while first <= last:
        offset = first - base
        room = 1 << (last - first + 1).bit_length() - 1
        block = min(offset & -offset or room, room)
        length = bits - block.bit_length() + 1
        if not NO_ADDRESS[0] <= first < first + block <= NO_ADDRESS[1]:  # its text would name IPv4
            yield format_address(first) if length == bits else f"{format_address(first)}/{length}"
        first += block


@dataclass(frozen=True, slots=True)
class IpSet:
    """A set of addresses: the i-th range goes from `starts[i]` to `ends[i]`, both included."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __le__(self, other: IpSet) -> bool:
        """Whether another set contains every address of this one."""
        return all(
            first in other and other.ends[bisect_right(other.starts, first) - 1] >= last
            for first, last in zip(self.starts, self.ends, strict=True)
        )

    @classmethod
    def of(cls, texts: Iterable[str]) -> IpSet:
        """Return the union of CIDR ranges and addresses. Raises AddressError."""
        return cls.of_ranges(map(parse_range, texts))

    @classmethod
    def of_ranges(cls, ranges: Iterable[tuple[int, int]]) -> IpSet:
        """Return the union of (first, last) pairs, sorted, merged, and split where IPv4 ends."""
        starts: list[int] = []
        ends: list[int] = []
        for first, last in sorted(part for pair in ranges for part in _split(*pair)):
            if starts and first <= ends[-1] + 1 and not ends[-1] < V4_END <= first:
                ends[-1] = max(ends[-1], last)
            else:
                starts.append(first)
                ends.append(last)
        return cls(tuple(starts), tuple(ends))

    def __and__(self, other: IpSet) -> IpSet:
        """Return the addresses that both sets contain."""
        starts: list[int] = []
        ends: list[int] = []
        mine = theirs = 0
        while mine < len(self.starts) and theirs < len(other.starts):
            last, others_last = self.ends[mine], other.ends[theirs]
            first = max(self.starts[mine], other.starts[theirs])
            if first <= min(last, others_last):
                starts.append(first)
                ends.append(min(last, others_last))
            mine += last <= others_last
            theirs += others_last <= last
        return IpSet(tuple(starts), tuple(ends))

    def __sub__(self, other: IpSet) -> IpSet:
        """Return the addresses of this set that another one does not contain."""
        edges = (0, *(end + 1 for end in other.ends)), (*(first - 1 for first in other.starts), LINE_END - 1)
        return self & IpSet.of_ranges(pair for pair in zip(*edges, strict=True) if pair[0] <= pair[1])

    def __contains__(self, place: int) -> bool:
        at = bisect_right(self.starts, place)
        return at > 0 and place <= self.ends[at - 1]

    def cidrs(self) -> tuple[str, ...]:
        """Return the set as the fewest CIDR blocks, in the order of the line.

        Blocks that contain no address, because every address in them is IPv4, are left out.
        """
        pairs = zip(self.starts, self.ends, strict=True)
        return tuple(text for first, last in pairs for text in _cidrs(first, last))


EVERY_ADDRESS = IpSet.of_ranges([(0, NO_ADDRESS[0] - 1), (NO_ADDRESS[1], LINE_END - 1)])


@dataclass(frozen=True, slots=True)
class AddressMap:
    """Addresses that stand for those of ranges: `starts[i]` to `ends[i]` map to `targets[i]`.

    keys: the ranges as they were given. The other three are disjoint and sorted: where ranges overlap, the
    longest prefix has been cut out of the others.
    """

    keys: IpSet
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    targets: tuple[int, ...]
    pairs: tuple[tuple[str, str], ...]  # as written, for people

    @classmethod
    def of(cls, pairs: Mapping[str, str]) -> AddressMap:
        """Return the map of CIDR ranges to addresses.

        Raises AddressError if a text is no range or no address, if a range and its address are of different
        families, and if two ranges are equal after their host bits are masked (T132).
        """
        read: dict[tuple[int, int], int] = {}
        for text, address in pairs.items():
            ends, target = parse_range(text), parse_address(address)
            if (ends[0] < V4_END) != (target < V4_END):
                raise AddressError(text, f"is not of the address family of {address}")
            if ends in read:
                raise AddressError(text, "is the same range as another key")
            read[ends] = target
        # CIDR blocks contain each other or are disjoint, so the narrowest one that contains a place wins.
        narrow_first = sorted(read, key=lambda ends: ends[1] - ends[0])
        cuts = sorted({cut for first, last in read for cut in (first, last + 1)})
        parts = [
            (first, end - 1, read[block])
            for first, end in pairwise(cuts)
            for block in [next((ends for ends in narrow_first if ends[0] <= first <= ends[1]), None)]
            if block is not None
        ]
        return cls(
            IpSet.of_ranges(read),
            tuple(first for first, _, _ in parts),
            tuple(last for _, last, _ in parts),
            tuple(target for _, _, target in parts),
            tuple(pairs.items()),
        )

    def get(self, place: int) -> int | None:
        """Return the address that stands for another one, or None where no range contains it.

        >>> office = AddressMap.of({"10.0.0.0/8": "203.0.113.7"})
        >>> format_address(office.get(parse_address("10.1.2.3"))), office.get(parse_address("11.0.0.0"))
        ('203.0.113.7', None)
        """
        at = bisect_right(self.starts, place) - 1
        return self.targets[at] if at >= 0 and place <= self.ends[at] else None


NO_MAP = AddressMap(IpSet((), ()), (), (), (), ())
