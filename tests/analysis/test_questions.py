"""Who can, what can and from where: entries, groups, edges and patterns."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise, product

import pytest

from camguard.analysis import access_reader, access_set, questions
from camguard.analysis.access import Range, Window
from camguard.analysis.answers import ALLOWED, DENIED, Answer
from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access
from camguard.engine.call import Call
from camguard.engine.table import Table
from camguard.ipset import LINE_END, AddressMap, IpSet, parse_address
from tests.analysis.agreement import evaluator_of, shares
from tests.company import (
    OFFICE,
    OWNER,
    USER,
    action,
    allow,
    catalog,
    deny,
    inside,
    policy,
    principals,
    service,
)
from tests.generators import stream

NOW = 1_790_000_000.0
EACH = 10  # bundles of one test
CATALOG = catalog(
    service("aiart", "Draw", "Look", action("aiart:Erase", access=Access.WRITE)),
    service("cvm", action("cvm:Stop", "qcs::cvm:${region}:uin/${uin}:instance/${id}", access=Access.WRITE)),
)
POLICIES = {
    "office": [allow("aiart:*", **OFFICE)],
    "no-erase": [deny("aiart:Erase", ip_equal={"qcs:ip": "10.1.0.0/16"})],
    "stop": [
        allow("cvm:Stop", "qcs::cvm:ap-guangzhou::instance/*"),
        allow("cvm:Stop", bool_equal={"qcs:mfa": "true"}),
        deny("cvm:Stop", string_equal={"cvm:region": "ap-beijing"}),
    ],
}
PRINCIPALS = {
    "owner": OWNER,
    "users": {
        "100201": {"name": "ana", "groups": ["artists"], "policies": []},
        "100202": {"name": "ben", "groups": ["artists"], "policies": []},
        "100203": {"name": "cem", "groups": [], "policies": ["stop"]},
    },
    "groups": {"artists": {"policies": ["office", "no-erase"]}, "idle": {"policies": []}},
    "roles": {"bot": {"policies": ["office"]}},
}
ANA, BEN, CEM, BOT, ROOT = "uin/100201", "uin/100202", "uin/100203", "role/bot", "uin/100100"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    policies = {name: policy(name, *found) for name, found in POLICIES.items()}
    return make_bundle(policies, PRINCIPALS, CATALOG)


NAMED = [
    pytest.param("ana", [ANA], id="the name of a user"),
    pytest.param("100202", [BEN], id="a uin"),
    pytest.param("bo*", [BOT], id="the name of a role, with a star"),
    pytest.param("/100202", [], id="a part of a principal"),
    pytest.param("role/*", [BOT], id="stars in a principal"),
    pytest.param("?na", [], id="a question mark is no wildcard"),
    pytest.param("group/artists", [ANA, BEN], id="the members of a group"),
    pytest.param("group/*", [ANA, BEN], id="the members of several groups, each once"),
    pytest.param("group/idle", [], id="a group without members"),
    pytest.param("*", [ROOT, ANA, BEN, CEM, BOT], id="everybody, the owner too"),
]


@pytest.mark.parametrize(("pattern", "principals"), NAMED)
def test_a_pattern_names_principals(bundle: Bundle, pattern: str, principals: list[str]) -> None:
    assert list(questions.principals_named(bundle.people, pattern)) == principals


def test_a_pattern_names_actions_of_one_access() -> None:
    assert questions.actions_named(CATALOG, "*", Access.WRITE) == ("aiart:Erase", "cvm:Stop")
    assert questions.actions_named(CATALOG, "aiart:*") == ("aiart:Draw", "aiart:Erase", "aiart:Look")
    assert questions.actions_named(CATALOG, "aiart:Nothing") == ()


def test_entries_are_grouped_by_their_answer(bundle: Bundle) -> None:
    actions = questions.actions_named(CATALOG, "aiart:*")
    found = questions.grouped(questions.entries(bundle.evaluator, [ANA, BEN, CEM, BOT], actions, time=NOW))
    assert [(group.principals, group.actions, group.allow.cidrs()) for group in found] == [
        ((ANA, BEN), ("aiart:Draw", "aiart:Look"), ("10.0.0.0/8",)),
        (
            (ANA, BEN),
            ("aiart:Erase",),
            (
                *("10.0.0.0/16", "10.2.0.0/15", "10.4.0.0/14", "10.8.0.0/13"),
                *("10.16.0.0/12", "10.32.0.0/11", "10.64.0.0/10", "10.128.0.0/9"),
            ),
        ),
        ((BOT,), actions, ("10.0.0.0/8",)),
    ]


def test_no_row_is_compiled_for_what_address_and_time_alone_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two actions are allowed from thirty ranges and from every third of them, another one from nowhere."""
    ranges = [f"10.{at}.0.0/16" for at in range(0, 60, 2)]
    of = {"aiart:Draw": ranges, "aiart:Erase": ranges[::3]}
    own = policy("own", *(allow(name, **inside(each)) for name, listed in of.items() for each in listed))
    built = make_bundle({"own": own}, principals("own"), CATALOG)
    wanted = {name: IpSet.of(each) for name, each in of.items()}
    monkeypatch.setattr(Table, "row", None)
    monkeypatch.setattr(Table, "compile_row", None)
    found = questions.entries(built.evaluator, [USER], ["aiart:Draw", "aiart:Erase", "aiart:Look"], time=NOW)
    assert {each.action: each.allow for each in found} == wanted


