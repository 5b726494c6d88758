"""The address ranges of a condition (codes CG413 to CG420; cam-semantics 7.3, 7.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from camguard.ipset import LINE_END, V4_END, IpSet, parse_address
from camguard.policy.keys import IP
from camguard.policy.lint.codes import found
from camguard.policy.lint.finding import Finding
from camguard.policy.lint.subject import Subject
from camguard.policy.model import Clause
from camguard.suggest import few

_FAMILIES = (("IPv4", 0, V4_END - 1), ("IPv6", V4_END, LINE_END - 1))


class _Range(NamedTuple):
    """One value: its ends on the line, how it is written, and where."""

    first: int
    last: int
    text: str
    at: str

    @property
    def block(self) -> str:
        return IpSet((self.first,), (self.last,)).cidrs()[0]

    @property
    def has_host_bits(self) -> bool:
        address, slash, _ = self.text.partition("/")
        return bool(slash) and parse_address(address) != self.first


def ranges(subject: Subject) -> Iterator[Finding]:
    """Find ranges that are written in a doubtful way, or are too wide to restrict anything."""
    for clause, (at, listed) in zip(subject.statement.condition, subject.spots.clauses, strict=True):
        if clause.addresses is None:
            continue
        values = [
            _Range(ends[0], ends[1], text, f"{at}/{i}" if listed else at)
            for i, (ends, text) in enumerate(zip(clause.wanted, clause.values, strict=True))
        ]
        if subject.allows and clause.operator.negated:
            message = f"everybody but {few(clause.values)} is let in"
            yield found("CG413", at, message, "ip_equal with the ranges that are meant")
        yield from _families(subject, clause, clause.addresses, values, at)
        yield from _host_bits(values)
        yield from _doubles(values, at)


def _families(
    subject: Subject, clause: Clause, addresses: IpSet, values: list[_Range], at: str
) -> Iterator[Finding]:
    """Find clauses that hold for all addresses of a family, or for none."""
    ends = dict(zip(addresses.starts, addresses.ends, strict=True))
    judged = clause.key == IP and judges_address(subject)
    for family, low, high in _FAMILIES:
        if ends.get(low) != high:
            continue
        whole = next((value for value in values if (value.first, value.last) == (low, high)), None)
        here = whole.at if whole else at
        text = whole.text if whole else "what is listed"
        everybody = f"{text!r} is every {family} address" if whole else f"{text} is every {family} address"
        if not subject.allows and clause.operator.negated:
            code = "CG416" if judged else "CG414"
            yield found(code, here, f"{everybody}, so none of them is denied", "the ranges that may pass")
        elif subject.allows and not clause.operator.negated:
            code = "CG415" if judged and whole and whole.has_host_bits else "CG414"
            address = f"{text.partition('/')[0]}" if code == "CG415" else "the ranges that are meant"
            yield found(code, here, f"{everybody}, so all of them are let in", address)
        else:
            effect = "let in" if subject.allows else "denied"
            who = "none of them is" if subject.allows else "all of them are"
            yield found("CG414", here, f"{everybody}, so {who} {effect}", "the ranges that are meant")


def judges_address(subject: Subject) -> bool:
    """Tell whether the source address is judged for some action that the statement touches."""
    return subject.judges_every_address or bool(subject.touched & ~subject.roster.without_address)


def _host_bits(values: list[_Range]) -> Iterator[Finding]:
    for value in values:
        if value.has_host_bits:
            address = value.text.partition("/")[0]
            message = f"{value.text!r} has host bits set: it means all of {value.block}"
            yield found("CG417", value.at, message, f"{value.block}, or {address} alone")


def _doubles(values: list[_Range], at: str) -> Iterator[Finding]:
    """Find ranges that stand twice, lie inside another one, or make one block together."""
    ordered = sorted(enumerate(values), key=lambda item: (item[1].first, -item[1].last, item[0]))
    apart: list[_Range] = []
    for _, value in ordered:
        if not apart or value.first > apart[-1].last:
            apart.append(value)
            continue
        wide = apart[-1]  # blocks never overlap in part: this one lies inside
        if (value.first, value.last) == (wide.first, wide.last):
            yield found("CG418", value.at, f"{value.text!r} is the same as {wide.text!r}", "leave it out")
        else:
            yield found("CG419", value.at, f"{value.text!r} lies inside {wide.text!r}", "leave it out")
    for group in _touching(apart):
        if len(group) == 1:
            continue
        blocks = IpSet((group[0].first,), (group[-1].last,)).cidrs()
        if len(blocks) < len(group):
            message = f"{few(tuple(value.text for value in group))} lie side by side"
            yield found("CG420", at, message, ", ".join(blocks))


def _touching(apart: list[_Range]) -> Iterator[list[_Range]]:
    group: list[_Range] = []
    for value in apart:
        if group and (value.first != group[-1].last + 1 or value.first == V4_END):
            yield group
            group = []
        group.append(value)
    yield group
