"""Which resources a call names: templates of the catalog, filled from the parameters (CAM 5.5, CAM 14.1)."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.catalog.model import Granularity
from camguard.enforcement.resource_binding import (
    MOST,
    ResourceTemplates,
    bind_resources,
    cut_templates,
    join_templates,
)
from camguard.policy.resources import Owner
from camguard.request.params import ambiguous_names, beside, nest, nested_parameters
from camguard.request.rejection import Rejection, rejection
from camguard.strict_json import Number
from tests.stage import action

OWNER = Owner(uin="100000000001", app_id="1250000000")
HEAD = "qcs::cvm:ap-guangzhou:uin/100000000001:"
ONE = "qcs::cvm:$region:$account:instance/$InstanceId"
UNBOUND = (None,)
AMBIGUOUS = rejection("param_ambiguous")


def templates_of(*texts: str, **facts: Any) -> ResourceTemplates:
    entry = action("cvm", "Stop", granularity=Granularity.RESOURCE, resources=texts, **facts)
    return cut_templates(entry, OWNER)


def bound(*texts: str, region: str = "ap-guangzhou", parameters: Any, **facts: Any) -> tuple[str | None, ...]:
    """Return the resources of a call to an action that has these templates."""
    return bind_resources(templates_of(*texts, **facts), parameters, region)


def judged(*texts: str, parameters: Any, **facts: Any) -> tuple[str | None, ...] | Rejection:
    """Return the resources of a call whose names are looked at before, or why it is rejected."""
    lookalikes = templates_of(*texts, **facts).lookalikes
    for source in parameters if isinstance(parameters, tuple) else (parameters,):
        refusal = ambiguous_names(list(source), lookalikes)
        if refusal is not None:
            return refusal
    return bound(*texts, parameters=parameters, **facts)


# template, what stands behind the head of the resource for {"InstanceId": "i-1", "Zone": "z-1"}
SPELLINGS = [
    pytest.param("instance/${InstanceId}", "instance/i-1", id="dollar and braces"),
    pytest.param("instance/{$InstanceId}", "instance/i-1", id="braces and dollar"),
    pytest.param("instance/{InstanceId}", "instance/i-1", id="braces"),
    pytest.param("instance/$InstanceId", "instance/i-1", id="dollar"),
    pytest.param("instance/${ InstanceId }", "instance/i-1", id="blanks in braces"),
    pytest.param("$InstanceId", "i-1", id="a placeholder alone"),
    pytest.param("instance/$InstanceId/disk", "instance/i-1/disk", id="text behind it"),
    pytest.param("$InstanceId/disk", "i-1/disk", id="no text before it"),
    pytest.param("zone/$Zone/instance/$InstanceId", "zone/z-1/instance/i-1", id="two placeholders"),
    pytest.param("$Zone-$InstanceId", "z-1-i-1", id="two placeholders with a hyphen between them"),
    pytest.param("${Zone}${InstanceId}", "z-1i-1", id="two placeholders with nothing between them"),
    pytest.param("a/$Zone/b:$InstanceId", "a/z-1/b:i-1", id="a colon in the resource"),
    pytest.param("instance/*", "instance/*", id="no placeholder"),
    pytest.param("instance/InstanceId", "instance/InstanceId", id="a bare word that is not bound"),
]


@pytest.mark.parametrize(("path", "resource"), SPELLINGS)
def test_every_spelling_of_a_placeholder_is_filled(path: str, resource: str) -> None:
    parameters = {"InstanceId": "i-1", "Zone": "z-1"}
    assert bound(f"qcs::cvm:$region:$account:{path}", parameters=parameters) == (HEAD + resource,)


# template, the whole resource
HEADS = [
    pytest.param("qcs::cvm:$region:$account:a/b", f"{HEAD}a/b", id="region and account of the call"),
    pytest.param("qcs::${service}:$region:$account:a/b", f"{HEAD}a/b", id="the service as a placeholder"),
    pytest.param("qcs::cbs:$region:$account:a/b", f"{HEAD}a/b".replace("cvm", "cbs"), id="another service"),
    pytest.param("qcs::cvm::$account:a/b", f"{HEAD}a/b".replace("ap-guangzhou", ""), id="no region"),
    pytest.param(
        "qcs::cvm:ap-a:$account:a/b", f"{HEAD}a/b".replace("guangzhou", "a"), id="a region of its own"
    ),
    pytest.param("qcs::cvm:$region:uin/${uin}:a/b", f"{HEAD}a/b", id="the account as uin"),
    pytest.param("qcs::cvm:$region::a/b", f"{HEAD}a/b", id="no account"),
    pytest.param(
        "qcs::cvm:$region:uid/${uid}:a/b",
        "qcs::cvm:ap-guangzhou:uid/1250000000:a/b",
        id="CAM 5.2 the account as APPID",
    ),
    pytest.param("qcs::cvm:$region:uin/7:a/b", "qcs::cvm:ap-guangzhou:uin/7:a/b", id="an account of its own"),
    pytest.param("qcs::cvm:$region:uid/7:a/b", "qcs::cvm:ap-guangzhou:uid/7:a/b", id="an APPID of its own"),
    pytest.param("*", "*", id="the template that names every resource"),
]


@pytest.mark.parametrize(("template", "resource"), HEADS)
def test_segments_before_the_last_come_from_the_call(template: str, resource: str) -> None:
    assert bound(template, parameters={}) == (resource,)
    assert bound(template, parameters=None) == (resource,)
    assert templates_of(template).lookalikes is None


def test_a_call_without_a_region_has_an_empty_region_segment() -> None:
    assert bound(ONE, region="", parameters={"InstanceId": "i-1"}) == (
        "qcs::cvm::uin/100000000001:instance/i-1",
    )


def test_a_template_with_a_placeholder_needs_the_parameters() -> None:
    assert templates_of(ONE).lookalikes is not None
    assert templates_of("qcs::cvm:::a/b", ONE).lookalikes is not None


# bind, parameters, resource
BINDS = [
    pytest.param({"id": "InstanceId"}, {"InstanceId": "i-1"}, "instance/i-1", id="another name"),
    pytest.param({"id": "Id"}, {"id": "i-1"}, "instance/i-1", id="another letter case"),
    pytest.param({}, {"id": "i-1"}, "instance/i-1", id="nothing bound: the name of the placeholder"),
    pytest.param({"id": "Place.Id"}, {"Place": {"Id": "i-1"}}, "instance/i-1", id="a path"),
    pytest.param(
        {"id": "A.B.C"}, {"A": {"B": {"C": "i-1"}, "D": "x"}, "C": "x"}, "instance/i-1", id="a path of three"
    ),
    pytest.param(
        {"id": "InstanceId"}, {"id": "i-1"}, None, id="the name of the placeholder is no parameter then"
    ),
    pytest.param({"id": "Place.Id"}, {"Place": "i-1"}, None, id="a path that ends too early"),
    pytest.param({"id": "Place.Id"}, {"Place": {"Id": {"X": "i-1"}}}, None, id="a path that ends too late"),
    pytest.param({"id": "Place.Id"}, {"Id": "i-1"}, None, id="the last name of a path alone"),
]


@pytest.mark.parametrize(("bind", "parameters", "resource"), BINDS)
def test_bind_says_which_parameter_fills_a_placeholder(
    bind: dict[str, str], parameters: Any, resource: str | None
) -> None:
    found = bound("qcs::cvm:$region:$account:instance/${id}", bind=bind, parameters=parameters)
    assert found == (resource and HEAD + resource,)


def test_bind_makes_a_bare_word_a_placeholder() -> None:
    template = "qcs::cvm:$region:$account:instance/instanceId/x"
    found = bound(template, bind={"instanceId": "Id"}, parameters={"Id": "i-1"})
    assert found == (f"{HEAD}instance/i-1/x",)


# name in the template, name in the call
NUMBERS = [
    pytest.param("InstanceId", "InstanceId", id="the same name"),
    pytest.param("InstanceId", "InstanceIds", id="a plural for a singular"),
    pytest.param("InstanceIds", "InstanceId", id="a singular for a plural"),
    pytest.param("InstanceIds", "InstanceIds", id="a plural"),
    pytest.param("instanceId", "INSTANCEID", id="capitals"),
    pytest.param("InstanceId", "in\u017ftanceId\u017f", id="a long s, to Go an s"),
    pytest.param("Policy", "Policies", id="a plural in -ies for a singular in -y"),
    pytest.param("Policies", "Policy", id="a singular in -y for a plural in -ies"),
    pytest.param("Policies", "policies", id="a plural in -ies"),
    pytest.param("Key", "Keys", id="a plural in -ys"),
    pytest.param("Keys", "Key", id="a singular in -y"),
    pytest.param("Address", "Addresses", id="a plural in -es"),
    pytest.param("Addresses", "Address", id="a singular without -es"),
    pytest.param("Device", "Devices", id="a plural in -es that only has an s more"),
    pytest.param("Devices", "Device", id="a singular that ends in e"),
]


@pytest.mark.parametrize(("template", "name"), NUMBERS)
def test_singular_and_plural_are_one_parameter(template: str, name: str) -> None:
    found = bound(f"qcs::cvm:$region:$account:x/${template}", parameters={name: "a"})
    assert found == (f"{HEAD}x/a",)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("InstanceId", "InstanceIdss"),
        ("InstanceId", "Instance"),
        ("InstanceId", "Instancy"),
        ("InstanceId", "InstanceIies"),
        ("Policies", "Policie_"),
        ("Policy", "Polic"),
        ("Address", "Addres_"),
    ],
)
def test_other_names_fill_nothing(template: str, name: str) -> None:
    assert bound(f"qcs::cvm:$region:$account:x/${template}", parameters={name: "a"}) == UNBOUND


# value of InstanceId, what each resource ends with; None where nothing is bound
VALUES = [
    pytest.param("i-1", ["i-1"], id="text"),
    pytest.param(["i-1"], ["i-1"], id="a list of one"),
    pytest.param(["i-1", "i-2"], ["i-1", "i-2"], id="a list of two, in its order"),
    pytest.param(["i-1", "i-2", "i-1"], ["i-1", "i-2"], id="a repeated text once"),
    pytest.param("a/b", ["a/b"], id="a slash in the last placeholder"),
    pytest.param("*", ["*"], id="a star is a text"),
    pytest.param(Number("7"), ["7"], id="a whole number"),
    pytest.param(Number("0"), ["0"], id="zero"),
    pytest.param(Number("-12"), ["-12"], id="a negative number"),
    pytest.param(Number("10"), ["10"], id="a number that ends in zero"),
    pytest.param([Number("7"), "i-1"], ["7", "i-1"], id="a number beside a text"),
    pytest.param("7.0", ["7.0"], id="a text that looks like a number"),
    pytest.param("x" * 2048, ["x" * 2048], id="the longest text"),
    pytest.param("x" * 2049, None, id="a text that is too long"),
    pytest.param(["i-1", "x" * 2049], None, id="a text that is too long beside another"),
    pytest.param(Number("7.0"), None, id="a number that is 7 to some readers"),
    pytest.param(Number("7e0"), None, id="a number with an exponent"),
    pytest.param(Number("-0"), None, id="minus nothing"),
    pytest.param([Number("7"), Number("7.5")], None, id="a fraction beside a whole number"),
    pytest.param("", None, id="an empty text"),
    pytest.param(["i-1", ""], None, id="an empty text beside another"),
    pytest.param([], None, id="an empty list"),
    pytest.param(None, None, id="null"),
    pytest.param(True, None, id="true"),
    pytest.param(["i-1", None], None, id="null beside a text"),
    pytest.param([["i-1"]], None, id="a list in a list"),
    pytest.param(["i-1", ["i-2"]], None, id="a list beside a text"),
    pytest.param({"X": "i-1"}, None, id="an object"),
]


@pytest.mark.parametrize(("value", "ends"), VALUES)
def test_values_of_a_parameter(value: Any, ends: list[str] | None) -> None:
    found = bound(ONE, parameters={"InstanceId": value})
    assert found == (UNBOUND if ends is None else tuple(f"{HEAD}instance/{end}" for end in ends))


# bind of the placeholder, parameters, what each resource ends with
LISTS = [
    pytest.param("A.B", {"A": [{"B": "1"}, {"B": "2"}]}, ["1", "2"], id="a list of objects"),
    pytest.param("A.B", {"A": [{"B": ["1", "2"]}, {"B": "3"}]}, ["1", "2", "3"], id="lists in a list"),
    pytest.param("A.B", {"A": [[{"B": "1"}], {"B": "2"}]}, ["1", "2"], id="a list of objects in a list"),
    pytest.param("A.B", {"A": [{"B": "1"}, {"C": "2"}]}, ["1"], id="an object without the member"),
    pytest.param("A.B", {"A": [{"B": "1"}, "2"]}, ["1"], id="a text in place of an object"),
    pytest.param("A.B", {"A": {"B": "1", "b": "2"}}, ["1", "2"], id="a member in two letter cases"),
    pytest.param("A.B", {"As": [{"Bs": ["1"]}], "A": {"B": "2"}}, ["1", "2"], id="plural and singular"),
]


@pytest.mark.parametrize(("path", "parameters", "ends"), LISTS)
def test_every_element_of_a_list_is_taken(path: str, parameters: Any, ends: list[str]) -> None:
    found = bound("qcs::cvm:$region:$account:instance/$x", bind={"x": path}, parameters=parameters)
    assert found == tuple(f"{HEAD}instance/{end}" for end in ends)


# parameters, what each resource ends with or the rejection
DECOYS = [
    pytest.param({"InstanceId": "1", "InstanceIds": ["2"]}, ["1", "2"], id="singular and plural add up"),
    pytest.param({"InstanceId": "1", "instanceid": "2"}, ["1", "2"], id="another letter case adds up"),
    pytest.param({"InstanceId": "1", "InstanceIdes": "2"}, ["1", "2"], id="a plural in -es adds up"),
    pytest.param(({"InstanceId": "1"}, {"InstanceId": "2"}), ["1", "2"], id="query and body add up"),
    pytest.param(({"InstanceId": "1"}, {"Other": "2"}), ["1"], id="the query has other parameters"),
    pytest.param(({"InstanceId": "1"}, {"InstanceId": "1"}), ["1"], id="the same in query and body"),
    pytest.param({"InstanceId": "1", "InstanceId_0": "2"}, AMBIGUOUS, id="an index as PHP folds it"),
    pytest.param({"InstanceId": "1", "InstanceId.0": "2"}, AMBIGUOUS, id="an index with a dot"),
    pytest.param({"InstanceId": "1", "InstanceId_x_y": "2"}, AMBIGUOUS, id="members as PHP folds them"),
    pytest.param({"InstanceId": "1", "?InstanceId": "2"}, AMBIGUOUS, id="a question mark before it"),
    pytest.param({"InstanceId": "1", "?InstanceIds": "2"}, AMBIGUOUS, id="a question mark before the plural"),
    pytest.param({"InstanceId": "1", "Instance\u200bId": "2"}, AMBIGUOUS, id="a blank without width"),
    pytest.param({"InstanceId": "1", "x&InstanceId": "2"}, AMBIGUOUS, id="a name that is two"),
    pytest.param(({"InstanceId": "1"}, {"[InstanceId]": "2"}), AMBIGUOUS, id="brackets in one of two places"),
    pytest.param(
        {"InstanceId": "1", "\u4e2d" * 65: "2"},
        rejection("action_alias"),
        id="a name too long to be looked at",
    ),
    pytest.param(
        {"InstanceId": "1", "x" * 140_000: "2"},
        rejection("too_many_params"),
        id="names too long together",
    ),
    pytest.param({"InstanceId": "1", "InstanceIdX": "2"}, ["1"], id="another name"),
]


@pytest.mark.parametrize(("parameters", "ends"), DECOYS)
def test_a_decoy_adds_a_resource_or_rejects_the_call(parameters: Any, ends: list[str] | Rejection) -> None:
    found = judged(ONE, parameters=parameters)
    if isinstance(ends, Rejection):
        assert found is ends
    else:
        assert found == tuple(f"{HEAD}instance/{end}" for end in ends)


def test_names_with_an_underscore_are_found_with_a_dot_and_with_it() -> None:
    template = "qcs::cvm:$region:$account:x/$My_Name"
    assert judged(template, parameters={"My_Name": "a"}) == (f"{HEAD}x/a",)
    for name in ("My.Name", "?My_Name", "?my.names", "My.Name_1"):
        assert judged(template, parameters={"My_Name": "a", name: "b"}) is AMBIGUOUS


def test_only_the_first_name_of_a_path_is_looked_for_beside() -> None:
    facts: dict[str, Any] = {"bind": {"x": "Place.Id"}}
    template = "qcs::cvm:$region:$account:instance/$x"
    parameters = {"Place": {"Id": "1"}}
    assert judged(template, **facts, parameters={**parameters, "?Id": "2"}) == (f"{HEAD}instance/1",)
    assert judged(template, **facts, parameters={**parameters, "?Place": "2"}) is AMBIGUOUS


def test_parameters_that_cannot_be_read_bind_nothing() -> None:
    assert bound(ONE, "*", parameters=None) == (None, "*")


# templates, match, parameters, resources
SEVERAL = [
    pytest.param(["a/$A", "b/$B"], "all", {"A": "1", "B": "2"}, ["a/1", "b/2"], id="all templates in order"),
    pytest.param(["a/$A", "b/$B"], "all", {"A": "1"}, ["a/1", None], id="all templates, one is not bound"),
    pytest.param(["a/$A", "b/$B"], "all", {}, [None], id="all templates, none is bound"),
    pytest.param(["a/$A", "a/$A"], "all", {"A": "1"}, ["a/1"], id="the same template twice"),
    pytest.param(["a/$A", "b/*"], "all", {"A": "1"}, ["a/1", "b/*"], id="one without a placeholder"),
    pytest.param(
        ["a/$A", "b/$B"],
        "all",
        {"A": ["1", "2"], "B": "3"},
        ["a/1", "a/2", "b/3"],
        id="all, one has two values",
    ),
    pytest.param(["a/$A", "b/$B"], "any", {"A": "1", "B": "2"}, ["a/1", "b/2"], id="any template"),
    pytest.param(["a/$A", "b/$B"], "any", {"A": "1"}, ["a/1", None], id="any template, one is not bound"),
    pytest.param(
        ["a/$A", "b/$B"], "any", {"A": ["1", "2"], "B": "3"}, [None, "b/3"], id="any, one has two values"
    ),
    pytest.param(
        ["a/$A/$B"], "any", {"A": "1", "B": "2"}, ["a/1/2"], id="any, one value for each placeholder"
    ),
    pytest.param(
        ["$A/$B"],
        "all",
        {"A": ["1", "2"], "B": ["3", "4"]},
        ["1/3", "1/4", "2/3", "2/4"],
        id="every combination of values",
    ),
    pytest.param(["$A/$B"], "all", {"A": "1"}, [None], id="one of two placeholders is not bound"),
    pytest.param(["$A/$B"], "all", {"A": "1/2", "B": "3"}, [None], id="a slash before the last placeholder"),
    pytest.param(["$A/$B"], "all", {"A": ["1", "2/3"], "B": "4"}, [None], id="a slash in one of two values"),
    pytest.param(["$A/$B"], "all", {"A": "1", "B": "2/3"}, ["1/2/3"], id="a slash in the last placeholder"),
    pytest.param(["$A/$B/$C"], "all", {"A": "1", "B": "2/3", "C": "4"}, [None], id="a slash in the middle"),
]


@pytest.mark.parametrize(("paths", "match", "parameters", "resources"), SEVERAL)
def test_several_templates_and_several_values(
    paths: list[str], match: str, parameters: Any, resources: list[str | None]
) -> None:
    texts = [f"qcs::cvm:$region:$account:{path}" for path in paths]
    found = bound(*texts, match=match, parameters=parameters)
    assert found == tuple(end and HEAD + end for end in resources)


def numbered(count: int) -> list[str]:
    return [f"{at}" for at in range(count)]


def test_a_call_names_a_thousand_resources_at_most() -> None:
    assert MOST == 1000
    assert len(bound(ONE, parameters={"InstanceId": numbered(1000)})) == 1000
    assert bound(ONE, parameters={"InstanceId": numbered(1001)}) == UNBOUND
    pair = "qcs::cvm:$region:$account:$A/$B"
    assert len(bound(pair, parameters={"A": numbered(10), "B": numbered(100)})) == 1000
    assert bound(pair, parameters={"A": numbered(11), "B": numbered(91)}) == UNBOUND
    two = ("qcs::cvm:$region:$account:a/$A", "qcs::cvm:$region:$account:b/$B")
    assert len(bound(*two, parameters={"A": numbered(500), "B": numbered(500)})) == 1000
    assert bound(*two, parameters={"A": numbered(500), "B": numbered(501)}) == UNBOUND


def test_combinations_are_counted_before_they_are_made() -> None:
    """They would take gibibytes."""
    triple = "qcs::cvm:$region:$account:$A/$B/$C"
    parameters = {"A": numbered(999), "B": numbered(999), "C": numbered(999)}
    assert bound(triple, parameters=parameters) == UNBOUND


def test_values_are_counted_before_repeated_ones_are_dropped() -> None:
    assert bound(ONE, parameters={"InstanceId": ["i"] * 1000}) == (f"{HEAD}instance/i",)
    assert bound(ONE, parameters={"InstanceId": ["i"] * 1001}) == UNBOUND


DEEP = ".".join(["a"] * 17)

# flat parameters, what they are as JSON would hold them; None where they cannot be meant together
FLAT = [
    pytest.param([], {}, id="none"),
    pytest.param([("A", "1")], {"A": "1"}, id="a name"),
    pytest.param([("A", "1"), ("B", "2")], {"A": "1", "B": "2"}, id="two names"),
    pytest.param([("A.0", "1"), ("A.1", "2")], {"A": ["1", "2"]}, id="a list"),
    pytest.param([("A.B", "1"), ("A.C", "2")], {"A": {"B": "1", "C": "2"}}, id="an object"),
    pytest.param([("A.0", "1"), ("A.B", "2")], {"A": {"0": "1", "B": "2"}}, id="numbers and names"),
    pytest.param(
        [("A.0.B.0", "1"), ("A.0.B.1", "2"), ("A.1.B.0", "3")],
        {"A": [{"B": ["1", "2"]}, {"B": ["3"]}]},
        id="a list in objects of a list",
    ),
    pytest.param([("A.0.1", "x")], {"A": [["x"]]}, id="a list in a list"),
    pytest.param([("0", "1")], {"0": "1"}, id="a number as the whole name"),
    pytest.param([("", "1")], {"": "1"}, id="an empty name"),
    pytest.param([("A]", "1")], {"A]": "1"}, id="a closing bracket"),
    pytest.param([("A", "1"), ("A.0", "2")], None, id="a value beside a list"),
    pytest.param([("A.0", "1"), ("A", "2")], None, id="a list beside a value"),
    pytest.param([("A", "1"), ("A.B.C", "2")], None, id="a value beside an object of objects"),
    pytest.param([("A.B", "1"), ("A.B.C", "2")], None, id="a value beside an object, deeper"),
    pytest.param([("A", "1"), ("A", "2")], None, id="a name twice"),
    pytest.param([("A.0", "1"), ("A.0", "1")], None, id="an element twice"),
    pytest.param([("A[0]", "1")], None, id="brackets"),
    pytest.param([("A[", "1")], None, id="an opening bracket"),
    pytest.param([(".A", "1")], None, id="no name before the dot"),
    pytest.param([("A.", "1")], None, id="no name behind the dot"),
    pytest.param([("A..B", "1")], None, id="no name between two dots"),
    pytest.param([(".", "1")], None, id="a dot alone"),
    pytest.param([(f"{DEEP}.a", "1")], None, id="more than sixteen levels below the name"),
]


@pytest.mark.parametrize(("pairs", "nested"), FLAT)
def test_flat_parameters_are_nested_as_json_would_hold_them(
    pairs: list[tuple[str, Any]], nested: dict[str, Any] | None
) -> None:
    """CAM 14.1."""
    assert nest(pairs) == nested


def test_sixteen_levels_below_a_name_are_nested() -> None:
    found: Any = nest([(DEEP, "1")])
    for _ in range(17):
        found = found["a"]
    assert found == "1"


# parameters of the body, of the query, of both
TOGETHER = [
    pytest.param({"A": "1"}, [], ({}, {"A": "1"}), id="no query"),
    pytest.param({"A": "1"}, [("B.0", "2")], ({"B": ["2"]}, {"A": "1"}), id="a query"),
    pytest.param({}, [("B", "2")], ({"B": "2"}, {}), id="an empty body"),
    pytest.param({"A": "1"}, [("B", "2"), ("B", "3")], None, id="a query of two readings"),
    pytest.param(None, [("B", "2")], None, id="a body that cannot be read"),
    pytest.param(None, [], None, id="a body that cannot be read, and no query"),
    pytest.param(AMBIGUOUS, [("B", "2")], AMBIGUOUS, id="a body that is rejected"),
]


@pytest.mark.parametrize(("body", "query", "found"), TOGETHER)
def test_what_a_query_says_stands_beside_the_body(
    body: Any, query: list[tuple[str, str]], found: Any
) -> None:
    assert beside(nested_parameters(query, None), body) == found


EITHER = templates_of("qcs::cvm:::a/$AId", "qcs::cvm:::b/$BId", match="any")
# templates of each name of an action, whether all names have resources, the templates together, and whether
# one resource may be enough
JOINED = [
    pytest.param([EITHER], True, EITHER.templates, True, id="one name"),
    pytest.param([EITHER], False, EITHER.templates, False, id="one name with resources among others without"),
    pytest.param([EITHER, EITHER], True, EITHER.templates, True, id="two names with the same resources"),
    pytest.param([EITHER, templates_of(ONE)], True, (*EITHER.templates, *templates_of(ONE).templates), False,
                 id="two names, one of which needs every resource"),
    pytest.param([templates_of(ONE)], True, templates_of(ONE).templates, False, id="every resource"),
]  # fmt: skip


@pytest.mark.parametrize(("cut", "whole", "templates", "match_any"), JOINED)
def test_dec_68_the_templates_of_several_names(
    cut: list[ResourceTemplates], whole: bool, templates: Any, match_any: bool
) -> None:
    found = join_templates(cut, whole=whole)
    assert (found.templates, found.match_any) == (templates, match_any)
    assert found.lookalikes is not None
    first = {path[0].lower() for template in templates for path in template.paths}
    assert {"aid", "bid", "instanceid"} & found.lookalikes.names == first


def test_one_name_of_an_action_keeps_its_templates() -> None:
    assert join_templates([EITHER], whole=True) is EITHER


def test_several_values_of_one_of_two_parameters_belong_to_no_known_alternative() -> None:
    parameters = {"ZoneId": "z-1", "DiskId": ["d-1", "d-2"]}
    assert bound("qcs::cvm:::zone/$ZoneId/disk/$DiskId", match="any", parameters=parameters) == UNBOUND