def test_entries_from_some_addresses(bundle: Bundle) -> None:
    asked = IpSet.of(["10.1.0.0/15"])
    found = list(questions.entries(bundle.evaluator, [ANA, CEM], ["aiart:Erase"], time=NOW, addresses=asked))
    assert [(each.principal, each.allow.cidrs()) for each in found] == [(ANA, ("10.0.0.0/16",))]
    elsewhere = IpSet.of(["11.0.0.0/8"])
    assert not list(
        questions.entries(bundle.evaluator, [ANA], ["aiart:Erase"], time=NOW, addresses=elsewhere)
    )


def test_the_statement_behind_each_edge(bundle: Bundle) -> None:
    (window,) = access_set(bundle.evaluator, ANA, "aiart:Erase").windows
    found = [
        (edge.place, edge.before.word, edge.after.word, edge.statements)
        for edge in questions.edges_of(window.ranges)
    ]
    assert found == [
        (parse_address("10.0.0.0"), "deny", "allow", ("office#0",)),
        (parse_address("10.1.0.0"), "allow", "deny", ("office#0", "no-erase#0")),
        (parse_address("10.2.0.0"), "deny", "allow", ("no-erase#0", "office#0")),
        (parse_address("11.0.0.0"), "allow", "deny", ("office#0",)),
    ]


def test_the_normal_form_of_what_is_left_open(bundle: Bundle) -> None:
    (window,) = access_set(bundle.evaluator, CEM, "cvm:Stop").windows
    (only,) = window.ranges
    (need,) = only.answer.needs
    assert only.answer.word == "depends"
    assert [(each.statements, [*map(str, each.conditions)]) for each in need.alternatives] == [
        (("stop#0",), ["resource matches qcs::cvm:ap-guangzhou::instance/*"]),
        (("stop#1",), ["qcs:mfa bool_equal true"]),
    ]
    assert [(each.statements, [*map(str, each.conditions)]) for each in only.answer.unless] == [
        (("stop#2",), ["cvm:region string_equal ap-beijing"])
    ]


def test_an_allow_under_the_condition_of_a_deny_never_counts() -> None:
    mfa = {"bool_equal": {"qcs:mfa": "true"}}
    only = policy("p", allow("aiart:Draw", **mfa), deny("aiart:*", **mfa))
    principals = {"owner": OWNER, "users": {"100201": {"policies": ["p"]}}}
    found = make_bundle({"p": only}, principals, CATALOG)
    (window,) = access_set(found.evaluator, ANA, "aiart:Draw").windows
    assert [(each.answer.word, each.answer.statements) for each in window.ranges] == [("deny", ("p#1",))]


def test_addresses_that_policies_see_as_another_one(bundle: Bundle) -> None:
    egress = AddressMap.of({"192.168.0.0/16": "10.9.9.9", "10.3.0.0/16": "11.0.0.1"})
    (window,) = access_set(bundle.evaluator, BOT, "aiart:Draw").windows
    seen = Window(window.begin, window.end, questions.through(window.ranges, egress))
    for text in ("10.2.255.255", "10.3.0.0", "10.3.255.255", "10.4.0.0", "192.168.0.0", "192.169.0.0"):
        place = parse_address(text)
        mapped = egress.get(place)
        call = Call(BOT, "aiart:Draw", place if mapped is None else mapped, NOW)
        assert (place in seen.places("allow")) is bool(bundle.decide(call)), text
    assert (seen.ranges[0].first, seen.ranges[-1].last) == (0, LINE_END - 1)
    assert questions.through(window.ranges, AddressMap.of({})) == window.ranges


