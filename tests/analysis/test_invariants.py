# ruff: noqa: S104 - addresses to read, not to bind
"""Invariants hold exactly where no call of their space is decided otherwise."""

from __future__ import annotations

from collections import Counter
from math import inf, isfinite
from typing import Any

import pytest

from camguard.analysis.invariants import (
    ALWAYS,
    Broken,
    Invariant,
    Space,
    moment_in,
    prove,
)
from camguard.bundle import Bundle
from camguard.engine.call import Call
from camguard.ipset import EVERY_ADDRESS, LINE_END, NO_MAP, AddressMap, IpSet, format_address, parse_address
from tests.analysis.agreement import decision_of, one_resource, shares
from tests.bridge import to_bundle, to_catalog
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
from tests.generators import Dice, Json, World, a_call, a_range, called_names, seeded, stream

EACH = 3  # bundles of one test
SAMPLES = 30  # calls of a space that the oracle decides
PRINCIPALS = ("uin/100101", "uin/100102", "role/bot", "uin/100100")


COMPANY = catalog(service("aiart", "TextToImage", "ImageToImage"))


def bundle_of(world: World) -> Bundle:
    listed = to_catalog(world.catalog, world.known)
    return to_bundle(listed, world.policies, world.principals, inventory=world.inventory, **world.settings)


def a_space(dice: Dice, world: World, built: Bundle) -> Space:
    """Some principals and actions, from some addresses, at some times, perhaps on one resource."""
    people = tuple(built.people.layers)
    known = [name for name in called_names(world.catalog, world.known) if built.evaluator.traits(name)]
    ranges = IpSet.of(dice.several(["10.0.0.0/8", "192.0.2.0/24", a_range(dice), "2001:db8::/32"], 1, 2))
    some = IpSet.of_ranges([(0, LINE_END - 1)]) if dice.chance(40) else ranges
    call = one_resource(dice, a_call(dice, world))
    cut = call["time"] if call["time"] is not None and isfinite(call["time"]) else 0.0
    times = ALWAYS if dice.chance(50) else ((-inf, cut), (cut + 1, cut + 1e6))
    return Space(
        tuple(dict.fromkeys(dice.several(people, 1, 3))),
        tuple(dict.fromkeys(dice.several(known or ["none:None"], 1, 3))),
        some & EVERY_ADDRESS if dice.chance(50) else EVERY_ADDRESS - some,
        times,
        call["resources"][0] if dice.chance(30) else None,
    )


def an_invariant(dice: Dice, world: World, built: Bundle) -> Invariant:
    space = a_space(dice, world, built)
    form = dice.number(0, 2)
    if form == 0 or not space.addresses.starts:
        return Invariant(space)
    if form == 1:
        return Invariant(space, exactly=IpSet.of([a_range(dice)]))
    return Invariant(space, other=(dice.pick(tuple(built.people.layers)), None))


def a_call_in(dice: Dice, world: World, space: Space) -> Json:
    """A call of a space, often at an edge of it."""
    at = dice.pick(range(len(space.addresses.starts)))
    begin, end = dice.pick(space.times)
    call = one_resource(dice, a_call(dice, world))
    place, time = call["source_ip"], call["time"]
    if place is None or parse_address(place) not in space.addresses:
        call["source_ip"] = format_address(dice.pick((space.addresses.starts[at], space.addresses.ends[at])))
    if time is None or not isfinite(time) or not begin <= time < end:  # an infinity is no instant
        call["time"] = moment_in(begin, end, 0.0)
    call |= {"principal": dice.pick(space.principals), "action": dice.pick(space.actions), "session": None}
    if space.resource is not None:
        call["resources"] = [space.resource]
        call["resource_tags"] = None if world.inventory is not None else call["resource_tags"]
    return call


def allowed(world: World, call: Json) -> bool:
    reason, _ = decision_of(world, call)
    return reason == "allowed"


def expected(world: World, invariant: Invariant, call: Json) -> bool:
    """What an invariant says of a call, by the oracle."""
    if invariant.other is not None:
        return allowed(world, {**call, "principal": invariant.other[0]})
    return invariant.exactly is not None and parse_address(call["source_ip"]) in invariant.exactly


