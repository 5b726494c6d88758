"""The least policy allows what was recorded, and beyond it what it lists."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from camguard.analysis.least_policy import Suggestion, Wishes, suggest
from camguard.catalog.model import Granularity
from camguard.engine.call import Call
from camguard.ipset import IpSet, format_address, parse_address
from tests import oracle
from tests.analysis.agreement import shares
from tests.bridge import to_bundle, to_catalog
from tests.company import USER, action, allow, bundle, catalog, policy, service
from tests.generators import Json, World, a_call, seeded, stream

EACH = 3  # bundles of one test
TEMPLATE = "qcs::cvm:$region:$account:instance/$instanceId"
INSTANCES = [f"qcs::cvm:ap-guangzhou:uin/100100:instance/ins-{at}" for at in range(30)]
NAMES = ("DescribeImages", "DescribeDisks", "DescribeKeys", "DeleteImage", "CreateImage")
CATALOG = catalog(
    service("art", *NAMES),
    service("cvm", action("cvm:StopInstances", TEMPLATE)),
    service(
        "pay", *(action(f"pay:{name}", ip_restriction=False) for name in ("Pay", "Give", "Lend")), "Refund"
    ),
    *(
        service(name, action(f"{name}:Do", granularity=Granularity.SERVICE), granularity=Granularity.SERVICE)
        for name in ("whole", "other")
    ),
    service("vm", action("vm:StopOne", TEMPLATE), action("vm:Start", TEMPLATE), "StopAll", "StopSome"),
    service("api", "APIKey", "APIDisk", "ABTest", "Get5Key", "Get5Disk", "GetKey", "getKey", "getDisk"),
    service("more", "giveKey", "getKey", "getDisk", "Set_KeyA", "Set_KeyB", "Set_Disk", "SetKey"),
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
    pytest.param(
        calls(("whole:Do", A), ("other:Do", A), (f"art:{NAMES[0]}", A)),
        Wishes(),
        [([f"art:{NAMES[0]}"], "*", [A]), (["other:*"], "*", [A]), (["whole:*"], "*", [A])],
        id="DEC-46 each service as a whole has a statement of its own",
    ),
    pytest.param(
        calls(("vm:StopOne", A, INSTANCES[1]), ("vm:StopAll", A), ("vm:Start", A, INSTANCES[1])),
        Wishes(),
        [(["vm:Start", "vm:StopOne"], [INSTANCES[1]], [A]), (["vm:StopAll"], "*", [A])],
        id="actions on resources have a statement of their own",
    ),
    pytest.param(
        calls(("vm:StopAll", A), ("vm:StopOne", A, INSTANCES[1]), ("vm:StopSome", A)),
        Wishes(patterns=True),
        [(["vm:StopAll", "vm:StopSome"], "*", [A]), (["vm:StopOne"], [INSTANCES[1]], [A])],
        id="a pattern names no action of another statement",
    ),
    pytest.param(
        calls(("pay:Pay", A), ("pay:Give", C), ("pay:Refund", A)),
        Wishes(each_action=True),
        [(["pay:Give", "pay:Pay"], "*", None), (["pay:Refund"], "*", [A])],
        id="actions whose address cannot be restricted share a statement whatever their addresses",
    ),
    pytest.param(
        of_names(NAMES[:1], "10.0.0.1", "10.0.0.4", "11.0.0.1", "12.0.0.1", "13.0.0.1"),
        Wishes(),
        [(["art:DescribeImages"], "*", ["10.0.0.0/29", "11.0.0.1", "12.0.0.1", "13.0.0.1"])],
        id="four blocks of addresses where nothing else is wished",
    ),
    pytest.param(
        calls(*(("cvm:StopInstances", A, each) for each in INSTANCES[:20])),
        Wishes(),
        [(["cvm:StopInstances"], sorted(INSTANCES[:20]), [A])],
        id="twenty resources where nothing else is wished",
    ),
    pytest.param(
        calls(*(("cvm:StopInstances", A, each) for each in INSTANCES[:21])),
        Wishes(),
        [(["cvm:StopInstances"], ["qcs::cvm:ap-guangzhou:uin/100100:instance/*"], [A])],
        id="one resource more than twenty",
    ),
    pytest.param(
        calls(
            *(
                ("cvm:StopInstances", A, f"qcs::cvm:ap-guangzhou::{each}")
                for each in ("disk/1", "disk/2", "x")
            )
        ),
        Wishes(most_resources=2),
        [(["cvm:StopInstances"], ["qcs::cvm:ap-guangzhou::disk/*", "qcs::cvm:ap-guangzhou::x"], [A])],
        id="a resource without a type stays as it is",
    ),
    pytest.param(
        calls(
            *(
                ("cvm:StopInstances", A, f"qcs::cvm:ap-guangzhou::{each}")
                for each in ("disk/1:a", "pool/a/1", "pool/a/2")
            )
        ),
        Wishes(most_resources=2),
        [
            (
                ["cvm:StopInstances"],
                [f"qcs::cvm:ap-guangzhou::{each}/*" for each in ("disk", "pool/a")],
                [A],
            )
        ],
        id="a name with a colon, and a type with a slash",
    ),
    pytest.param(
        calls(*(("cvm:StopInstances", A, f"qcs::cvm:gz:uin/100100:{each}") for each in ("x", "y", "disk/1"))),
        Wishes(most_resources=2),
        [
            (
                ["cvm:StopInstances"],
                [f"qcs::cvm:gz:uin/100100:{each}" for each in ("disk/*", "x", "y")],
                [A],
            )
        ],
        id="the slash of an account separates no type",
    ),
    pytest.param(
        calls(("cvm:StopInstances", A, "qcs:id/0:cvm:ap-guangzhou:uin/100100:instance/a")),
        Wishes(),
        [(["cvm:StopInstances"], ["qcs::cvm:ap-guangzhou:uin/100100:instance/a"], [A])],
        id="DEC-13 the project of a resource is left out",
    ),
    pytest.param(
        calls(("cvm:StopInstances", A, INSTANCES[1]), ("cvm:StopInstances", A, "*")),
        Wishes(),
        [(["cvm:StopInstances"], ["*"], [A])],
        id="a call on everything needs everything",
    ),
    pytest.param(
        calls(*((f"api:{name}", A) for name in ("APIKey", "APIDisk"))),
        Wishes(patterns=True),
        [(["api:API*"], "*", [A])],
        id="capital letters are one word, up to the last one before a small letter",
    ),
    pytest.param(
        calls(*((f"api:{name}", A) for name in ("Get5Key", "Get5Disk"))),
        Wishes(patterns=True),
        [(["api:Get5*"], "*", [A])],
        id="a digit belongs to the word before it",
    ),
    pytest.param(
        calls(*((f"more:{name}", A) for name in ("getKey", "getDisk"))),
        Wishes(patterns=True),
        [(["more:get*"], "*", [A])],
        id="a word may begin with a small letter",
    ),
    pytest.param(
        calls(*((f"more:{name}", A) for name in ("Set_KeyA", "Set_KeyB"))),
        Wishes(),
        [(["more:Set_Key*"], "*", [A])],
        id="another sign is a word",
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


def test_a_block_is_further_only_where_no_call_of_the_action_came_from_it() -> None:
    recorded = of_names(NAMES[:1], A, C) + of_names(NAMES[3:4], C)
    found = suggest(BUILT, recorded)
    assert statements(found)[0]["action"] == ["art:DeleteImage", "art:DescribeImages"]
    assert found.further_ranges == {"art:DeleteImage": (A,)}


def test_further_resources_are_those_of_a_pattern() -> None:
    rows = [("cvm:StopInstances", A, f"qcs::cvm:ap-guangzhou::{each}") for each in ("disk/1", "disk/2", "x")]
    found = suggest(BUILT, [*calls(*rows), *of_names(NAMES[:1], A)], Wishes(most_resources=2))
    assert found.further_resources == ("qcs::cvm:ap-guangzhou::disk/*",)
    assert suggest(BUILT, calls(*rows)).further_resources == ()


def test_a_call_without_an_address_is_allowed_from_anywhere() -> None:
    found = suggest(BUILT, [Call(USER, "art:DescribeImages", None, 0.0)])
    assert statements(found) == [{"effect": "allow", "action": ["art:DescribeImages"], "resource": "*"}]
    assert (found.anywhere, found.covered) == (("art:DescribeImages",), 1)


HARD = [
    pytest.param("art:Nothing", "*", id="an action that the catalog does not list"),
    pytest.param("cvm:StopInstances", "qcs::cvm:ap-guangzhou:uin/100100:instance/a$b", id="a dollar"),
    pytest.param("cvm:StopInstances", "qcs::cvm:ap-guangzhou:uin/100100:instance/${uin}", id="a variable"),
    pytest.param("cvm:StopInstances", "instance/a", id="a resource that is no pattern"),
    pytest.param("cvm:StopInstances", "qcs:cvm:instance/a", id="a resource of too few segments"),
]


@pytest.mark.parametrize(("name", "resource"), HARD)
def test_a_call_that_no_policy_can_name_is_listed(name: str, resource: str) -> None:
    (hard,) = calls((name, A, resource))
    found = suggest(BUILT, [*calls(("cvm:StopInstances", A, INSTANCES[1])), hard])
    assert [(each["action"], each["resource"]) for each in statements(found)] == [
        (["cvm:StopInstances"], [INSTANCES[1]])
    ]
    assert (found.covered, [call for call, _ in found.not_covered]) == (1, [hard])


def test_a_resource_that_could_not_be_bound_is_not_named() -> None:
    unbound = Call(USER, "cvm:StopInstances", parse_address(A), 0.0, (INSTANCES[1], None))
    found = suggest(BUILT, [unbound])
    assert statements(found)[0]["resource"] == [INSTANCES[1]]
    assert [call for call, _ in found.not_covered] == [unbound]


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


@pytest.mark.parametrize("seed", shares(11, 60, EACH))
def test_suggestions_and_oracle_agree(seed: int) -> None:
    compared(EACH, seed)


def test_few_suggestions_cover_calls_and_allow_more() -> None:
    assert min(compared(20, 11)) > 30


def compared(worlds: int, seed: int) -> tuple[int, int]:
    """Return how many calls were covered, and how many further ones were allowed and listed."""
    covered = beyond = 0
    for number, (world, _) in enumerate(islice(stream(seed, 0), worlds), seed - 11):
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
    return covered, beyond


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
