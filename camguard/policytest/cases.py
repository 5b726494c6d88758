"""Reads files of policy tests: calls, and what a bundle must decide for each.

Rule 1: an unknown key, name or action is an error; a misspelt test must not pass.
Rule 2: every combination of a test has one expectation: that of the `expect` table that names it, else the
        default of the test.
Rule 3: no test reads the clock; the file or the test gives the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

from camguard.bundle import Bundle
from camguard.catalog import nearest_actions
from camguard.catalog.model import Action
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.errors import AddressError, BundleError, Problem
from camguard.files import DOCUMENT_BYTES, display_path, read_file
from camguard.grammar import REGION
from camguard.ipset import NO_MAP, AddressMap, format_address, parse_range
from camguard.policy.keys import supplied_regions
from camguard.policy.patterns import STAR, star_match
from camguard.policy.values import format_moment, read_moment
from camguard.strict_json import Check, Fault, ObjectReader, is_text, must, shaped
from camguard.strict_toml import NotTomlError, read_toml
from camguard.suggest import nearest, suggestion

CODE = "TestError"
DIMENSIONS = ("principals", "actions", "ips", "resources", "times")
_NAMED = ("principals", "ips", "resources", "times")  # tables of a file that give names to values

Values = Mapping[str, Any]  # a text of the file -> the value that it stands for, in order
Combination = tuple[str, ...]  # the text of one value for each of DIMENSIONS


class Expectation(NamedTuple):
    """The decision that is expected of a case. A field that is None is not compared."""

    allow: bool
    reason: Reason | None
    statements: tuple[str, ...] | None
    where: str

    def differs_from(self, decision: Decision) -> bool:
        """Return whether a decision is not the expected one."""
        return (
            bool(decision) is not self.allow
            or self.reason not in (None, decision.reason)
            or self.statements not in (None, decision.statements)
        )

    def __str__(self) -> str:
        """Return it as a failure quotes it: `deny (no_allow)`."""
        word = "allow" if self.allow else "deny"
        reason = f" ({self.reason})" if self.reason else ""
        return f"{word}{reason}" + (f" by {', '.join(self.statements)}" if self.statements else "")


class Case(NamedTuple):
    """One combination of a test. label: the combination as one line."""

    label: str
    call: Call
    expected: Expectation


@dataclass(frozen=True, slots=True)
class Suite:
    """One `[[test]]` with a case for each of its combinations."""

    where: str
    name: str
    cases: tuple[Case, ...]


def find_principal(bundle: Bundle, text: str) -> str:
    """Return the principal that `text` names: `uin/…`, `role/…`, a uin, or the name of exactly one user.

    A uin that exists is that user, even where another user's name is spelled like it.
    """
    if "/" in text:
        return text
    if f"uin/{text}" in bundle.people.layers:
        return f"uin/{text}"
    named = [principal for principal, name in bundle.people.names.items() if name == text]
    return named[0] if len(named) == 1 else text


def entries_of(bundle: Bundle, action: str) -> list[Action]:
    """Return the actions for which policies are asked where an action is called (DEC-68)."""
    traits = bundle.evaluator.traits(action)
    return [each.entry for each in traits.cam_actions] if traits else []


def resource_needed(bundle: Bundle, action: str) -> str | None:
    """Return a template of the resources that a call of an action must name, None if it need not name any."""
    traits = bundle.evaluator.traits(action)
    return traits.resource_template if traits else None


def region_keys(bundle: Bundle, action: str, region: str | None) -> dict[str, tuple[str, ...]]:
    """Return the condition keys that the region of a call supplies. region: None where the call has none."""
    names = [entry.id for entry in entries_of(bundle, action)] or [action]
    return supplied_regions(names, region) if region else {}


class Reader(ObjectReader):
    """Reads one file against one bundle. Places are the number of a table and the key in it."""

    def __init__(self, source: str, bundle: Bundle) -> None:
        super().__init__(source, CODE, noun="a table", joint=": ", step=lambda at, key: f"{at}, {key}")
        self.bundle = bundle

    def texts(self, table: Values, key: str, at: str) -> tuple[str, ...]:
        """Return the list of at least one string that a table must have under a key."""
        found: Any = table.get(key)
        return tuple(dict.fromkeys(found)) if self.passes(found, f"{at}, {key}", _SOME_TEXTS) else ()


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def _table_of(test: Callable[[Any], bool], rule: str) -> Check:
    def check(value: Any) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield (), "must be a table"
        else:
            yield from (((key,), f"must be {rule}") for key, each in value.items() if not test(each))

    return check


ANY: Final = must(lambda _value: True, "anything")
_SOME_TEXTS: Final = must(lambda value: value and _is_texts(value), "a list of at least one string")
_TABLE: Final = _table_of(lambda _value: True, "anything")
_PAIRS: Final = _table_of(is_text, "a string")
_LISTS: Final = _table_of(_is_texts, "a list of strings")


def tables(key: str) -> Check:
    """Return the check that a value is a list of tables. key: under which it stands."""
    return must(lambda value: isinstance(value, list), f"a list of tables: write [[{key}]]")


_FILE = {
    "name": ANY,
    "now": ANY,
    "egress": _PAIRS,
    **dict.fromkeys(_NAMED, _TABLE),
    "test": tables("test"),
    "invariant": tables("invariant"),
}
_TEST = {
    **dict.fromkeys(("name", *DIMENSIONS, "default", "reason"), ANY),
    "resource_tags": _PAIRS,
    "request_tags": _PAIRS,
    "context": _LISTS,
    "region": shaped(REGION, "a region such as ap-guangzhou"),
    "expect": tables("expect"),
}
_EXPECT = dict.fromkeys((*DIMENSIONS, "decision", "reason", "statements"), ANY)


class SuiteFile(NamedTuple):
    """One file as far as all of its tests share it.

    reader: gathers the problems of the file. top: its tables. names: the values that the file gives names to.
    """

    reader: Reader
    top: Mapping[str, Any]
    names: Mapping[str, Values]
    now: Any
    egress: AddressMap


def read_top(path: Path, bundle: Bundle) -> SuiteFile:
    """Return one file, as `parse_top` does. Raises OSError too."""
    return parse_top(read_file(path, DOCUMENT_BYTES), display_path(path), bundle)


def parse_top(content: bytes, source: str, bundle: Bundle) -> SuiteFile:
    """Return one file, whose patterns and names the catalog and principals of `bundle` will resolve.

    source: its name in problems.
    Raises BundleError if it is not TOML; the reader has all other problems.
    """
    reader = Reader(source, bundle)
    try:
        raw = read_toml(content)
    except NotTomlError as error:
        raise BundleError(Problem(error.place(reader.source), CODE, str(error))) from None
    top = reader.members(raw, "top level", optional=_FILE)
    names = {key: top.get(key, {}) for key in _NAMED}
    return SuiteFile(reader, top, names, top.get("now"), _read_egress(reader, top.get("egress", {})))


def read_suites(file: SuiteFile) -> tuple[Suite, ...]:
    """Return the tests of a file. Its reader gets every problem, each with the number of the table."""
    return tuple(
        _read_test(file.reader, table, f"[[test]] {i}", file.names, file.now, file.egress)
        for i, table in enumerate(file.top.get("test", []), start=1)
    )


def _read_egress(reader: Reader, pairs: Mapping[str, str]) -> AddressMap:
    """Return which addresses of the tests are judged as another one, as by client_ip.egress (T132)."""
    try:
        return AddressMap.of(pairs)
    except AddressError as error:
        reader.wrong("egress", f"{error.problems[0].where} {error.problems[0].message}")
        return NO_MAP


def _read_test(  # noqa: PLR0913, PLR0917 - a test, and what its file gives to all tests
    reader: Reader, raw: Any, at: str, names: Mapping[str, Values], now: Any, egress: AddressMap
) -> Suite:
    name = str(raw["name"]) if isinstance(raw, dict) and "name" in raw else at
    at = at if name == at else f"{at} {name!r}"
    table = reader.members(raw, at, optional=_TEST)
    written = {"resources": [STAR], "times": ["now"], **table}
    given = {**names, "times": {"now": now, **names["times"]}}
    spread = {
        key: _spread(reader, key, reader.texts(written, key, at), given.get(key, {}), at)
        for key in DIMENSIONS
    }
    for action in spread["actions"] if STAR in spread["resources"] else ():
        template = resource_needed(reader.bundle, action)
        if template is not None:
            hint = f"give the test `resources` like {template}"
            reader.wrong(f"{at}, resources", f"{action} is authorized per resource: {hint}")
    default = _read_expectation(reader, {**table, "decision": table.get("default")}, at, "default")
    chosen: dict[Combination, Expectation] = {}
    for i, row in enumerate(table.get("expect", []), start=1):
        here = f"{at}, [[test.expect]] {i}"
        expect = reader.members(row, here, optional=_EXPECT)
        wanted = _read_expectation(reader, expect, here, "decision")
        for combination in _named_by(reader, expect, spread, given, here):
            if combination in chosen:
                reader.wrong(here, f"{' '.join(combination)} is named by {chosen[combination].where} too")
            chosen[combination] = wanted
    context = {key: tuple(values) for key, values in table.get("context", {}).items()}
    tags = {"resource_tags": table.get("resource_tags"), "request_tags": table.get("request_tags")}

    def call(row: Combination) -> Call:
        found = _call(row, spread, tags)
        region = region_keys(reader.bundle, found.action, table.get("region"))
        judged = None if found.source_ip is None else egress.get(found.source_ip)
        address = found.source_ip if judged is None else judged
        return found._replace(context={**context, **region} or None, source_ip=address)

    cases = tuple(
        Case(_label(row), call(row), chosen.get(row, default))
        for row in product(*(spread[key] for key in DIMENSIONS))
    )
    return Suite(f"{reader.source}: {at}", name, cases)


def _named_by(
    reader: Reader, expect: Values, spread: Mapping[str, Values], given: Mapping[str, Values], at: str
) -> Iterator[Combination]:
    """Yield the combinations of a test that one `expect` names; a value that the test lacks is a problem."""
    chosen = []
    for key in DIMENSIONS:
        if key not in expect:
            chosen.append(tuple(spread[key]))
            continue
        texts = tuple(_spread(reader, key, reader.texts(expect, key, at), given.get(key, {}), at))
        for text in texts:
            if text not in spread[key]:
                reader.wrong(f"{at}, {key}", f"{text!r} is not among the {key} of the test")
        chosen.append(texts)
    yield from product(*chosen)


def _read_expectation(reader: Reader, table: Values, at: str, key: str) -> Expectation:
    decision, reason, statements = table.get("decision"), table.get("reason"), table.get("statements")
    if decision not in ("allow", "deny"):
        reader.wrong(
            at, f'{key} is {"missing" if decision is None else repr(decision)}: write "allow" or "deny"'
        )
    if reason is not None and reason not in [*Reason]:
        reader.wrong(at, f"there is no reason {reason!r}{nearest(str(reason), map(str, Reason))}")
        reason = None
    if statements is not None:
        statements = reader.texts(table, "statements", at)
    return Expectation(decision == "allow", reason and Reason(reason), statements, at)


def _spread(reader: Reader, key: str, texts: Iterable[str], names: Values, at: str) -> dict[str, Any]:
    """Return the value of each text of one dimension, in order; patterns and ranges become several values."""
    spread: dict[str, Any] = {}
    for text in texts:
        value = names.get(text, text)
        found = dict(_READERS[key](reader, text, value, f"{at}, {key}"))
        spread |= found
    return spread


def _principal(reader: Reader, text: str, value: Any, at: str) -> Iterator[tuple[str, str]]:
    known = reader.bundle.people.names
    principal = find_principal(reader.bundle, str(value))
    if principal not in known:
        reader.wrong(at, f"there is no principal {value!r}{nearest(str(value), (*known, *known.values()))}")
    yield text, principal


def _actions(reader: Reader, _text: str, value: Any, at: str) -> Iterator[tuple[str, str]]:
    actions = reader.bundle.catalog.actions
    found = [action for action in actions if star_match(value, action)]
    traits = reader.bundle.evaluator.traits(value)
    if not found and traits is not None and traits.in_catalog:  # by the label of its host (DEC-68)
        found = [value]
    if not found:
        what = "action fits" if STAR in value else "action is called"
        near = nearest_actions(reader.bundle.catalog, value.replace(STAR, ""), 2)
        reader.wrong(at, f"no {what} {value!r}{suggestion(near)}")
    yield from zip(found, found, strict=True)


def _addresses(reader: Reader, text: str, value: Any, at: str) -> Iterator[tuple[str, int]]:
    """Yield an address, or both ends of a range: mistakes in policies show at the ends."""
    try:
        ends = dict.fromkeys(parse_range(str(value)))
    except AddressError as error:
        reader.wrong(at, str(error))
        return
    for place in ends:
        yield (text if len(ends) == 1 else format_address(place)), place


def _resource(_reader: Reader, text: str, value: Any, _at: str) -> Iterator[tuple[str, str]]:
    yield text, str(value)


def read_instant(reader: Reader, text: str, value: Any, at: str) -> Iterator[tuple[str, float]]:
    """Yield a time with its name (seconds since 1970), or nothing where it is none."""
    when = value if isinstance(value, datetime) else read_moment(str(value))
    if when is None:
        hint = "has no time: give the file `now = 2026-11-22T09:00:00Z`, or the test its own `times`"
        reader.wrong(at, hint if text == "now" else f"{value!r} is not a time such as 2026-11-22T09:00:00Z")
        return
    if when.tzinfo is None:
        reader.wrong(at, f"{when} has no time zone: end it with Z")
        return
    yield (text if text != "now" else format_moment(when.timestamp())), when.timestamp()


_READERS = {
    "principals": _principal,
    "actions": _actions,
    "ips": _addresses,
    "resources": _resource,
    "times": read_instant,
}


def _call(row: Combination, spread: Mapping[str, Values], extra: Values) -> Call:
    principal, action, source_ip, resource, when = (
        spread[key][text] for key, text in zip(DIMENSIONS, row, strict=True)
    )
    return Call(principal, action, source_ip, when, (resource,), **extra)


def _label(row: Combination) -> str:
    principal, action, source_ip, resource, when = row
    on = "" if resource == STAR else f" on {resource}"
    return f"{principal} {action}{on} from {source_ip} at {when}"