def as_json(call: Call, address: int) -> Json:
    fields = call._asdict() | {"source_ip": format_address(address), "resources": list(call.resources)}
    context = None if call.context is None else {key: list(values) for key, values in call.context.items()}
    return fields | {"context": context, "session": None}


def check(worlds: int, seed: int) -> Counter[str]:
    """Compare invariants with the oracle, and count outcomes."""
    outcomes: Counter[str] = Counter()
    for number, (world, _) in zip(range(worlds), stream(seed, 0), strict=False):
        dice = seeded(seed + number)
        built = bundle_of(world)
        for _ in range(4):
            invariant = an_invariant(dice, world, built)
            if not invariant.space.addresses.starts:
                continue
            broken = prove(built, invariant)
            form = "same" if invariant.other else "exactly" if invariant.exactly else "never"
            outcomes[f"{form} {outcome_of(broken)}"] += 1
            if broken is not None and broken.found is not None:
                call = as_json(broken.found.call, broken.found.address)
                assert broken.found.address in invariant.space.addresses
                assert any(begin <= call["time"] < end for begin, end in invariant.space.times)
                assert allowed(world, call) is bool(broken.found.decision)
                assert allowed(world, call) is not expected(world, invariant, call)
            if broken is None:
                for _ in range(SAMPLES):
                    call = a_call_in(dice, world, invariant.space)
                    assert allowed(world, call) is expected(world, invariant, call), call
    return outcomes


def outcome_of(broken: Broken | None) -> str:
    return "proved" if broken is None else "broken" if broken.found else "unproved"


ENDS = {f"{form} {word}" for form in ("same", "exactly", "never") for word in ("proved", "broken")}


@pytest.mark.parametrize("seed", shares(5, 60, EACH))
def test_invariants_and_oracle_agree(seed: int) -> None:
    assert check(EACH, seed)


def test_few_invariants_are_neither_proved_nor_shown_to_be_wrong() -> None:
    outcomes = check(25, seed=5)
    assert set(outcomes) >= ENDS
    assert outcomes["never unproved"] + outcomes["exactly unproved"] <= outcomes.total() / 50


@pytest.mark.heavy
def test_invariants_and_oracle_agree_at_length() -> None:
    assert set(check(800, seed=7_000_000)) >= ENDS


# --- single invariants ----------------------------------------------------------------------------------

DRAW = ("aiart:TextToImage",)
OFFICE, FLOOR = IpSet.of(["10.0.0.0/8"]), IpSet.of(["10.1.0.0/16"])
TIMED = {"date_less_than": {"qcs:current_time": "2026-01-01T00:00:00Z"}}
NEW_YEAR = 1767225600.0


def space(*, addresses: IpSet = EVERY_ADDRESS, times: Any = ALWAYS, egress: AddressMap = NO_MAP) -> Space:
    return Space((USER,), DRAW, addresses, times, None, egress, now=1.8e9)


# the statements of the user, the invariant, where and when it is shown to be wrong (None: it is proved)
PROOFS: list[Any] = [
    pytest.param(
        [allow(**inside("10.0.0.0/8"))],
        Invariant(space(addresses=EVERY_ADDRESS - OFFICE)),
        None,
        id="nowhere else",
    ),
    pytest.param(
        [allow(**inside("10.0.0.0/7"))],
        Invariant(space(addresses=EVERY_ADDRESS - OFFICE)),
        ("11.0.0.0", 1.8e9),
        id="one range too wide",
    ),
    pytest.param([allow(**TIMED)], Invariant(space()), ("0.0.0.0", NEW_YEAR - 1), id="a time before"),
    pytest.param([allow(**TIMED)], Invariant(space(times=((NEW_YEAR, inf),))), None, id="no time behind"),
    pytest.param(
        [allow(**inside("10.0.0.0/8"))], Invariant(space(), exactly=OFFICE), None, id="exactly these"
    ),
    pytest.param(
        [allow(**inside("10.0.0.0/8"))],
        Invariant(space(), exactly=FLOOR),
        ("10.0.0.0", 1.8e9),
        id="and others",
    ),
    pytest.param(
        [allow(**inside("10.1.0.0/16"))],
        Invariant(space(), exactly=OFFICE),
        ("10.0.0.0", 1.8e9),
        id="not all of them",
    ),
    pytest.param(
        [allow(), deny(**outside("203.0.113.7"))],
        Invariant(
            space(egress=AddressMap.of({"10.0.0.0/8": "203.0.113.7"})),
            exactly=IpSet.of(["10.0.0.0/8", "203.0.113.7"]),
        ),
        None,
        id="T132 addresses of clients, before they are mapped",
    ),
    pytest.param(
        [allow(bool_equal={"qcs:mfa": "true"})],
        Invariant(space()),
        ("0.0.0.0", 1.8e9),
        id="a condition can be met",
    ),
    pytest.param(
        [allow()], Invariant(space(), other=(None, "aiart:ImageToImage")), None, id="another action, the same"
    ),
    pytest.param(
        [allow("aiart:Image*")],
        Invariant(space(), other=(None, "aiart:ImageToImage")),
        ("0.0.0.0", 1.8e9),
        id="another action, not the same",
    ),
]


