"""The least policy allows what was recorded, and beyond it what it lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from camguard.analysis.least_policy import Suggestion, Wishes, suggest
from camguard.catalog.model import Granularity
from camguard.engine.call import Call
from camguard.ipset import IpSet, format_address, parse_address
from tests import oracle
from tests.bridge import to_bundle, to_catalog
from tests.company import USER, action, allow, bundle, catalog, policy, service
from tests.generators import Json, World, a_call, seeded, stream

TEMPLATE = "qcs::cvm:$region:$account:instance/$instanceId"
INSTANCES = [f"qcs::cvm:ap-guangzhou:uin/100100:instance/ins-{at}" for at in range(30)]
NAMES = ("DescribeImages", "DescribeDisks", "DescribeKeys", "DeleteImage", "CreateImage")
CATALOG = catalog(
    service("art", *NAMES),
    service("cvm", action("cvm:StopInstances", TEMPLATE)),
    service("pay", action("pay:Pay", ip_restriction=False), "Refund"),
    service("whole", action("whole:Do", granularity=Granularity.SERVICE), granularity=Granularity.SERVICE),
)
BUILT = bundle([policy("mine", allow("*"))], CATALOG)


def calls(*rows: tuple[str, str] | tuple[str, str, str]) -> list[Call]:
    return [
        Call(USER, name, parse_address(source), 0.0, tuple(more) or ("*",)) for name, source, *more in rows
    ]


def of_names(names: tuple[str, ...], *sources: str) -> list[Call]:
    return calls(*((f"art:{name}", source) for name in names for source in sources))


def statements(found: Suggestion) -> list[dict[str, Any]]:
    return list(found.document["statement"])


A, B, C = "10.1.2.3", "10.1.2.9", "192.0.2.1"
IN_A = {"ip_equal": {"qcs:ip": [A]}}
# the calls, what is left open, the actions, resources and conditions of the statements
POLICIES: list[Any] = [
    pytest.param(
        of_names(NAMES[:2], A),
        Wishes(),
        [(["art:DescribeDisks", "art:DescribeImages"], "*", [A])],
        id="two actions of three are named",
    ),
    pytest.param(
        of_names(NAMES[:3], A),
        Wishes(),
        [(["art:Describe*"], "*", [A])],
        id="a pattern that names nothing else",
    ),
    pytest.param(
        of_names(NAMES[:2], A),
        Wishes(patterns=True),
        [(["art:Describe*"], "*", [A])],
        id="a pattern of the first word, by choice",
    ),
    pytest.param(of_names(NAMES, A), Wishes(), [(["art:*"], "*", [A])], id="all actions of a service"),
    pytest.param(
        of_names(NAMES[:1], A, B, C),
        Wishes(most_ranges=2),
        [(["art:DescribeImages"], "*", ["10.1.2.0/28", C])],
        id="addresses become a few blocks",
    ),
    pytest.param(
        of_names(NAMES[:1], A) + of_names(NAMES[1:2], C),
        Wishes(),
        [(["art:DescribeDisks", "art:DescribeImages"], "*", [A, C])],
        id="one statement for two actions",
    ),
    pytest.param(
        of_names(NAMES[:1], A) + of_names(NAMES[1:2], C),
        Wishes(each_action=True),
        [(["art:DescribeDisks"], "*", [C]), (["art:DescribeImages"], "*", [A])],
        id="each action from its own addresses, by choice",
    ),
    pytest.param(
        calls(("pay:Pay", A), ("pay:Refund", A)),
        Wishes(),
        [(["pay:Pay"], "*", None), (["pay:Refund"], "*", [A])],
        id="an action whose address cannot be restricted has a statement of its own",
    ),
    pytest.param(
        calls(("cvm:StopInstances", A, INSTANCES[1])),
        Wishes(),
        [(["cvm:StopInstances"], [INSTANCES[1]], [A])],
        id="a resource",
    ),
    pytest.param(
        calls(*(("cvm:StopInstances", A, each) for each in INSTANCES)),
        Wishes(),
        [(["cvm:StopInstances"], ["qcs::cvm:ap-guangzhou:uin/100100:instance/*"], [A])],
        id="too many resources become their type",
    ),
    pytest.param(
        calls(("whole:Do", A)), Wishes(), [(["whole:*"], "*", [A])], id="DEC-46 a service as a whole"
    ),
]


@pytest.mark.parametrize(("recorded", "wishes", "wanted"), POLICIES)
def test_policies(recorded: list[Call], wishes: Wishes, wanted: list[Any]) -> None:
    found = suggest(BUILT, recorded, wishes)
    assert [
        (each["action"], each["resource"], each.get("condition", {}).get("ip_equal", {}).get("qcs:ip"))
        for each in statements(found)
    ] == wanted
    assert (found.covered, found.not_covered) == (len(recorded), ())


def test_what_is_allowed_beyond_is_listed() -> None:
    recorded = of_names(NAMES[:1], A, B) + of_names(NAMES[1:2], C) + calls(("pay:Pay", A))
    found = suggest(BUILT, recorded, Wishes(most_ranges=2, patterns=True))
    assert found.further_actions == ("art:DescribeKeys",)
    assert [tuple(each) for each in found.ranges] == [("10.1.2.0/28", 16, 2), (C, 1, 1)]
    assert found.further_ranges == {"art:DescribeDisks": ("10.1.2.0/28",), "art:DescribeImages": (C,)}
    assert found.anywhere == ("pay:Pay",)


def test_a_call_that_the_policy_cannot_allow_is_listed() -> None:
    unknown = Call(USER, "art:DescribeImages", None, 0.0)
    found = suggest(BUILT, [*of_names(NAMES[:1], A), unknown])
    assert found.covered == 1
    assert [(call, bool(decision)) for call, decision in found.not_covered] == [(unknown, False)]


def plain_calls(world: World, number: int) -> list[Json]:
    """Calls without tags and further keys, as a log has them."""
    dice = seeded(number)
    found = [a_call(dice, world) for _ in range(12)]
    bare = {"resource_tags": None, "request_tags": None, "context": None, "session": None, "time": 0.0}
    return [
        {**each, **bare, "principal": "uin/100101", "resources": each["resources"] or ["*"]}
        for each in found
        if each["source_ip"] is not None and None not in each["resources"]
    ]


def decided(world: World, document: Any, call: Json) -> bool:
    people = {"owner": world.principals["owner"], "users": {"100101": {"policies": ["suggested"]}}}
    reason, _ = oracle.decide(
        world.catalog,
        {"suggested": json.dumps(document)},
        people,
        call,
        known=world.known,
        inventory=world.inventory,
        **world.settings,
    )
    return reason == "allowed"


def test_suggestions_and_oracle_agree() -> None:
    covered = beyond = 0
    for number, (world, _) in zip(range(60), stream(11, 0), strict=False):
        listed = to_catalog(world.catalog, world.known)
        built = to_bundle(
            listed, world.policies, world.principals, inventory=world.inventory, **world.settings
        )
        rows = plain_calls(world, number)
        rows = [each for each in rows if built.evaluator.traits(each["action"])]
        as_calls = {
            Call(
                each["principal"],
                each["action"],
                parse_address(each["source_ip"]),
                0.0,
                tuple(each["resources"]),
            ): each
            for each in rows
        }
        if not as_calls:
            continue
        found = suggest(built, as_calls, Wishes(most_ranges=2, patterns=bool(number % 2)))
        denied = {call for call, _ in found.not_covered}
        for call, each in as_calls.items():
            assert decided(world, found.document, each) is (call not in denied), each
            covered += call not in denied
        beyond += check_beyond(world, found, built, rows)
    assert min(covered, beyond) > 100


def check_beyond(world: World, found: Suggestion, built: Any, rows: list[Json]) -> int:
    """Whatever is allowed was recorded, or is listed."""
    asked = {name.entry.id for each in rows for name in built.evaluator.traits(each["action"]).cam_actions}
    ranges = IpSet.of(each.cidr for each in found.ranges)
    sample = next(iter(rows))
    count = 0
    for name in list(built.catalog.actions)[:12]:
        edges = (0, *ranges.starts, *(end + 1 for end in ranges.ends[:-1]))
        for place in (each for each in edges if parse_address(format_address(each)) == each):
            call = {**sample, "action": name, "source_ip": format_address(place), "resources": ["*"]}
            if decided(world, found.document, call):
                count += 1
                traits = built.evaluator.traits(name)
                names = {each.entry.id for each in traits.cam_actions}
                assert names <= asked | {*found.further_actions}
                assert place in ranges or {*found.anywhere, *found.further_actions} & names
    return count
