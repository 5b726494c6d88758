"""Reads the invariants of a file of policy tests.

An invariant says what must hold for every call of a space, where a test lists calls:

    [[invariant]]
    name = "money moves inside of the offices only"
    never = {action = "intlpartnersmgt:Pay*", principal_outside = "owner", ip_outside = ["desk", "floor"]}

Rule 1: what a space leaves out is unlimited, and `_outside` takes away.
Rule 2: a pattern, a name or a range that names nothing is an error; a misspelt invariant must not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple

from camguard.analysis.grid import FAR, Interval
from camguard.analysis.invariants import ALWAYS, Invariant, Space
from camguard.analysis.questions import callable_actions, principal_names, principals_named
from camguard.catalog import Access, nearest_actions
from camguard.errors import AddressError
from camguard.ipset import EVERY_ADDRESS, IpSet
from camguard.policy.patterns import STAR, star_match
from camguard.policy.values import format_moment
from camguard.policytest.cases import Reader, SuiteFile, Values, find_principal, read_instant
from camguard.strict_json import Check, is_text, must
from camguard.suggest import nearest, suggestion

FORMS: Final = ("never", "allowed_from", "same_as")
OPEN_END: Final = ".."  # ISO 8601-2: an interval without a beginning or an end


class Stated(NamedTuple):
    """One `[[invariant]]`. form: one of FORMS."""

    where: str
    name: str
    form: str
    invariant: Invariant


def _is_one_or_more(value: Any) -> bool:
    return is_text(value) or (isinstance(value, list) and bool(value) and all(map(is_text, value)))


_TEXTS: Final = must(_is_one_or_more, "a string, or a list of at least one string")
_SOME: Final = must(
    lambda value: isinstance(value, list) and all(map(is_text, value)), "a list of addresses and ranges"
)
_TEXT: Final = must(is_text, "a string")
_LIMITS: Final[Mapping[str, Check]] = {
    **dict.fromkeys(
        (
            *("principal", "principal_outside", "action", "action_outside", "access"),
            *("ip", "ip_outside", "time", "time_outside"),
        ),
        _TEXTS,
    ),
    "resource": _TEXT,
}
_MEMBERS: Final[Mapping[str, Mapping[str, Check]]] = {
    "never": _LIMITS,
    "allowed_from": {**_LIMITS, "exactly": _SOME},
    "same_as": {**_LIMITS, "other_principal": _TEXT, "other_action": _TEXT},
}
_ANYTHING: Final = must(lambda _value: True, "anything")
_NEEDED: Final = {"never": (), "allowed_from": ("principal", "action", "exactly"), "same_as": ()}


def read_invariants(file: SuiteFile) -> tuple[Stated, ...]:
    """Return the invariants of a file. Its reader gets every problem, each with the number of the table."""
    found = (
        _read(file, raw, f"[[invariant]] {i}") for i, raw in enumerate(file.top.get("invariant", []), start=1)
    )
    return tuple(each for each in found if each is not None)


def _read(file: SuiteFile, raw: Any, at: str) -> Stated | None:
    reader = file.reader
    name = str(raw["name"]) if isinstance(raw, dict) and "name" in raw else at
    at = at if name == at else f"{at} {name!r}"
    table = reader.members(raw, at, optional=dict.fromkeys(("name", *FORMS), _ANYTHING))
    forms = [form for form in FORMS if form in table]
    if len(forms) != 1:
        reader.wrong(at, f"has {len(forms)} of {', '.join(FORMS)}: write exactly one of them")
        return None
    (form,) = forms
    before = len(reader.problems)
    checks = dict(_MEMBERS[form])
    needed = {key: checks.pop(key) for key in _NEEDED[form]}
    members = reader.members(table[form], f"{at}, {form}", needed, checks)
    space = _space(file, members, f"{at}, {form}")
    exactly = _addresses(file, members["exactly"], f"{at}, {form}, exactly") if "exactly" in members else None
    other = _other(reader, members, f"{at}, {form}") if form == "same_as" else None
    if form == "never" and not members:
        reader.wrong(f"{at}, {form}", "limits nothing: name at least an action, a principal or an address")
    if len(reader.problems) > before:
        return None
    return Stated(f"{reader.source}: {at}", name, form, Invariant(space, exactly, other))


def _space(file: SuiteFile, members: Values, at: str) -> Space:
    bundle = file.reader.bundle
    values = partial(_values, file, members)
    people = tuple(bundle.people.layers)
    principals = _named(values("principal", "principals", at), people, partial(_principals, file.reader))
    listed = callable_actions(bundle.catalog)
    actions = _named(values("action", "actions", at), tuple(listed), partial(_actions, file.reader))
    access = set(_texts(members.get("access", [])))
    for word in access - {*Access}:
        file.reader.wrong(f"{at}, access", f"there is no access {word!r}{nearest(word, map(str, Access))}")
    actions = tuple(each for each in actions if not access or listed.get(each) in access)
    addresses = EVERY_ADDRESS
    if "ip" in members:
        addresses &= _addresses(file, members["ip"], f"{at}, ip")
    if "ip_outside" in members:
        addresses -= _addresses(file, members["ip_outside"], f"{at}, ip_outside")
    times = _times(file, members, at)
    for found, what in (
        (principals, "principal"),
        (actions, "action"),
        (addresses.starts, "address"),
        (times, "time"),
    ):
        if not found:
            file.reader.wrong(at, f"leaves no {what}, so it would hold for nothing")
    resource = members.get("resource")
    resource = str(file.names["resources"].get(resource, resource)) if resource else None
    now = file.now.timestamp() if isinstance(file.now, datetime) and file.now.tzinfo else 0.0
    return Space(principals, actions, addresses, times, resource, file.egress, now)


# --- principals and actions -----------------------------------------------------------------------------


class _Patterns(NamedTuple):
    """The patterns that name something, those that take away, and the place of each list."""

    inside: tuple[str, ...]
    outside: tuple[str, ...]
    at: str


def _values(file: SuiteFile, members: Values, key: str, names: str, at: str) -> _Patterns:
    table = file.names.get(names, {})
    inside, outside = (
        tuple(str(table.get(text, text)) for text in _texts(members.get(each, [])))
        for each in (key, f"{key}_outside")
    )
    return _Patterns(inside, outside, f"{at}, {key}")


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _named(
    patterns: _Patterns, every: tuple[str, ...], find: Callable[[str, str], Iterable[str]]
) -> tuple[str, ...]:
    """Return what the patterns name, in the order of `every`."""
    inside = {name for text in patterns.inside for name in find(text, patterns.at)}
    outside = {name for text in patterns.outside for name in find(text, f"{patterns.at}_outside")}
    further = tuple(sorted(inside - {*every}))  # names that only a host label makes (DEC-68)
    return tuple(
        name for name in (*every, *further) if (not patterns.inside or name in inside) and name not in outside
    )


def _principals(reader: Reader, text: str, at: str) -> Iterable[str]:
    people = reader.bundle.people
    exact = find_principal(reader.bundle, text)
    found = (exact,) if exact in people.layers else principals_named(people, text)
    if not found:
        reader.wrong(at, f"there is no principal {text!r}{nearest(text, principal_names(people))}")
    return found


def _actions(reader: Reader, text: str, at: str) -> Iterable[str]:
    bundle = reader.bundle
    found = [name for name in callable_actions(bundle.catalog) if text == STAR or star_match(text, name)]
    traits = bundle.evaluator.traits(text)
    if not found and traits is not None and traits.in_catalog:
        found = [text]
    if not found:
        near = nearest_actions(bundle.catalog, text.replace(STAR, ""), 2)
        reader.wrong(at, f"no action fits {text!r}{suggestion(near)}")
    return found


def _other(reader: Reader, members: Values, at: str) -> tuple[str | None, str | None]:
    """Return the other principal and the other action, of which None is that of the call."""

    def one(key: str, find: Callable[[Reader, str, str], Iterable[str]]) -> str | None:
        if key not in members:
            return None
        found = tuple(find(reader, members[key], f"{at}, {key}"))
        if len(found) > 1:
            reader.wrong(f"{at}, {key}", f"{members[key]!r} names {len(found)}: name exactly one")
        return found[0] if found else None

    other = one("other_principal", _principals), one("other_action", _actions)
    if not {"other_principal", "other_action"} & members.keys():
        reader.wrong(at, "compares with nothing: name an other_principal, an other_action, or both")
    return other


# --- addresses and times --------------------------------------------------------------------------------


def _addresses(file: SuiteFile, value: Any, at: str) -> IpSet:
    texts = [str(file.names["ips"].get(text, text)) for text in _texts(value)]
    try:
        return IpSet.of(texts) & EVERY_ADDRESS
    except AddressError as error:
        file.reader.wrong(at, str(error))
        return EVERY_ADDRESS


def _times(file: SuiteFile, members: Values, at: str) -> tuple[Interval, ...]:
    times: tuple[Interval, ...] = ALWAYS
    if "time" in members:
        times = _disjoint(_intervals(file, members["time"], f"{at}, time"))
    for begin, end in _intervals(file, members.get("time_outside", ()), f"{at}, time_outside"):
        before = [(first, min(last, begin)) for first, last in times]
        after = [(max(first, end), last) for first, last in times]
        times = tuple(sorted((first, last) for first, last in (*before, *after) if first < last))
    return times


def _intervals(file: SuiteFile, value: Any, at: str) -> list[Interval]:
    return [_interval(file.reader, str(file.names["times"].get(text, text)), at) for text in _texts(value)]


def _interval(reader: Reader, text: str, at: str) -> Interval:
    first, slash, last = text.partition("/")
    if not slash:
        example = "2026-12-28T00:00:00Z/2027-01-04T00:00:00Z"
        reader.wrong(at, f"{text!r} is not two times with / between them, such as {example}")
        return ALWAYS[0]
    begin, end = _end(reader, first, -inf, at), _end(reader, last, inf, at)
    if begin >= end:
        reader.wrong(at, f"{text!r} does not begin before it ends")
    return begin, end


def _end(reader: Reader, text: str, open_end: float, at: str) -> float:
    if text == OPEN_END:
        return open_end
    return next((when for _, when in read_instant(reader, text, text, at)), open_end)


def _disjoint(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return tuple(found)


def describe_times(times: Iterable[Interval]) -> str:
    """Return intervals as the file writes them."""
    return ", ".join(
        "/".join(OPEN_END if abs(each) > FAR else format_moment(each) for each in interval)
        for interval in times
    )