@pytest.mark.parametrize(("statements", "invariant", "shown"), PROOFS)
def test_an_invariant_is_proved_or_a_call_is_shown(
    statements: list[Any], invariant: Invariant, shown: tuple[str, float] | None
) -> None:
    built = bundle([policy("mine", *statements)], COMPANY)
    broken = prove(built, invariant)
    if shown is None:
        assert broken is None
        return
    assert broken is not None
    assert broken.found is not None
    assert (format_address(broken.found.address), broken.found.call.time) == shown
    assert built.decide(broken.found.call) == broken.found.decision


def test_a_variable_has_another_value_for_another_principal() -> None:
    own = allow("cvm:StopInstances", "qcs::cvm:::instance/${uin}-*")
    row = action("cvm:StopInstances", "qcs::cvm:$region:$account:instance/$instanceId")
    users = principals(users={"100200": ["mine"], "100300": ["mine"]})
    built = bundle([policy("mine", own)], catalog(service("cvm", row)), users)
    broken = prove(built, Invariant(Space((USER,), ("cvm:StopInstances",)), other=("uin/100300", None)))
    assert broken is not None
    assert broken.found is not None
    resource = str(broken.found.call.resources[0])
    assert resource.rpartition("/")[2].partition("-")[0] in {"100200", "100300"}


def test_what_cannot_be_proved_does_not_hold() -> None:
    one, other = ({"string_equal": {"cos:prefix": text}} for text in "ab")
    attached = principals("mine", boundary="limit")
    built = bundle([policy("mine", allow(**one)), policy("limit", allow(**other))], COMPANY, attached)
    broken = prove(built, Invariant(space()))
    assert broken is not None
    assert broken.found is None
    assert [str(each) for each in broken.fault.answer.conditions()] == [
        "cos:prefix string_equal a",
        "cos:prefix string_equal b",
    ]


def test_all_principals_and_actions_that_are_wrong_are_named() -> None:
    users = {"100200": ["all"], "100300": ["all"], "100400": ["none"]}
    found = principals(users=users)
    built = bundle([policy("all", allow()), policy("none", allow("cvm:*"))], COMPANY, found)
    people = tuple(f"uin/{uin}" for uin in users)
    broken = prove(built, Invariant(Space(people, ("aiart:TextToImage", "aiart:ImageToImage"))))
    assert broken is not None
    assert broken.principals == people[:2]
    assert broken.actions == ("aiart:TextToImage", "aiart:ImageToImage")


MOMENTS = [
    pytest.param(0.0, 10.0, 5.0, 5.0, id="the preferred one"),
    pytest.param(0.5, 10.0, 20.0, 1.0, id="the first whole second"),
    pytest.param(0.25, 0.5, 20.0, 0.25, id="the beginning where there is no whole second"),
    pytest.param(-inf, 10.0, 20.0, 9.0, id="the last whole second of what has no beginning"),
    pytest.param(-inf, 10.5, 20.0, 10.0, id="the last whole second before the end"),
    pytest.param(3.0, inf, 2.0, 3.0, id="the beginning of what has no end"),
]


@pytest.mark.parametrize(("begin", "end", "preferred", "moment"), MOMENTS)
def test_a_moment_of_an_interval(begin: float, end: float, preferred: float, moment: float) -> None:
    assert moment_in(begin, end, preferred) == moment