def test_refused_names_are_denied_everywhere(bundle: Bundle) -> None:
    for principal, name, reason in (
        ("uin/999", "aiart:Draw", "principal_unknown"),
        (ANA, "aiart:Nothing", "action_unknown"),
    ):
        (window,) = access_set(bundle.evaluator, principal, name).windows
        (only,) = window.ranges
        assert isinstance(only, Range)
        assert only.answer.decision is not None
        assert (only.answer.word, only.answer.decision.reason) == ("deny", reason)


def test_principals_with_the_same_policies_share_the_work(bundle: Bundle) -> None:
    read = access_reader(bundle.evaluator)
    assert read(ANA, "aiart:Draw").windows is read(BEN, "aiart:Draw").windows
    assert read(ANA, "aiart:Draw").windows is read(ANA, "aiart:Look").windows


def test_the_value_of_a_variable_is_that_of_each_principal() -> None:
    """Two users share their policies, and the inventory settles a condition that names the caller."""
    resource = "qcs::cvm:ap-guangzhou::instance/ins-1"
    own = policy("own", allow("cvm:Stop", string_equal={"qcs:resource_tag/user": "${uin}"}))
    users = {"100201": {"policies": ["own"]}, "100202": {"policies": ["own"]}}
    tagged = catalog(
        service("cvm", action("cvm:Stop", "qcs::cvm:${region}::instance/${id}"), tag_authorization=True)
    )
    found = make_bundle(
        {"own": own},
        {"owner": OWNER, "users": users},
        tagged,
        resource_tags={resource: {"user": "100202"}},
    )
    read = access_reader(found.evaluator, resource=resource, time=NOW)
    answers = [read(who, "cvm:Stop").windows[0].ranges[0].answer.word for who in (ANA, BEN, ANA)]
    assert answers == ["deny", "allow", "deny"]


def test_a_moment_outside_of_what_was_read(bundle: Bundle) -> None:
    found = access_set(bundle.evaluator, ANA, "aiart:Draw")
    assert found.at(NOW) == found.windows[0]
    with pytest.raises(LookupError):
        found.at(float("inf"))


@pytest.mark.parametrize("seed", shares(11, 40, EACH))
def test_entries_are_what_the_access_sets_say(seed: int) -> None:
    words: Counter[str] = Counter()
    for world, _ in islice(stream(seed, calls=0), EACH):
        evaluator = evaluator_of(world)
        people, actions = world.principals["users"], tuple(evaluator.statements.places)
        principals = [f"uin/{uin}" for uin in people]
        entries = questions.entries(evaluator, principals, actions, time=NOW)
        found = {(each.principal, each.action): each for each in entries}
        read = access_reader(evaluator, time=NOW)
        for key in product(principals, actions):
            window = read(*key).at(NOW)
            entry = found.get(key, questions.Entry(*key, IpSet((), ()), ()))
            assert entry.allow == window.places("allow")
            assert {answer for _, answer in entry.depends} == {
                each.answer for each in window.ranges if each.answer.word == "depends"
            }
            words.update(each.answer.word for each in window.ranges)
    assert min(words[each] for each in ("allow", "deny", "depends")) > 0


def test_names_that_may_stand_for_principals(bundle: Bundle) -> None:
    names = questions.principal_names(bundle.people)
    assert [each for each in names if each not in {ROOT, ANA, BEN, CEM, BOT}] == [
        *bundle.people.names.values(),
        "group/artists",
    ]
    assert {ROOT, ANA, BEN, CEM, BOT, "ana"} <= {*names}


END = LINE_END - 1
TEN, ELEVEN, TWELVE = (first << 24 for first in (10, 11, 12))
# the last address that is allowed, addresses that stand for others, the ranges that are allowed
THROUGH = [
    pytest.param(ELEVEN - 1, {}, [(0, ELEVEN - 1)], id="no other address"),
    pytest.param(ELEVEN - 1, {"11.0.0.0/8": "10.0.0.1"}, [(0, TWELVE - 1)], id="more clients pass"),
    pytest.param(
        ELEVEN - 1,
        {"10.0.0.0/8": "12.0.0.1", "11.0.0.0/8": "10.0.0.1"},
        [(0, TEN - 1), (ELEVEN, TWELVE - 1)],
        id="some clients pass and others do not",
    ),
    pytest.param(
        ELEVEN - 1, {"10.0.0.5": "12.0.0.1"}, [(0, TEN + 4), (TEN + 6, ELEVEN - 1)], id="one client"
    ),
    pytest.param(
        ELEVEN - 1,
        {"10.0.0.5": "12.0.0.1", "11.0.0.0/8": "10.0.0.1"},
        [(0, TEN + 4), (TEN + 6, TWELVE - 1)],
        id="one client fewer, and more behind it",
    ),
]


