"""What no recorded call needs can be taken away, and no recorded call is decided otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pytest

from camguard.analysis.unused import Grant, Recorded, unused
from camguard.engine.call import Call
from camguard.engine.principals import Listing, list_principals
from camguard.ipset import parse_address
from tests import oracle
from tests.analysis.agreement import shares
from tests.bridge import to_bundle, to_catalog
from tests.company import USER, allow, bundle, call, catalog, deny, inside, policy, principals, service
from tests.generators import a_call, seeded, stream, written_in

EACH = 3  # bundles of one test
CATALOG = catalog(service("aiart", "TextToImage", "ImageToImage"))
DRAW, COPY = "aiart:TextToImage", "aiart:ImageToImage"


def listing_of(found: Any) -> Listing:
    listing = list_principals(found, "principals.json")
    assert isinstance(listing, Listing)
    return listing


def found_in(bound: dict[str, Any], records: list[Recorded], **policies: list[Any]) -> Any:
    built = bundle([policy(name, *each) for name, each in policies.items()], CATALOG, bound)
    return unused(built, listing_of(bound), records)


OTHER = "uin/100300"
ALLOWED = Recorded(call(DRAW), allowed=True)
DENIED = Recorded(call(COPY), allowed=False)

# the policies of USER, the records, the statements that no call needs
STATEMENTS: list[Any] = [
    pytest.param([allow(DRAW), allow(COPY)], [ALLOWED], ["mine#1"], id="an allow of what was not called"),
    pytest.param([allow(DRAW), allow()], [ALLOWED], [], id="both of two allows that hold"),
    pytest.param([allow(), deny(COPY)], [ALLOWED], ["mine#1"], id="a deny of what was not called"),
    pytest.param([allow(), deny(COPY)], [ALLOWED, DENIED], [], id="a deny that was met"),
    pytest.param([allow(COPY), deny(COPY)], [DENIED], ["mine#0"], id="an allow beside a deny that was met"),
    pytest.param(
        [allow(), allow(**inside("192.0.2.0/24"))], [ALLOWED], ["mine#1"], id="an allow from other addresses"
    ),
    pytest.param(
        [allow(), allow(DRAW, bool_equal={"qcs:mfa": "true"})],
        [ALLOWED],
        ["mine#1"],
        id="an allow under a condition",
    ),
    pytest.param(
        [allow(DRAW, bool_equal={"qcs:mfa": "true"}), allow(COPY)],
        [ALLOWED],
        ["mine#1"],
        id="what may have allowed a call of which the log lacks the conditions",
    ),
]


@pytest.mark.parametrize(("statements", "records", "wanted"), STATEMENTS)
def test_statements(statements: list[Any], records: list[Recorded], wanted: list[str]) -> None:
    found = found_in(principals("mine"), records, mine=statements)
    assert [each.id for each in found.statements] == wanted
    assert found.changed == ()


def test_grants_and_principals() -> None:
    bound = {
        "owner": {"uin": "100100", "app_id": "125"},
        "users": {
            "100200": {"policies": ["draws", "copies"], "groups": ["art", "idle"]},
            "100300": {"policies": [], "groups": ["art"]},
        },
        "groups": {"art": {"policies": ["draws", "copies"]}, "idle": {"policies": []}},
        "roles": {"bot": {"policies": ["copies"]}},
    }
    records = [ALLOWED, Recorded(call(DRAW, principal=OTHER), allowed=True)]
    found = found_in(bound, records, draws=[allow(DRAW)], copies=[allow(COPY)])
    assert set(found.grants) == {
        Grant(USER, "copies"),
        Grant(USER, "group/art"),  # draws is attached to the user, too
        Grant(USER, "group/idle"),
        Grant("group/art", "copies"),
        Grant("role/bot", "copies"),
    }
    assert found.principals == ("role/bot",)
    assert [each.id for each in found.statements] == ["copies#0"]
    assert found.changed == ()


def test_calls_that_no_condition_distinguishes_are_decided_once() -> None:
    near = Recorded(call(DRAW, "10.0.0.2", time=5.0), allowed=True, times=3)
    far = Recorded(call(DRAW, "192.0.2.1"), allowed=False)
    found = found_in(principals("mine"), [ALLOWED, near, far], mine=[allow(**inside("10.0.0.0/8"))])
    assert (found.calls, found.different, found.otherwise) == (5, 2, 0)


EDGE = 1_767_225_600.0
TIMED = {"date_less_than_equal": {"qcs:current_time": "2026-01-01T00:00:00Z"}}
MINE = [allow(**inside("10.0.0.0/8"), **TIMED)]
BASE = Recorded(call(DRAW), allowed=True)
# the policy of USER, two records, whether a condition can distinguish them
DISTINCT = [
    pytest.param(MINE, BASE, BASE, False, id="the same call"),
    pytest.param(
        MINE, BASE, Recorded(call(DRAW, "10.0.0.9"), allowed=True), False, id="addresses of one part"
    ),
    pytest.param(MINE, BASE, Recorded(call(DRAW, time=5.0), allowed=True), False, id="times of one part"),
    pytest.param(
        MINE,
        Recorded(call(DRAW, "9.255.255.255"), allowed=False),
        Recorded(call(DRAW, "10.0.0.0"), allowed=False),
        True,
        id="the last address before a part and its first one",
    ),
    pytest.param(MINE, BASE, Recorded(call(DRAW, None), allowed=True), True, id="no address"),
    pytest.param(MINE, BASE, Recorded(call(DRAW, time=None), allowed=True), True, id="no time"),
    *(
        pytest.param(
            MINE,
            Recorded(call(DRAW, time=one), allowed=True),
            Recorded(call(DRAW, time=other), allowed=True),
            True,
            id=f"times {one - EDGE:+.0f} s and {other - EDGE:+.0f} s from a moment of a policy",
        )
        for one, other in ((EDGE - 1, EDGE), (EDGE, EDGE + 1), (EDGE - 1, EDGE + 1))
    ),
    pytest.param(MINE, BASE, Recorded(call(COPY), allowed=True), True, id="another action"),
    pytest.param(
        MINE, BASE, Recorded(call(DRAW, resources=("x",)), allowed=True), True, id="another resource"
    ),
    pytest.param(MINE, BASE, Recorded(call(DRAW), allowed=False), True, id="another decision"),
    pytest.param(
        [allow()],
        BASE,
        Recorded(call(DRAW, "192.0.2.1", time=9e9), allowed=True),
        False,
        id="no condition on address and time",
    ),
    pytest.param(
        [allow(DRAW), allow(COPY, **inside("10.0.0.0/8"), **TIMED)],
        BASE,
        Recorded(call(DRAW, "192.0.2.1", time=9e9), allowed=True),
        False,
        id="conditions on address and time for another action",
    ),
    pytest.param(
        MINE,
        Recorded(call(DRAW, principal="uin/999999"), allowed=False),
        Recorded(call(DRAW, "192.0.2.1", principal="uin/999999", time=9e9), allowed=False),
        False,
        id="an unknown principal",
    ),
]


@pytest.mark.parametrize(("statements", "one", "other", "wanted"), DISTINCT)
def test_calls_that_a_condition_can_distinguish(
    statements: list[Any], one: Recorded, other: Recorded, wanted: bool
) -> None:
    found = found_in(principals("mine"), [one, other], mine=statements)
    assert (found.calls, found.different) == (2, 1 + wanted)


def test_calls_are_counted_together() -> None:
    shown: list[Recorded] = []

    def watch(distinct: Sequence[Recorded]) -> Sequence[Recorded]:
        shown.extend(distinct)
        return distinct

    built = bundle([policy("mine", *MINE)], CATALOG)
    records = [BASE._replace(times=2), BASE._replace(times=3), BASE]
    found = unused(built, listing_of(principals("mine")), records, watch=watch)
    assert (found.calls, found.different) == (6, 1)
    assert shown == [BASE._replace(times=6)]


BOTH = {"draw": [allow(DRAW)], "copy": [allow(COPY)]}
HIS_COPY = Recorded(call(COPY, principal=OTHER), allowed=True)
COPIED = Recorded(call(COPY), allowed=True)
# principals.json: what a call of USER needs, and what another one needs, too
TAKEN = [
    pytest.param(
        principals(users={"100200": ["draw", "copy"], "100300": ["copy"]}),
        Grant(USER, "copy"),
        id="an attached policy",
    ),
    pytest.param(
        {
            **principals(groups={"art": {"policies": ["copy"]}}),
            "users": {
                "100200": {"policies": ["draw"], "groups": ["art"]},
                "100300": {"policies": [], "groups": ["art"]},
            },
        },
        Grant(USER, "group/art"),
        id="a membership",
    ),
    pytest.param(
        {
            **principals(users={"100300": ["copy"]}, groups={"art": {"policies": ["draw", "copy"]}}),
            "users": {"100200": {"policies": [], "groups": ["art"]}, "100300": {"policies": ["copy"]}},
        },
        Grant("group/art", "copy"),
        id="a policy of a group",
    ),
]


@pytest.mark.parametrize(("bound", "taken"), TAKEN)
def test_the_proof_finds_a_grant_that_is_taken_wrongly(bound: dict[str, Any], taken: Grant) -> None:
    """One call is hidden from the search, and the proof compares it."""
    built = bundle([policy(name, *each) for name, each in BOTH.items()], CATALOG, bound)
    hidden = unused(
        built,
        listing_of(bound),
        [ALLOWED, COPIED, HIS_COPY],
        watch=lambda distinct: [each for each in distinct if each.call != COPIED.call],
    )
    assert taken in hidden.grants
    assert hidden.changed == (COPIED.call,)


def test_the_proof_finds_a_statement_that_is_taken_wrongly() -> None:
    built = bundle([policy("mine", allow(DRAW), allow(COPY))], CATALOG)
    hidden = unused(
        built, listing_of(principals("mine")), [ALLOWED, COPIED], watch=lambda distinct: distinct[:1]
    )
    assert [each.id for each in hidden.statements] == ["mine#1"]
    assert hidden.changed == (COPIED.call,)


def test_a_call_that_is_decided_otherwise_than_recorded_needs_what_may_apply() -> None:
    found = found_in(principals("mine"), [Recorded(call(DRAW), allowed=False)], mine=[allow(), allow(COPY)])
    assert (found.different, found.otherwise) == (1, 1)
    assert [each.id for each in found.statements] == ["mine#1"]


@pytest.mark.parametrize("seed", shares(23, 51, EACH))
def test_the_oracle_decides_the_recorded_calls_the_same_without_the_statements(seed: int) -> None:
    taken = compared = 0
    for number, (world, _) in enumerate(islice(stream(seed, 0), EACH), seed - 23):
        dice = seeded(number)
        listed = to_catalog(world.catalog, world.known)
        built = to_bundle(
            listed, world.policies, world.principals, inventory=world.inventory, **world.settings
        )
        rows = [{**a_call(dice, world), "session": None} for _ in range(12)]
        rows = [each for each in rows if each["source_ip"] is not None]
        bare = {"resource_tags": None, "request_tags": None, "context": None}

        def ask(policies: dict[str, str], row: Any, world: Any = world) -> bool:
            given = (world.catalog, policies, world.principals, row)
            more = {"known": world.known, "inventory": world.inventory, **world.settings}
            return oracle.decide(*given, **more)[0] == "allowed"

        records = [
            Recorded(
                Call(
                    row["principal"],
                    row["action"],
                    parse_address(row["source_ip"]),
                    row["time"],
                    tuple(row["resources"]),
                ),
                allowed=ask(world.policies, row),
            )
            for row in rows
        ]
        found = unused(built, listing_of(world.principals), records)
        assert found.changed == ()
        gone = {each.id for each in found.statements}
        reduced = {}
        for name, text in world.policies.items():
            tree = written_in(text)
            (key,) = (each for each in tree if each.lower() == "statement")
            whole = tree[key] if isinstance(tree[key], list) else [tree[key]]
            left = [each for at, each in enumerate(whole) if f"{name}#{at}" not in gone]
            reduced[name] = json.dumps({"version": "2.0", "statement": left or [allow("none:None")]})
        taken += len(gone)
        for row in rows:
            compared += 1
            plain = {**row, **bare}
            if ask(world.policies, plain) is ask(world.policies, row):
                assert ask(reduced, plain) is ask(world.policies, plain), row
    assert taken > 0
    assert compared > 10
