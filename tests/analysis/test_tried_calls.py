"""The calls that are tried for an answer: values that meet its conditions, values beside them, and none."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.analysis import access_set
from camguard.analysis.witness import find_call
from camguard.catalog.model import Granularity
from camguard.engine.call import Call
from camguard.ipset import format_address
from tests.company import USER, action, allow, bundle, catalog, policy, principals, service

CATALOG = catalog(
    service(
        "vm",
        action("vm:Boot", "qcs::vm:${region}:uin/${uin}:instance/${id}"),
        action("vm:Join", "qcs::vm:${region}:uin/${uin}:pair:${one}:${other}"),
        action("vm:Make", granularity=Granularity.RESOURCE),
        "List",
        tag_authorization=True,
    )
)
BOOT, LIST, MAKE = "vm:Boot", "vm:List", "vm:Make"  # of MAKE the catalog knows no template
ROLE = "role/dev"


def tried(
    statement: Any, name: str = LIST, resources: tuple[str, ...] = (), principal: str = USER
) -> list[Call]:
    """Return all calls that are tried for one answer that depends on conditions, in their order."""
    bound = principals("mine", roles={"dev": {"policies": ["mine"]}})
    built = bundle([policy("mine", statement)], CATALOG, bound)
    (window,) = access_set(built.evaluator, principal, name, time=0.0).windows
    answer = window.ranges[0].answer
    found: list[Call] = []
    call = find_call(
        built.evaluator,
        Call(principal, name, 0, 0.0, resources),
        [(answer, principal)],
        lambda each: bool(found.append(each)),  # type: ignore[func-returns-value]
    )
    assert call is None
    return found


LETTERS = [*"abcdefghij"]
PAIRS = [(one, other) for at, one in enumerate(LETTERS[:8]) for other in LETTERS[at + 1 : 8]]
ANY = "for_any_value:string_equal"
# conditions on one key, the values that meet them, and all values, each in the order in which they are tried
KEYS: list[Any] = [
    pytest.param(
        {"numeric_less_than": {"cos:n": 5}},
        [("4",), ("0",)],
        [None, ("5",), ("6",), ("4",), ("0",), ()],
        id="a number, and those beside it",
    ),
    pytest.param(
        {"date_less_than": {"cos:n": "2020-01-01T00:00:00Z"}},
        [("2019-12-31T23:59:59Z",)],
        [
            None,
            *((f"20{at}Z",) for at in ("20-01-01T00:00:00", "20-01-01T00:00:01", "19-12-31T23:59:59")),
            ("x",),
            (),
        ],
        id="a moment, and the seconds beside it",
    ),
    pytest.param(
        {"date_less_than": {"cos:n": "0001-01-01T00:00:00Z"}},
        [],
        [None, ("0001-01-01T00:00:00Z",), ("0001-01-01T00:00:01Z",), ("x",), ()],
        id="no second comes before the first one",
    ),
    pytest.param(
        {"date_equal": {"cos:n": "2020-01-01T00:00:00.5Z"}},
        [("2020-01-01T00:00:00.5Z",)],
        [
            None,
            *((f"20{at}Z",) for at in ("20-01-01T00:00:00.5", "20-01-01T00:00:01", "19-12-31T23:59:59")),
            ("x",),
            (),
        ],
        id="a moment within a second",
    ),
    pytest.param(
        {"numeric_equal": {"cos:n": "1e${uin}"}},
        [],
        [None, ("0",), ()],
        id="a number that the variable makes too large",
    ),
    pytest.param(
        {"bool_equal": {"cos:n": "true"}}, [("true",)], [None, ("true",), ("false",), ()], id="both truths"
    ),
    pytest.param(
        {"bool_equal": {"cos:n": "false"}},
        [("false",)],
        [None, ("false",), ("true",), ()],
        id="both truths, that of the policy first",
    ),
    pytest.param(
        {"string_equal": {"cos:n": ""}},
        [("",)],
        [None, ("x",), ("",), ()],
        id="an empty text, and another one",
    ),
    pytest.param(
        {"string_like": {"cos:n": "logs/*"}},
        [("logs/",), ("logs/x",)],
        [None, ("logs/",), ("logs/x",), ("x",), ()],
        id="a pattern with nothing and with something for its star",
    ),
    pytest.param({"string_like": {"cos:n": "*"}}, [("x",)], [None, ("x",), ()], id="any text"),
    pytest.param(
        {"string_equal": {"cos:n": ["a", "b"]}},
        [("a",), ("b",)],
        [None, ("a",), ("b",), ("x",), ()],
        id="two texts, and another one",
    ),
    pytest.param(
        {ANY: {"cos:n": ["a", "b"]}},
        [("a",), ("b",), ("a", "b"), ("a", "x"), ("b", "x")],
        [None, ("a",), ("b",), ("x",), (), ("a", "b"), ("a", "x"), ("b", "x")],
        id="pairs where a key may have several values",
    ),
    pytest.param(
        {ANY: {"cos:n": LETTERS}},
        [*((each,) for each in LETTERS), *PAIRS],
        [None, *((each,) for each in (*LETTERS, "x")), (), *PAIRS],
        id="pairs of the first eight values only",
    ),
    pytest.param(
        {ANY: {"cos:n": ["a"]}, "string_equal": {"cos:n": ["b"]}},
        [],
        [None, ("a",), ("b",), ("x",), (), ("a", "b"), ("a", "x"), ("b", "x")],
        id="pairs where one of two conditions asks for them",
    ),
    pytest.param({"null_equal": {"cos:n": "true"}}, [()], [None, ("x",), ()], id="whether there is a value"),
    pytest.param(
        {"string_equal": {"cos:n": "${uin}"}}, [("100200",)], [None, ("100200",), ("x",), ()], id="a variable"
    ),
    pytest.param(
        {"ip_equal": {"cos:n": ["10.0.0.0/8", "12.0.0.0/8"]}},
        [("10.0.0.0",), ("12.0.0.0",)],
        [None, ("10.0.0.0",), ("12.0.0.0",), (format_address(0),), ("x",), ()],
        id="the first address of each range, and the first one outside of them",
    ),
    pytest.param(
        {"string_equal": {"cos:n": "a"}, "numeric_equal": {"cos:n": "7"}},
        [],
        [None, ("a",), ("7",), ("8",), ("6",), ("0",), ()],
        id="the values of two conditions",
    ),
]


@pytest.mark.parametrize(("condition", "meeting", "every"), KEYS)
def test_values_of_a_key(condition: Any, meeting: list[Any], every: list[Any]) -> None:
    found = [each.context and each.context["cos:n"] for each in tried(allow("*", **condition))]
    assert found == [None, *meeting, *every]


R, Q = "resource_tag", "request_tag"
# a condition on tags, the tags of the resource or of the request in the order in which they are tried
TAGS: list[Any] = [
    pytest.param(
        {"string_equal": {f"qcs:{R}/env": "test"}},
        R,
        [None, {"env": "test"}, None, {"env": "test"}, {"env": "x"}, {}],
        id="a tag of the resource",
    ),
    pytest.param(
        {"string_equal": {f"qcs:{Q}/env": "test"}},
        Q,
        [None, {"env": "test"}, None, {"env": "test"}, {"env": "x"}, {}],
        id="a tag of the request",
    ),
    pytest.param(
        {"string_equal": {"qcs:tag/env": "test"}},
        R,
        [None, {"env": "test"}, None, {"env": "test"}, {"env": "x"}, {}],
        id="a tag that is named by the former name of the tags of the resource",
    ),
    pytest.param(
        {"string_equal": {"qcs:tag": "env&test"}},
        R,
        [None, *[None, {"env": "test"}, {"env": "x"}, {}] * 2],
        id="a tag of the resource by its former name",
    ),
    pytest.param(
        {ANY: {f"qcs:{R}": "dept&a&b"}},
        R,
        [None, *[None, {"dept": "a&b"}, {"dept": "x"}, {}] * 2],
        id="a value with the sign that parts it from its tag",
    ),
    pytest.param(
        {"string_like": {f"qcs:{Q}": "team&w*"}},
        Q,
        [None, *[None, {"team": "w"}, {"team": "wx"}, {"team": "x"}, {}] * 2],
        id="a pattern of a tag",
    ),
    pytest.param(
        {"string_equal": {f"qcs:{Q}": "team"}},
        Q,
        [None, *[None, {"x": "x"}, {}] * 2],
        id="a value that names no tag",
    ),
    pytest.param(
        {"string_like": {f"qcs:{Q}": "*&w"}},
        Q,
        [None, *[None, {"x": "w"}, {"x": "x"}, {}] * 2],
        id="a value of any tag",
    ),
    pytest.param(
        {"string_equal": {f"qcs:{Q}": "team&${uin}"}},
        Q,
        [None, *[None, {"team": "100200"}, {"team": "x"}, {}] * 2],
        id="a variable in the value of a tag",
    ),
    pytest.param(
        {"null_equal": {f"qcs:{Q}": "true"}},
        Q,
        [None, *[None, {"x": "x"}, {}] * 2],
        id="whether there is a tag",
    ),
    pytest.param(
        {"string_equal": {f"qcs:{Q}": "a/b&c"}},
        Q,
        [None, *[None, {"a/b": "c"}, {"a/b": "x"}, {}] * 2],
        id="a value of a tag with a slash",
    ),
    pytest.param(
        {ANY: {f"qcs:{Q}/a/b": ["c", "d"]}},
        Q,
        [None, *[{"a/b": "c"}, {"a/b": "d"}], None, *[{"a/b": each} for each in "cdx"], {}],
        id="two values of a tag with a slash, which has one of them",
    ),
    pytest.param(
        {"null_equal": {f"qcs:{Q}/a/b": "true"}},
        Q,
        [None, {}, None, {"a/b": "x"}, {}],
        id="a tag with a slash",
    ),
]


@pytest.mark.parametrize(("condition", "kind", "wanted"), TAGS)
def test_tags(condition: Any, kind: str, wanted: list[Any]) -> None:
    found = tried(allow("*", **condition), BOOT)
    assert [getattr(each, f"{kind}s") for each in found] == wanted
    assert {getattr(each, f"{R if kind == Q else Q}s") for each in found} == {None}
    assert {each.context for each in found} == {None}


def test_two_tags_of_one_key_are_combined() -> None:
    found = tried(allow("*", **{ANY: {f"qcs:{R}": ["team&web", "dept&rd"]}}), BOOT)
    teams, departments = (
        [None, *each, {}] for each in ([{"team": "web"}, {"team": "x"}], [{"dept": "rd"}, {"dept": "x"}])
    )
    every = [
        None if one is None and other is None else {**(one or {}), **(other or {})}
        for one in teams
        for other in departments
    ]
    assert [each.resource_tags for each in found] == [None, *every, *every]


USUAL, OTHER, FOREIGN = (
    f"qcs::vm:ap-guangzhou:uin/{each}/x" for each in ("100100:instance", "100100:other", "1:instance")
)
OWN = "uin/100100"
# a pattern, the resources that surely match it, and all that are made of it
RESOURCES: list[Any] = [
    pytest.param(
        "qcs::vm:gz::instance/1",
        [f"qcs::vm:gz:{OWN}:instance/1"],
        [f"qcs::vm:gz:{OWN}:instance/1"],
        id="one resource",
    ),
    pytest.param(
        "qcs::vm:::instance/*",
        [USUAL, f"qcs::vm:ap-guangzhou:{OWN}:instance/"],
        [f"qcs::vm:ap-guangzhou:{OWN}:instance/"],
        id="a star, with nothing for it too",
    ),
    pytest.param(
        "qcs::*:gz:*:disk/*",
        [f"qcs::vm:gz:{OWN}:disk/x", f"qcs::vm:gz:{OWN}:disk/"],
        [f"qcs::vm:gz:{OWN}:disk/x", f"qcs::vm:gz:{OWN}:disk/"],
        id="any service has the one of the action",
    ),
    pytest.param(
        "qcs::vm::uin/7:${uin}/*",
        ["qcs::vm:ap-guangzhou:uin/7:100200/x", "qcs::vm:ap-guangzhou:uin/7:100200/"],
        ["qcs::vm:ap-guangzhou:uin/7:100200/x", "qcs::vm:ap-guangzhou:uin/7:100200/"],
        id="a variable, and another account",
    ),
    pytest.param("qcs::v*:ap-*:uid/125:a", [], [f"qcs::v:ap-:{OWN}:a"], id="stars in service and region"),
    pytest.param("qcs::vm:gz:125:a", [], ["qcs::vm:gz:125:a"], id="an account that can be one of two"),
    pytest.param(
        "qcs::vm:gz::a:b:c",
        [f"qcs::vm:gz:{OWN}:a:b:c"],
        [f"qcs::vm:gz:{OWN}:a:b:c"],
        id="colons in the last segment",
    ),
]


@pytest.mark.parametrize(("pattern", "matching", "made"), RESOURCES)
def test_resources(pattern: str, matching: list[str], made: list[str]) -> None:
    found = [each for call in tried(allow("*", pattern), BOOT) for each in call.resources]
    assert found == [USUAL, *matching, USUAL, *made, OTHER, FOREIGN]


def test_a_pattern_with_a_variable_that_has_no_value() -> None:
    statement = allow("*", ["qcs::vm::uin/7:${uin}/*", "qcs::vm:gz::disk/1"])
    found = [each.resources for each in tried(statement, BOOT, principal=ROLE)]
    disk = f"qcs::vm:gz:{OWN}:disk/1"
    assert found == [(each,) for each in (USUAL, disk, USUAL, disk, OTHER, FOREIGN)]


def test_values_with_a_variable_that_has_no_value() -> None:
    found = tried(allow("*", string_equal={"cos:n": ["${uin}", "a"]}), principal=ROLE)
    values = [each.context and each.context["cos:n"] for each in found]
    assert values == [None, ("a",), None, ("a",), ("x",), ()]


def test_resources_of_a_template_with_colons() -> None:
    found = [each.resources for each in tried(allow("none:None"), "vm:Join", principal=OWN)]
    own, foreign = (f"qcs::vm:ap-guangzhou:uin/{each}:pair:x:x" for each in ("100100", "1"))
    assert [*dict.fromkeys(found)] == [(own,), (OTHER,), (foreign,)]


# the account, what it has, and the resources that are tried where the catalog has no template of them
NO_TEMPLATE: list[Any] = [
    pytest.param(USER, allow("*", "qcs::*:gz::disk/1"), [f"qcs::x:gz:{OWN}:disk/1"], id="a pattern"),
    pytest.param(OWN, allow("none:None"), [], id="root"),
]


@pytest.mark.parametrize(("principal", "statement", "wanted"), NO_TEMPLATE)
def test_resources_without_a_template(principal: str, statement: Any, wanted: list[str]) -> None:
    found = [each for call in tried(statement, MAKE, principal=principal) for each in call.resources]
    beside = [f"qcs::x:ap-guangzhou:{OWN}:other/x", "qcs::x:ap-guangzhou:uin/1:x"]
    assert [*dict.fromkeys(found)] == ["*", *wanted, *beside]


def test_resources_of_root() -> None:
    """CAM 10.3: a resource of the account is tried first, then one of another account."""
    found = [each.resources for each in tried(allow("none:None"), BOOT, principal="uin/100100")]
    assert found == [(USUAL,), (USUAL,), (OTHER,), (USUAL,), (OTHER,), (FOREIGN,)]


def test_a_given_resource_is_kept() -> None:
    given = ("qcs::vm:gz::instance/2", "qcs::vm:gz::instance/3")
    statement = allow("*", "qcs::vm:gz::instance/1", bool_equal={"qcs:mfa": "true"})
    found = tried(statement, BOOT, given)
    assert {each.resources for each in found} == {given[:1]}
    assert [each.context for each in found[:2]] == [None, {"qcs:mfa": ("true",)}]


def test_the_plainest_call_is_returned_where_it_is_wanted() -> None:
    built = bundle([policy("mine", allow("*"))], CATALOG)
    call = Call(USER, LIST, 7, 1.0, ())
    assert find_call(built.evaluator, call, [], lambda _: True) == call._replace(resources=("*",))
