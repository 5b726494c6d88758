"""Explanations in words, and the nearest changes, each of which is tried before it is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.bundle import Bundle
from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.model import Action, Granularity
from camguard.engine.call import Call
from camguard.engine.decision import Reason
from camguard.engine.explain import Explanation
from camguard.engine.remediation import Cure
from tests import company
from tests.company import action, allow, catalog, deny, policy, principals, service

UNSUPPORTED = (
    "condition: qcs:ip is 10.9.8.7, and CAM may not receive it:"
    " aiart:QueryUser does not support limits by source address"
)
OFFICE = {"ip_equal": {"qcs:ip": ["10.9.0.0/21", "2001:db8::/32"]}}
NOT_OFFICE = {"ip_not_equal": {"qcs:ip": ["10.9.0.0/21"]}}
LATER = {"date_greater_than_equal": {"qcs:current_time": "1970-01-01T00:01:40Z"}}
EARLIER = {"date_less_than": {"qcs:current_time": "1970-01-01T00:03:20Z"}}
TAG = {"for_any_value:string_equal": {"qcs:resource_tag": "dept&rd"}}
TAG_KEY = {"null_equal": {"qcs:resource_tag/dept": "false"}}
REQUEST_TAG = {"string_equal": {"qcs:request_tag/env": "test"}}
SECURE = {"bool_equal": {"cos:secure-transport": "true"}}
ONLY_READS = {"numeric_equal": {"qcs:read_only_action": 1}}
NOT_PREFIX = {"string_not_equal": {"cos:prefix": "secret"}}


ON_INSTANCES = "qcs::cvm:${region}:uin/:instance/${Id}"
CATALOG = catalog(
    service(
        "aiart",
        "TextToImage",
        action("aiart:QueryUser", ip_restriction=False),
        action("aiart:Unread", resources=()),
        action("aiart:NameAlone", granularity=Granularity.UNKNOWN),
    ),
    service("cvm", action("cvm:Reboot", ON_INSTANCES), "Regions", tag_authorization=True),
    service("svcx", action("svcx:DoThing", granularity=Granularity.SERVICE)),
)


def statement(effect: str, actions: str, resource: object = "*", **condition: Any) -> dict[str, Any]:
    return {**allow(actions, resource, **condition), "effect": effect}


def bundle(*statements: dict[str, Any], boundary: str | None = None, more: tuple[str, ...] = ()) -> Bundle:
    policies = [
        policy("one", *(statements or [allow("cvm:Regions")])),
        policy("describe", allow("aiart:Describe*")),
        policy("full", allow("*")),
    ]
    return company.bundle(policies, CATALOG, principals("one", *more, boundary=boundary))


def call(name: str = "aiart:TextToImage", source: str = "10.9.8.7", time: float = 0.0, **more: Any) -> Call:
    return company.call(name, source, time=time, **more)


def reboot(**more: Any) -> Call:
    return call("cvm:Reboot", resources=("qcs::cvm:ap-guangzhou:uin/100100:instance/ins-1",), **more)


def notes(found: Explanation) -> list[tuple[str, object, str]]:
    return [(n.id, c.truth, f"{c.kind}: {c.why}") for n in found.statements for c in n.clauses]


def test_a_statement_is_explained_clause_by_clause() -> None:
    found = bundle(allow("aiart:*", **OFFICE)).explain(call())
    assert found.decision.reason is Reason.NO_ALLOW
    assert notes(found) == [
        ("one#0", True, "action: names the action"),
        ("one#0", True, "resource: any resource"),
        ("one#0", False, "condition: qcs:ip is 10.9.8.7"),
    ]
    assert [(n.layer, n.truth, n.counts) for n in found.statements] == [("identity", False, False)]


ON_ONE, ON_TWO = (f"qcs::cvm:ap-guangzhou:uin/100100:instance/ins-{i}" for i in (1, 2))


@pytest.mark.parametrize(
    ("statements", "counting"),
    [
        pytest.param(
            [allow("*"), deny("cvm:*", ON_ONE)], ["one#0", "one#1"], id="a deny of one of them refuses"
        ),
        pytest.param(
            [allow("cvm:*", ON_ONE), allow("cvm:*", ON_TWO)], ["one#0", "one#1"], id="an allow of each"
        ),
        pytest.param([allow("cvm:*", ON_ONE)], ["one#0"], id="an allow of one of them is half an allow"),
    ],
)
def test_of_several_resources_one_makes_a_statement_count(
    statements: list[dict[str, Any]], counting: list[str]
) -> None:
    found = bundle(*statements).explain(call("cvm:Reboot", resources=(ON_ONE, ON_TWO)))
    assert [note.id for note in found.statements if note.counts] == counting
    assert set(found.decision.statements) <= set(counting)


def test_half_an_allow_can_be_requested_alone() -> None:
    found = bundle(allow("cvm:*", ON_ONE))
    query = call("cvm:Reboot", resources=(ON_ONE, ON_TWO))
    texts = [change.text for change in found.nearest_changes(query, found.explain(query))]
    assert f"call it on a resource of {ON_ONE}" in texts


def test_statements_that_do_not_name_the_action_are_left_out() -> None:
    assert bundle(allow("cvm:*"), deny("aiart:QueryUser")).explain(call()).statements == ()


WORDS = [
    pytest.param(
        [deny("aiart:texttoimage")],
        call(),
        (None, "action: names the action in another letter case, or by a star in the service"),
        id="an action in another letter case",
    ),
    pytest.param(
        [allow("aiart:*", "qcs::aiart:::job/1")],
        call(),
        (False, "resource: the action is authorized at operation level: only the resource '*' grants it"),
        id="an allow on a resource for an action that has none",
    ),
    pytest.param(
        [deny("aiart:*", "qcs::aiart:::job/1")],
        call(),
        (
            None,
            (
                "resource: names a resource, but the action has no resources; "
                "write '*' (until then the deny applies)"
            ),
        ),
        id="a deny on a resource for an action that has none",
    ),
    pytest.param(
        [deny("*", "qcs::cvm:::instance/ins-1")],
        call(),
        (False, "resource: names resources of other actions or services"),
        id="a deny on a resource of another product",
    ),
    pytest.param(
        [allow("svcx:DoThing")],
        call("svcx:DoThing"),
        (
            False,
            (
                "resource: the service is authorized as a whole; "
                "a statement that names single actions grants nothing"
            ),
        ),
        id="a single action of a product that is authorized as a whole",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/ins-1")],
        reboot(),
        (True, "resource: matches qcs::cvm:ap-guangzhou:uin/100100:instance/ins-1"),
        id="a resource that matches",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/ins-2")],
        reboot(),
        (False, "resource: does not match qcs::cvm:ap-guangzhou:uin/100100:instance/ins-1"),
        id="a resource that does not match",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/ins-2")],
        call("cvm:Reboot", resources=(None,)),
        (
            None,
            "resource: cannot be compared with a resource that the parameters of the call do not determine",
        ),
        id="a resource that could not be bound",
    ),
    pytest.param(
        [allow("aiart:*", **OFFICE)],
        call("aiart:QueryUser"),
        (
            False,
            UNSUPPORTED,
        ),
        id="an address condition on an action without address support",
    ),
    pytest.param(
        [allow("aiart:*", **LATER)],
        call("aiart:QueryUser")._replace(time=None),
        (None, "condition: this call does not supply qcs:current_time"),
        id="a time condition on an action without address support",
    ),
    pytest.param(
        [allow("aiart:*", **SECURE)],
        call(),
        (None, "condition: this call does not supply cos:secure-transport"),
        id="a key that is not supplied",
    ),
    pytest.param(
        [allow("cvm:*", **TAG)],
        reboot(),
        (None, "condition: this call does not supply qcs:resource_tag"),
        id="tags that are not supplied, without an inventory",
    ),
    pytest.param(
        [deny("aiart:*", **ONLY_READS)],
        call(),
        (None, "condition: the catalog does not say for sure whether aiart:TextToImage only reads"),
        id="DEC-56 an action that may do more than read",
    ),
    pytest.param(
        [deny("aiart:*", **ONLY_READS)],
        call("aiart:QueryUser"),
        (True, "condition: qcs:read_only_action is '1'"),
        id="DEC-56 an action that only reads",
    ),
    pytest.param(
        [allow("aiart:*", **OFFICE)],
        call()._replace(source_ip=None),
        (None, "condition: this call does not supply qcs:ip"),
        id="an address that is not known",
    ),
    pytest.param(
        [allow("cvm:*", **TAG)],
        reboot(resource_tags={}),
        (False, "condition: qcs:resource_tag is absent"),
        id="a key that is supplied and absent",
    ),
    pytest.param(
        [allow("cvm:*", **TAG)],
        reboot(resource_tags={"dept": "rd", "env": "x"}),
        (True, "condition: qcs:resource_tag is 'dept&rd', 'env&x'"),
        id="tags that hold",
    ),
    pytest.param(
        [allow("aiart:*", **LATER)],
        call(time=50.5),
        (False, "condition: qcs:current_time is 1970-01-01T00:00:50Z"),
        id="a moment in time",
    ),
    pytest.param(
        [allow("aiart:*", **LATER)],
        call(time=1e300),
        (True, "condition: qcs:current_time is 1e+300 s"),
        id="a moment that no calendar holds",
    ),
]


@pytest.mark.parametrize(("statements", "query", "last"), WORDS)
def test_words(statements: list[dict[str, Any]], query: Call, last: tuple[object, str]) -> None:
    found = bundle(*statements).explain(query)
    assert last in [(truth, why) for _, truth, why in notes(found)]
    assert found.decision == bundle(*statements).decide(query)


NAMING = [
    pytest.param("deny", ["cvm:*", "aiart:texttoimage", "aiart:Text*"], "aiart:Text*", True,
                 id="the one that names it for sure"),
    pytest.param("deny", ["cvm:*", "aiart:texttoimage"], "aiart:texttoimage", None,
                 id="the one that may name it"),
    pytest.param("allow", ["cvm:*", "*:Text*"], "*:Text*", None, id="an allow that may name it"),
]  # fmt: skip


@pytest.mark.parametrize(("effect", "patterns", "text", "truth"), NAMING)
def test_of_several_actions_one_is_shown(effect: str, patterns: list[str], text: str, truth: object) -> None:
    (note,) = bundle(statement(effect, "*") | {"action": patterns}).explain(call()).statements
    assert (note.clauses[0].text, note.clauses[0].truth) == (text, truth)
    assert (note.truth, note.counts) == (truth, effect == "deny")


ART, ART_TOO = "qcs::aiart:::job/1", "qcs::aiart:::job/2"
UNREAD = "the resources of the action are unknown, because its page could not be read: nothing grants it"
WHOLE = "the service is authorized as a whole; a statement that names single actions grants nothing"
NAME_ALONE = "only the name of the action is known, without a page: only the resource '*' grants it"
OPERATION = "the action is authorized at operation level: only the resource '*' grants it"
STRAY = "names a resource, but the action has no resources; write '*' (until then the deny applies)"
ELSEWHERE = "names resources of other actions or services"
ANY = (True, "any resource")

# effect, actions, resources, the action of the call, and the note: its text, its truth, its words
RESOURCES = [
    pytest.param("allow", "*", "*", "aiart:Unread", ("*", False, UNREAD), id="an action nothing grants"),
    pytest.param("deny", "*", "*", "aiart:Unread", ("*", *ANY), id="an action nothing grants, denied"),
    pytest.param("allow", "svcx:DoThing", "*", "svcx:DoThing", ("*", False, WHOLE), id="a part of a product"),
    pytest.param("deny", "svcx:DoThing", "*", "svcx:DoThing", ("*", *ANY), id="a part of a product, denied"),
    pytest.param("allow", ["svcx:DoThing", "svcx:*"], "*", "svcx:DoThing", ("*", *ANY),
                 id="a part of a product and the whole"),
    pytest.param("allow", "svcx:*", "qcs::svcx:::a", "svcx:DoThing", ("qcs::svcx:::a", False, OPERATION),
                 id="a whole product, on a resource"),
    pytest.param("allow", "aiart:*", ART, "aiart:NameAlone", (ART, False, NAME_ALONE),
                 id="DEC-67 a resource of an action of which only the name is known"),
    pytest.param("allow", "aiart:TextToImage", "*", "aiart:TextToImage", ("*", *ANY), id="an action by name"),
    pytest.param("allow", "aiart:*", [ART, "*"], "aiart:TextToImage", ("*", *ANY), id="a star among others"),
    pytest.param("allow", "aiart:*", [ART, ART_TOO], "aiart:TextToImage",
                 (f"{ART} {ART_TOO}", False, OPERATION), id="resources of an action that has none"),
    pytest.param("deny", "aiart:*", [ART, ART_TOO], "aiart:TextToImage", (f"{ART} {ART_TOO}", None, STRAY),
                 id="resources of an action that has none, denied"),
    pytest.param("deny", "*", "qcs::cvm:::a", "aiart:TextToImage", ("qcs::cvm:::a", False, ELSEWHERE),
                 id="resources of another product, denied"),
    pytest.param("deny", "cvm:*", [f"{ON_ONE}0", f"{ON_ONE}*"], "cvm:Reboot",
                 (f"{ON_ONE}0 {ON_ONE}*", True, f"matches {ON_ONE}"), id="one of two patterns"),
]  # fmt: skip


@pytest.mark.parametrize(("effect", "actions", "resources", "query", "note"), RESOURCES)
def test_the_explanation_of_a_resource(
    effect: str, actions: object, resources: object, query: str, note: tuple[object, ...]
) -> None:
    found = bundle({"effect": effect, "action": actions, "resource": resources})
    (explained,) = found.explain(
        call(query, resources=(ON_ONE,) if query.startswith("cvm") else ("*",))
    ).statements
    assert [tuple(each) for each in explained.clauses[1:]] == [("resource", *note)]


def test_a_resource_that_is_not_reached_makes_a_statement_false() -> None:
    (note,) = bundle(allow("aiart:*", "qcs::aiart:::job/1")).explain(call()).statements
    assert (note.truth, note.counts) == (False, False)


NOT_JUDGED = [
    pytest.param(call()._replace(principal="uin/9"), Reason.PRINCIPAL_UNKNOWN,
                 CATALOG.actions["aiart:TextToImage"], id="an unknown principal"),
    pytest.param(call("aiart:Nope"), Reason.ACTION_UNKNOWN, None, id="an unknown action"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "reason", "entry"), NOT_JUDGED)
def test_what_was_not_judged_has_no_statements(query: Call, reason: Reason, entry: Action | None) -> None:
    found = bundle().explain(query)
    assert found.entry is entry
    assert (found.decision.reason, found.statements) == (reason, ())
    assert bundle().nearest_changes(query, found) == ()


def test_a_missing_policy_is_named() -> None:
    assert bundle(more=("gone",)).explain(call()).missing == ("gone",)


def test_what_the_owner_does_not_own_is_named() -> None:
    theirs = "qcs::cvm:ap-guangzhou:uin/300:instance/ins-1"
    query = call("cvm:Reboot", resources=(ON_ONE, None, theirs))._replace(principal="uin/100100")
    found = bundle(allow("*"))
    why = found.explain(query)
    assert (why.decision, why.foreign) == (found.decide(query), (theirs,))
    assert why.decision.reason is Reason.NO_ALLOW
    assert found.nearest_changes(query, why) == (), "no policy can be attached to the owner"
    assert found.explain(query._replace(action="cvm:Regions")).foreign == ()
    assert found.explain(query._replace(principal="uin/100200")).foreign == ()


CHANGES = [
    pytest.param(
        [allow("aiart:*", **OFFICE)], call(), "call from 10.9.0.0/21, 2001:db8::/32", 1, id="another address"
    ),
    pytest.param(
        [allow("*"), deny("*", **NOT_OFFICE)], call(), "call from 10.9.0.0/21", 1, id="out of a deny's reach"
    ),
    pytest.param(
        [allow("*"), deny("*", **NOT_OFFICE)],
        call(),
        "narrow or remove the deny one#1",
        1,
        id="without the deny",
    ),
    pytest.param([allow("aiart:*", **LATER)], call(), "call from 1970-01-01T00:01:40Z", 1, id="later"),
    pytest.param(
        [allow("aiart:*", **LATER, **EARLIER)],
        call(),
        "call from 1970-01-01T00:01:40Z until 1970-01-01T00:03:20Z",
        1,
        id="within a window of time",
    ),
    pytest.param(
        [allow("aiart:*", **LATER, **OFFICE)],
        call(),
        "call when date_greater_than_equal 1970-01-01T00:01:40Z and call from 10.9.0.0/21, 2001:db8::/32",
        2,
        id="another address and another time",
    ),
    pytest.param(
        [allow("aiart:*", **NOT_OFFICE)],
        call(source="10.9.0.1", time=0.0),
        "call from outside of 10.9.0.0/21",
        1,
        id="from outside",
    ),
    pytest.param(
        [allow("cvm:*", **TAG)],
        reboot(resource_tags={}),
        "have the tag dept=rd on the resource",
        1,
        id="a tag",
    ),
    pytest.param(
        [allow("cvm:*", **TAG_KEY)],
        reboot(resource_tags={}),
        "have the tag dept= on the resource",
        1,
        id="a tag of any value",
    ),
    pytest.param(
        [allow("cvm:*", **REQUEST_TAG)],
        reboot(request_tags={}),
        "have the tag env=test on the request",
        1,
        id="a tag on the request",
    ),
    pytest.param(
        [allow("aiart:*", **SECURE)],
        call(),
        "supply cos:secure-transport = true",
        1,
        id="a service's own key",
    ),
    pytest.param(
        [allow("aiart:*", **NOT_PREFIX)],
        call(),
        "supply cos:prefix = secret-other",
        1,
        id="a service's own key with another value",
    ),
    pytest.param(
        [allow("cvm:*", "qcs::cvm:::instance/web-*")],
        reboot(),
        "call it on a resource of qcs::cvm:::instance/web-*",
        1,
        id="another resource",
    ),
    pytest.param([allow("cvm:Regions")], call(), "attach the policy full", 1, id="another policy"),
]


@pytest.mark.parametrize(("statements", "query", "text", "clauses"), CHANGES)
def test_nearest_changes(statements: list[dict[str, Any]], query: Call, text: str, clauses: int) -> None:
    found = bundle(*statements)
    changes = found.nearest_changes(query, found.explain(query))
    assert (clauses, text) in [change[:2] for change in changes]
    order = [([*Cure].index(change.kind), change.clauses) for change in changes]
    assert order == sorted(order)
    assert len(changes) <= 5


NOTHING_TO_DO = [
    pytest.param([allow("*")], None, (), id="a call that passes"),
    pytest.param([allow("*")], "describe", (), id="a boundary that allows it from nowhere"),
    pytest.param([allow("*")], None, ("gone",), id="an attached policy that is missing"),
]


@pytest.mark.parametrize(("statements", "boundary", "more"), NOTHING_TO_DO)
def test_no_change_is_made_up(
    statements: list[dict[str, Any]], boundary: str | None, more: tuple[str, ...]
) -> None:
    found = bundle(*statements, boundary=boundary, more=more)
    assert found.nearest_changes(call(), found.explain(call())) == ()


def test_many_ranges_are_counted_not_listed() -> None:
    many = {"ip_equal": {"qcs:ip": [f"10.{i}.0.0/24" for i in range(0, 20, 2)]}}
    found = bundle(allow("aiart:*", **many))
    query = call(source="11.0.0.1")
    _, text = (change.text for change in found.nearest_changes(query, found.explain(query))[:2])
    assert text == "call from 10.0.0.0/24, 10.2.0.0/24, 10.4.0.0/24, 10.6.0.0/24 or 6 more"


NOWHERE = {"ip_not_equal": {"qcs:ip": ["0.0.0.0/0", "::/0"]}}
NEVER = {"date_less_than": {"qcs:current_time": "1970-01-01T00:00:00Z"}, **LATER}


@pytest.mark.parametrize(
    "condition", [NOWHERE, NEVER], ids=["an address that is nowhere", "a time that is never"]
)
def test_what_cannot_be_met_is_not_proposed(condition: dict[str, Any]) -> None:
    found = bundle(allow("aiart:*", **condition))
    texts = [change.text for change in found.nearest_changes(call(), found.explain(call()))]
    assert texts == ["attach the policy full"]


# --- the label of the host ---------------------------------------------------------------------------------

ASKED = KnownServices(rows={"disk:*": CamNames(("vm:*",), sure=True)})
LABELLED = replace(catalog(service("vm", "Attach", "Run")), known=ASKED)

# statements; the truth that the explanation gives to the clause on the action, and its words
BY_LABEL = [
    pytest.param([deny("disk:Attach")], [(None, "names disk:Attach, for which policies are asked vm:Attach")],
                 id="DEC-68 a deny that names the label"),
    pytest.param([deny("vm:Attach")], [(True, "names the action")],
                 id="DEC-68 a deny that names the CAM name"),
    pytest.param([deny("vm:attach")],
                 [(None, "names the action in another letter case, or by a star in the service")],
                 id="DEC-68 a deny that perhaps names the CAM name"),
    pytest.param([deny(["vm:attach", "disk:Attach"])],
                 [(None, "names the action in another letter case, or by a star in the service")],
                 id="DEC-68 a deny that perhaps names the CAM name, and names the label, is shown once"),
    pytest.param([deny(["vm:Attach", "disk:Attach"], "qcs::disk:::disk/1")],
                 [(None, "names disk:Attach, for which policies are asked vm:Attach")],
                 id="DEC-68 a deny that does not reach the CAM name is shown as what it says of the label"),
    pytest.param([allow("disk:Attach")], [], id="DEC-68 an allow that names the label"),
    pytest.param([deny("disk:Run")], [], id="DEC-68 a deny that names another action of the label"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "said"), BY_LABEL)
def test_what_is_said_of_a_statement_on_an_action_of_another_label(
    statements: list[dict[str, Any]], said: list[tuple[bool | None, str]]
) -> None:
    why = company.bundle([policy("one", *statements)], LABELLED, principals("one")).explain(
        call("disk:Attach")
    )
    clauses = [note for each in why.statements for note in each.clauses if note.kind == "action"]
    assert [(note.truth, note.why) for note in clauses] == said