@pytest.mark.parametrize(("last", "egress", "allowed"), THROUGH)
def test_ranges_as_clients_have_them(
    last: int, egress: dict[str, str], allowed: list[tuple[int, int]]
) -> None:
    """T132: the policies are asked about the address that stands for the client's."""
    found = questions.through([Range(0, last, ALLOWED), Range(last + 1, END, DENIED)], AddressMap.of(egress))
    assert [(each.first, each.last) for each in found if each.answer == ALLOWED] == allowed
    assert (found[0].first, found[-1].last) == (0, END)
    assert all(one.last + 1 == other.first for one, other in pairwise(found))
    assert all(one.answer != other.answer for one, other in pairwise(found))


def with_statements(answer: Answer, *statements: str) -> Answer:
    return Answer(answer.decision, statements)


# the statements on both sides of an edge, those that are behind it
EDGES = [
    pytest.param(["a", "b"], ["b", "c"], ("a", "c"), id="those that only one side has"),
    pytest.param(["a"], [], ("a",), id="one side has none"),
    pytest.param(["a", "b"], ["b", "a"], ("a", "b"), id="all of them where both sides have the same"),
]


@pytest.mark.parametrize(("before", "after", "wanted"), EDGES)
def test_statements_behind_an_edge(before: list[str], after: list[str], wanted: tuple[str, ...]) -> None:
    one, other = with_statements(ALLOWED, *before), with_statements(DENIED, *after)
    (edge,) = questions.edges_of([Range(0, 9, one), Range(10, END, other)])
    assert (edge.place, edge.before, edge.after, edge.statements) == (10, one, other, wanted)


# the addresses that are asked for, the parts of the ranges 0 to 9 and 10 to the last address
WITHIN = [
    pytest.param(None, [(0, 9), (10, END)], id="all addresses"),
    pytest.param([(3, 5)], [(3, 5)], id="in one range"),
    pytest.param([(9, 10)], [(9, 9), (10, 10)], id="at the edge of both"),
    pytest.param([(0, 0), (20, 30)], [(0, 0), (20, 30)], id="some of each"),
    pytest.param([(10, 10)], [(10, 10)], id="the first address of a range"),
    pytest.param([(9, 9)], [(9, 9)], id="the last address of a range"),
    pytest.param([], [], id="no address"),
]


@pytest.mark.parametrize(("asked", "parts"), WITHIN)
def test_parts_of_ranges(asked: list[tuple[int, int]] | None, parts: list[tuple[int, int]]) -> None:
    ranges = [Range(0, 9, ALLOWED), Range(10, END, DENIED)]
    found = list(questions.within(ranges, None if asked is None else IpSet.of_ranges(asked)))
    assert [(each.first, each.last) for each in found] == parts
    assert [each.answer for each in found] == [ALLOWED if first < 10 else DENIED for first, _ in parts]


def test_entries_of_a_resource(bundle: Bundle) -> None:
    here, there = (f"qcs::cvm:{region}:uin/100100:instance/1" for region in ("ap-guangzhou", "ap-beijing"))
    shown = {}
    for resource in (None, here, there):
        (found,) = questions.entries(bundle.evaluator, [CEM], ["cvm:Stop"], time=NOW, resource=resource)
        ((places, answer),) = found.depends
        assert len(places.starts) == 2
        shown[resource] = [str(each) for each in answer.conditions()]
    mfa, region = "qcs:mfa bool_equal true", "cvm:region string_equal ap-beijing"
    assert shown == {
        None: ["resource matches qcs::cvm:ap-guangzhou::instance/*", mfa, region],
        here: [region],
        there: [mfa, region],
    }


def test_entries_only_of_those_who_can_call(bundle: Bundle) -> None:
    def asked(**more: IpSet) -> list[str]:
        principals, actions = [ANA, "uin/999999", CEM], ["aiart:Draw", "cvm:Stop"]
        found = questions.entries(bundle.evaluator, principals, actions, time=NOW, **more)  # type: ignore[arg-type]
        return [f"{each.principal} {each.action}" for each in found]

    assert asked() == [f"{ANA} aiart:Draw", f"{CEM} cvm:Stop"]
    assert asked(addresses=IpSet.of(["11.0.0.0/8"])) == [f"{CEM} cvm:Stop"]
    assert asked(addresses=IpSet((), ())) == []
