"""The address ranges of a condition (codes CG413 to CG420, CG434, CG435; CAM 7.3, CAM 7.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from camguard.ipset import LINE_END, V4_END, IpSet, parse_address, parse_range
from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView
from camguard.policy.keys import IP
from camguard.policy.model import Clause
from camguard.suggest import few

_FAMILIES = (("IPv4", 0, V4_END - 1), ("IPv6", V4_END, LINE_END - 1))


class _Range(NamedTuple):
    """One value: its ends on the line of addresses, its text, and its pointer."""

    first: int
    last: int
    text: str
    where: str

    @property
    def address(self) -> str:
        return self.text.partition("/")[0]

    @property
    def has_host_bits(self) -> bool:
        return "/" in self.text and parse_address(self.address) != self.first


def ranges(view: StatementView) -> Iterator[Finding]:
    """Find ranges that are written in a doubtful way, or are too wide to restrict anything."""
    for clause in view.statement.condition:
        if clause.addresses is None:
            continue
        listed = [_Range(ends[0], ends[1], text, place) for text, ends, place in clause.placed()]
        if view.allows and clause.operator.negated:
            message = f"this allows every address except {few(clause.values)}"
            yield found("CG413", clause.where, message, "ip_equal")
        yield from _whole_families(view, clause, clause.addresses, listed)
        yield from _host_bits(listed)
        yield from _redundant(listed, clause.where)


def mapped(view: StatementView) -> Iterator[Finding]:
    """Find ranges that overlap client addresses which policies never see, because they are mapped (T132)."""
    egress = view.supplies.egress
    for clause in view.statement.condition if egress.starts else ():
        for text, ends, where in clause.placed() if clause.key == IP else ():
            pair = next((each for each in egress.pairs if _overlaps(ends, parse_range(each[0]))), None)
            if pair is None:
                continue
            (key, address), positive = pair, not clause.operator.negated
            code = "CG435" if positive and not view.allows else "CG434"
            message = f"{text!r} overlaps {key}, whose addresses are judged as {address}"
            yield found(code, where, message, f"{address}, if the clients of {key} are meant")


def _overlaps(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _whole_families(
    view: StatementView, clause: Clause, addresses: IpSet, listed: Sequence[_Range]
) -> Iterator[Finding]:
    """Find clauses that are true for all addresses of a family, or for none."""
    ends = dict(zip(addresses.starts, addresses.ends, strict=True))
    judged = clause.key == IP and view.turns_on_address(clause)
    for family, low, high in _FAMILIES:
        if ends.get(low) != high:
            continue
        whole = next((one for one in listed if (one.first, one.last) == (low, high)), None)
        where = whole.where if whole else clause.where
        code, instead = "CG414", ""
        if judged and not view.allows and clause.operator.negated:
            code = "CG416"
        elif judged and view.allows and not clause.operator.negated and whole and whole.has_host_bits:
            code, instead = "CG415", whole.address
        which = "no such address is" if clause.operator.negated else "every such address is"
        contains = f"{whole.text!r} contains" if whole else "the ranges together contain"
        effect = "allowed" if view.allows else "denied"
        yield found(code, where, f"{contains} every {family} address, so {which} {effect}", instead)


def _host_bits(listed: Sequence[_Range]) -> Iterator[Finding]:
    for one in listed:
        if one.has_host_bits:
            block = IpSet((one.first,), (one.last,)).cidrs()[0]
            message = f"{one.text!r} has host bits set, but means the whole range {block}"
            yield found("CG417", one.where, message, f"{block}, or {one.address} alone")


def _redundant(listed: Sequence[_Range], where: str) -> Iterator[Finding]:
    """Find ranges that are listed twice, are inside another range, or form one block together."""
    apart: list[_Range] = []
    for one in sorted(listed, key=lambda one: (one.first, -one.last)):
        if not apart or one.first > apart[-1].last:
            apart.append(one)
            continue
        wide = apart[-1]  # blocks never overlap in part: this one is inside
        same = (one.first, one.last) == (wide.first, wide.last)
        message = f"{one.text!r} is {'the same range as' if same else 'contained in'} {wide.text!r}"
        yield found("CG418" if same else "CG419", one.where, message)
    for group in _adjacent(apart):
        blocks = IpSet((group[0].first,), (group[-1].last,)).cidrs()
        if len(blocks) < len(group):
            message = f"the ranges {few([one.text for one in group])} are adjacent and can be merged"
            yield found("CG420", where, message, ", ".join(blocks))


def _adjacent(apart: Sequence[_Range]) -> Iterator[list[_Range]]:
    """Yield the ranges in groups without a gap, each of one address family."""
    group: list[_Range] = []
    for one in apart:
        if group and (one.first != group[-1].last + 1 or one.first == V4_END):
            yield group
            group = []
        group.append(one)
    yield group
