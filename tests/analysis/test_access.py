"""An access set and a decision never disagree."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from camguard.analysis.access import access_reader, access_set, answers_reader, tables_of
from camguard.analysis.alike import alike_in
from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Access
from camguard.engine.table import Table
from camguard.ipset import LINE_END, NO_ADDRESS, V4_END, parse_address
from tests.analysis.agreement import Difference, compare, shares
from tests.company import (
    USER,
    action,
    allow,
    bundle,
    catalog,
    deny,
    inside,
    outside,
    policy,
    principals,
    service,
)

EACH = 3  # bundles of one test
ENDS = ("allow: allowed", "deny: denied", "depends: allowed", "depends: denied")


def agree(worlds: int, seed: int) -> Counter[str]:
    """Compare so many worlds, and count answers and outcomes. A difference fails the test."""
    compared: Counter[str] = Counter()
    for world, found in compare(worlds, seed):
        if isinstance(found, Difference):
            text = "\n".join(f"{name}: {text}" for name, text in world.policies.items())
            rest = json.dumps([world.principals, world.settings, world.known, world.catalog])
            pytest.fail(f"{found}\n{text}\n{rest}")
        compared += found
    return compared


@pytest.mark.parametrize("seed", shares(1, 150, EACH))
def test_access_sets_and_oracle_agree(seed: int) -> None:
    assert set(agree(EACH, seed)) <= set(ENDS)


def test_few_bundles_have_every_answer_and_both_outcomes() -> None:
    compared = agree(12, seed=1)
    assert min(compared[end] for end in ENDS) > 0


@pytest.mark.heavy
def test_access_sets_and_oracle_agree_at_length() -> None:
    compared = agree(3000, seed=1_000_000)
    assert set(compared) == set(ENDS)


# --- single access sets -------------------------------------------------------------------------------------

CATALOG = replace(
    catalog(
        service(
            "vm", action("vm:Boot", "qcs::vm:${region}:uin/${uin}:instance/${id}"), tag_authorization=True
        ),
        service("art", "DescribeImages", action("art:Other", access=Access.OTHER)),
        service("tag", "List", tag_authorization=True),
        service("bare", "List"),
        service(
            "vm2", action("vm2:Boot", "qcs::vm:${region}:uin/${uin}:instance/${id}"), tag_authorization=True
        ),
    ),
    known=KnownServices(rows={"label:List": CamNames(("bare:List",), sure=True)}),
)
BOOT, SEE = "vm:Boot", "art:DescribeImages"
HERE = "qcs::vm:ap-guangzhou:uin/100100:instance/"
NEW_YEAR = 1767225600.0
TIMED = {"date_less_than": {"qcs:current_time": "2026-01-01T00:00:00Z"}}


def of(*statements: Any, **more: Any) -> Bundle:
    return bundle([policy("mine", *statements)], CATALOG, **more)


V6 = parse_address("2001:db8::")
LOW, HIGH = parse_address("::fffe:0:0"), parse_address("::1:ffff:ffff:ffff")
# the statements, each range with its word
RANGES = [
    pytest.param([allow("*")], [(0, LINE_END - 1, "allow")], id="every address"),
    pytest.param([deny("*")], [(0, LINE_END - 1, "deny")], id="no address"),
    pytest.param(
        [allow("*", **inside("0.0.0.0/8"))],
        [(0, (1 << 24) - 1, "allow"), (1 << 24, LINE_END - 1, "deny")],
        id="from the first address on",
    ),
    pytest.param(
        [allow("*", **outside("0.0.0.0/8"))],
        [(0, (1 << 24) - 1, "deny"), (1 << 24, LINE_END - 1, "allow")],
        id="all but the first ones",
    ),
    pytest.param(
        [allow("*", **inside("0.0.0.0/0"))],
        [(0, V4_END - 1, "allow"), (V4_END, LINE_END - 1, "deny")],
        id="one family",
    ),
    pytest.param(
        [allow("*", **inside("::fffe:0:0/96", "::1:0:0:0/80"))],
        [(0, LOW - 1, "deny"), (LOW, HIGH, "allow"), (HIGH + 1, LINE_END - 1, "deny")],
        id="a range continues over the places between that are no address",
    ),
    pytest.param(
        [allow("*", **inside("::fffe:0:0/96"))],
        [(0, LOW - 1, "deny"), (LOW, NO_ADDRESS[0] - 1, "allow"), (NO_ADDRESS[0], LINE_END - 1, "deny")],
        id="a range ends before the places that are no address",
    ),
    pytest.param(
        [allow("*", **inside("10.0.0.0/8")), allow("*", **inside("11.0.0.0/8"))],
        [
            (0, (10 << 24) - 1, "deny"),
            (10 << 24, (11 << 24) - 1, "allow"),
            (11 << 24, (12 << 24) - 1, "allow"),
            (12 << 24, LINE_END - 1, "deny"),
        ],
        id="neighbours that other statements allow",
    ),
]


@pytest.mark.parametrize(("statements", "ranges"), RANGES)
def test_ranges(statements: list[Any], ranges: list[tuple[int, int, str]]) -> None:
    (window,) = access_set(of(*statements).evaluator, USER, SEE).windows
    assert [(each.first, each.last, each.answer.word) for each in window.ranges] == ranges


def test_windows() -> None:
    found = access_set(of(allow("*", **TIMED)).evaluator, USER, SEE)
    assert [(each.begin, each.end, each.ranges[0].answer.word) for each in found.windows] == [
        (found.windows[0].begin, NEW_YEAR, "allow"),
        (NEW_YEAR, inf, "deny"),
    ]
    for each in found.windows:
        assert found.at(each.begin) is each


def test_a_row_is_looked_up_once_for_all_principals_that_share_a_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, right = [], Table.row

    def row(table: Table, name: str) -> Any:
        rows.append(name)
        return right(table, name)

    evaluator = of(allow("*", **TIMED)).evaluator
    monkeypatch.setattr(Table, "row", row)
    read = access_reader(evaluator)
    assert read(USER, SEE).windows is read(USER, SEE).windows
    assert len(rows) == 1


def test_arguments_of_an_access_set() -> None:
    built = of(allow("*", f"{HERE}1"), allow("art:*", **TIMED))

    def words(name: str, **more: Any) -> list[str]:
        found = access_set(built.evaluator, USER, name, **more)
        assert found == access_reader(built.evaluator, **more)(USER, name)
        return [each.answer.word for window in found.windows for each in window.ranges]

    assert words(BOOT) == ["depends"]
    assert words(BOOT, resource=f"{HERE}1", time=0.0) == ["allow"]
    assert words(BOOT, resource=f"{HERE}2", time=0.0) == ["deny"]
    assert words(SEE) == ["allow", "deny"]
    assert words(SEE, time=NEW_YEAR) == ["deny"]
    assert words(SEE, time=0.0, session=policy("session", deny("*"))) == ["deny"]


def test_tables_and_answers_without_further_arguments() -> None:
    built = of(allow("*", f"{HERE}1"))
    evaluator = built.evaluator
    tables = tables_of(evaluator)
    table = tables[built.people.layers[USER]]
    assert [layer.name for layer in table.layers] == ["identity", "general"]
    answers = answers_reader(evaluator, tables, alike_in(evaluator))(USER, BOOT)
    assert (answers.cuts, answers.of(0).word) == (table, "depends")


BELOW = {"numeric_less_than": {"qcs:read_only_action": "${uin}"}}
BOUND = principals(users={"100200": ["mine"], "100300": ["mine"]}, roles={"bot": {"policies": ["mine"]}})
OTHER, BOT = "uin/100300", "role/bot"
# the statement, the resource, two questions that share rules, and both answers
SHARED = [
    pytest.param(
        allow("*", **BELOW),
        None,
        [(USER, SEE), (BOT, SEE)],
        ["allow", "deny"],
        id="DEC-56 a variable of a condition has no value for a role",
    ),
    pytest.param(
        allow("*", **BELOW),
        None,
        [(USER, SEE), (USER, "art:Other")],
        ["allow", "deny"],
        id="DEC-56 the catalog does not tell whether the other action reads",
    ),
    pytest.param(
        allow("*", f"{HERE}${{uin}}"),
        f"{HERE}100200",
        [(USER, BOOT), (OTHER, BOOT)],
        ["allow", "deny"],
        id="a variable of a resource has another value for another user",
    ),
    pytest.param(
        allow("*", string_equal={"qcs:request_tag/env": "test"}),
        None,
        [(USER, "tag:List"), (USER, "bare:List")],
        ["depends", "deny"],
        id="only one of two services supports tags",
    ),
]


@pytest.mark.parametrize("first", [0, 1], ids=["asked in this order", "asked in the other order"])
@pytest.mark.parametrize(("statement", "resource", "asked", "words"), SHARED)
def test_questions_that_share_rules_have_answers_of_their_own(
    statement: Any, resource: str | None, asked: list[tuple[str, str]], words: list[str], first: int
) -> None:
    read = access_reader(of(statement, bound=BOUND).evaluator, resource=resource, time=0.0)
    found = {at: read(*asked[at]).windows[0].ranges[0].answer.word for at in (first, 1 - first)}
    assert [found[0], found[1]] == words


@pytest.mark.parametrize("asked", [["bare:List", "label:List"], ["label:List", "bare:List"]])
def test_a_need_names_the_action_that_policies_are_asked_for(asked: list[str]) -> None:
    """DEC-68: policies are asked for another name than the call has."""
    read = access_reader(of(allow("*", bool_equal={"qcs:mfa": "true"})).evaluator)
    needs = {name: read(USER, name).windows[0].ranges[0].answer.needs[0].action for name in asked}
    assert needs == {"bare:List": None, "label:List": "bare:List"}


OFFICE = allow("*", **inside("10.0.0.0/8"))
VARIABLE = allow("*", f"{HERE}${{uin}}")
# the statement, the resource, and two questions whose answers are found once
ONCE = [
    pytest.param(OFFICE, None, [(USER, SEE), (USER, SEE)], id="one question"),
    pytest.param(OFFICE, None, [(USER, SEE), (OTHER, SEE)], id="two users with the same policies"),
    pytest.param(OFFICE, None, [(USER, SEE), (USER, "bare:List")], id="two actions with the same rules"),
    pytest.param(OFFICE, f"{HERE}1", [(USER, SEE), (OTHER, SEE)], id="two users, and a resource"),
    pytest.param(VARIABLE, None, [(USER, BOOT), (OTHER, BOOT)], id="a variable, and no resource"),
    pytest.param(VARIABLE, f"{HERE}1", [(USER, BOOT), (USER, BOOT)], id="a variable, and a resource"),
    pytest.param(VARIABLE, f"{HERE}1", [(USER, BOOT), (USER, "vm2:Boot")], id="two actions, and a variable"),
    pytest.param(allow("*", **BELOW), None, [(USER, SEE), (USER, SEE)], id="a variable of a condition"),
]


@pytest.mark.parametrize(("statement", "resource", "asked"), ONCE)
def test_questions_that_have_one_answer_share_it(
    statement: Any, resource: str | None, asked: list[tuple[str, str]]
) -> None:
    """Rule 3: principals with the same policies share the work, and so do actions that share a row."""
    evaluator = of(statement, bound=BOUND).evaluator
    read = answers_reader(evaluator, tables_of(evaluator), alike_in(evaluator), resource=resource)
    one, other = (read(*each) for each in asked)
    assert one is other
    windows = access_reader(evaluator, resource=resource)
    assert windows(*asked[0]).windows is windows(*asked[1]).windows


def test_so_many_tables_are_kept_as_are_asked_for() -> None:
    built = bundle(
        [policy(name, allow("*", **inside(f"{name}.0.0.0/8"))) for name in ("10", "11")],
        CATALOG,
        principals(users={"100200": ["10"], "100300": ["11"]}),
    )
    for kept, same in ((1, False), (2, True)):
        tables = tables_of(built.evaluator, kept=kept)
        mine, others = built.people.layers[USER], built.people.layers[OTHER]
        first = tables[mine]
        assert tables[others] is not first
        assert (tables[mine] is first) is same
        every = tables_of(built.evaluator)
        read = answers_reader(built.evaluator, every, alike_in(built.evaluator), kept=kept)
        answers = read(USER, SEE)
        assert read(OTHER, SEE) is not answers
        assert (read(USER, SEE) is answers) is same


def test_the_given_tables_are_read() -> None:
    built = of(allow("*"))
    layers = built.people.layers[USER]
    limited = tables_of(built.evaluator, policy("session", deny("*")))[layers]
    read = access_reader(built.evaluator, tables={layers: limited})
    assert read(USER, SEE).windows[0].ranges[0].answer.word == "deny"
