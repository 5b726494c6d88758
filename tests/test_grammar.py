"""The shapes of names, and that what loads can be called: over HTTP, under the very name that loaded."""

from __future__ import annotations

import doctest
import json
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import camguard.grammar as grammar_module
from camguard.authn.authenticator import authenticator
from camguard.catalog import Catalog, parse_catalog
from camguard.catalog.model import bindable, segments
from camguard.enforcement.resource_binding import cut_templates
from camguard.engine.action_index import ActionIndex
from camguard.engine.call import Call
from camguard.engine.principals import Principals, read_principals
from camguard.errors import CatalogError
from camguard.grammar import (
    ACTION_NAME,
    APP_ID,
    HOST_LABEL,
    PARAMETER,
    PRINCIPAL,
    REGION,
    ROLE,
    SECRET_ID,
    SERVICE,
    TAG_PATH,
    UIN,
    VERSION,
    of_bytes,
    placeholders,
    service_hosts,
    words,
)
from camguard.lint.catalog_view import CatalogView
from camguard.policy.model import Effect
from camguard.policy.resources import Owner, read_resource
from camguard.settings import IdentitySettings
from tests.company import allow, bundle, policy
from tests.stage import NOW, QUIET, SETTINGS, FixedPolicies, Play, sdk

OWNER = {"uin": "100000000001", "app_id": "1250000001"}

# A shape, a text, whether the text has the shape.
SHAPES = [
    pytest.param(ACTION_NAME, "QueryArea", True, id="an action name"),
    pytest.param(ACTION_NAME, "a" * 64, True, id="an action name of 64 letters"),
    pytest.param(ACTION_NAME, "a" * 65, False, id="an action name of 65 letters"),
    pytest.param(ACTION_NAME, "Query_Area", False, id="an action name with an underscore"),
    pytest.param(ACTION_NAME, "9Lives", False, id="an action name that begins with a digit"),
    pytest.param(ACTION_NAME, "Query\u0130", False, id="an action name with a letter beyond ASCII"),
    pytest.param(ACTION_NAME, "QueryArea\n", False, id="T31 an action name with a line end"),
    pytest.param(SERVICE, "ckafka2", True, id="a service"),
    pytest.param(SERVICE, "a" * 63, True, id="a service of 63 letters, as long as a host label"),
    pytest.param(SERVICE, "a" * 64, False, id="a service longer than a host label"),
    pytest.param(SERVICE, "CVM", False, id="a service in capitals"),
    pytest.param(SERVICE, "my-cvm", False, id="a service with a hyphen"),
    pytest.param(APP_ID, "", False, id="an APPID without digits"),
    pytest.param(UIN, "1234", False, id="a uin of 4 digits"),
    pytest.param(UIN, "12345", True, id="a uin of 5 digits"),
    pytest.param(UIN, "1" * 20, True, id="a uin of 20 digits"),
    pytest.param(UIN, "1" * 21, False, id="a uin of 21 digits"),
    pytest.param(UIN, "\u0661\u0662\u0663\u0664\u0665", False, id="a uin in digits beyond ASCII"),
    pytest.param(ROLE, "billing-bot@ops", True, id="a role"),
    pytest.param(ROLE, "a/b", False, id="a role with a slash"),
    pytest.param(ROLE, "a" * 129, False, id="a role of 129 letters"),
    pytest.param(PRINCIPAL, "uin/12345", True, id="a user"),
    pytest.param(PRINCIPAL, "uin/bot", False, id="a user by name"),
    pytest.param(PRINCIPAL, "role/12345", True, id="a role named by digits"),
    pytest.param(PRINCIPAL, "group/12345", False, id="a group"),
    pytest.param(SECRET_ID, "AKID-x_y", True, id="a secret id of a temporary credential"),
    pytest.param(SECRET_ID, "a" * 1025, False, id="a secret id that is too long"),
    pytest.param(REGION, "ap-guangzhou", True, id="a region"),
    pytest.param(REGION, "gz", False, id="a region code of policies"),
    pytest.param(VERSION, "2022-12-29", True, id="a version"),
    pytest.param(VERSION, "2022-1-2", False, id="a version with short numbers"),
    pytest.param(PARAMETER, "Namespace.Name", True, id="a parameter inside an object"),
    pytest.param(PARAMETER, "Filters.0.Name", False, id="a parameter by its place in a list"),
    pytest.param(PARAMETER, "Namespace.", False, id="a parameter that ends with a dot"),
    pytest.param(PARAMETER, "", False, id="no parameter"),
]


@pytest.mark.parametrize(("shape", "text", "fits"), SHAPES)
def test_a_shape_is_matched_whole(shape: re.Pattern[str], text: str, fits: bool) -> None:
    assert bool(shape.fullmatch(text)) is fits
    assert bool(of_bytes(shape).fullmatch(text.encode())) is fits


LETTERS, LOWER, DIGITS = string.ascii_letters, string.ascii_lowercase, string.digits
# A shape, a text with a gap, and the characters that may fill the gap.
CHARACTERS = [
    pytest.param(ACTION_NAME, "{}a", LETTERS, id="the first character of an action name"),
    pytest.param(ACTION_NAME, "a{}", LETTERS + DIGITS, id="a later character of an action name"),
    pytest.param(SERVICE, "{}", LOWER + DIGITS, id="a character of a service"),
    pytest.param(REGION, "{}p-x", LOWER, id="the first letter of a region"),
    pytest.param(REGION, "a{}-x", LOWER, id="the second letter of a region"),
    pytest.param(REGION, "ap{}x", "-", id="the hyphen of a region"),
    pytest.param(REGION, "ap-{}", LOWER + DIGITS + "-", id="a later character of a region"),
    pytest.param(VERSION, "{}022-12-29", DIGITS, id="a digit of a version's year"),
    pytest.param(VERSION, "2022{}12-29", "-", id="the first hyphen of a version"),
    pytest.param(VERSION, "2022-{}2-29", DIGITS, id="a digit of a version's month"),
    pytest.param(VERSION, "2022-12{}29", "-", id="the second hyphen of a version"),
    pytest.param(VERSION, "2022-12-2{}", DIGITS, id="a digit of a version's day"),
    pytest.param(UIN, "1234{}", DIGITS, id="a digit of a uin"),
    pytest.param(APP_ID, "{}", DIGITS, id="a digit of an APPID"),
    pytest.param(HOST_LABEL, "{}b", LOWER + DIGITS, id="the first character of a host label"),
    pytest.param(HOST_LABEL, "a{}b", LOWER + DIGITS + "-", id="a character inside a host label"),
    pytest.param(HOST_LABEL, "a{}", LOWER + DIGITS, id="the last character of a host label"),
    pytest.param(ROLE, "{}", LETTERS + DIGITS + "_+=,.@-", id="a character of a role"),
    pytest.param(SECRET_ID, "{}", LETTERS + DIGITS + "_-", id="a character of a secret id"),
    pytest.param(PRINCIPAL, "uin{}12345", "/", id="the slash of a user"),
    pytest.param(PARAMETER, "{}", LETTERS, id="the first character of a parameter"),
    pytest.param(PARAMETER, "a{}", LETTERS + DIGITS + "_-", id="a later character of a parameter"),
    pytest.param(PARAMETER, "a{}b", LETTERS + DIGITS + "_-.", id="a character inside a parameter"),
    pytest.param(PARAMETER, "a.{}", LETTERS, id="the first character of a member of a parameter"),
    pytest.param(PARAMETER, "a.b{}", LETTERS + DIGITS + "_-", id="a later character of such a member"),
    pytest.param(TAG_PATH, "{}", LETTERS, id="the first character of a tag path"),
    pytest.param(TAG_PATH, "a{}", LETTERS + DIGITS + "_", id="a later character of a tag path"),
    pytest.param(TAG_PATH, "a{}b", LETTERS + DIGITS + "_.", id="a character inside a tag path"),
    pytest.param(TAG_PATH, "a.{}", LETTERS, id="the first character of a member of a tag path"),
    pytest.param(
        TAG_PATH, "a.b{}", LETTERS + DIGITS + "_", id="a later character of such a member of a path"
    ),
    pytest.param(TAG_PATH, "a{}].b", "[", id="the bracket that opens behind a list of a tag path"),
    pytest.param(TAG_PATH, "a[{}.b", "]", id="the bracket that closes behind a list of a tag path"),
    pytest.param(TAG_PATH, "a[]{}b", ".", id="the dot behind a list of a tag path"),
]


@pytest.mark.parametrize(("shape", "text", "fitting"), CHARACTERS)
def test_a_shape_takes_these_characters_and_no_others(
    shape: re.Pattern[str], text: str, fitting: str
) -> None:
    every = [chr(code) for code in range(0x180)] + ["\u0660", "\u212a", "\uff0d"]
    assert {each for each in every if shape.fullmatch(text.format(each))} == set(fitting)


# A shape, a text before and after the repeated character, how often it may stand.
LENGTHS = [
    pytest.param(ACTION_NAME, "", "", 1, 64, id="an action name"),
    pytest.param(SERVICE, "", "", 1, 63, id="a service"),
    pytest.param(REGION, "ap-", "", 1, 60, id="a region"),
    pytest.param(APP_ID, "1", "", 0, 19, id="an APPID"),
    pytest.param(UIN, "1", "", 4, 19, id="a uin"),
    pytest.param(VERSION, "2", "-12-29", 3, 3, id="the year of a version"),
    pytest.param(VERSION, "2022-1", "-29", 1, 1, id="the month of a version"),
    pytest.param(VERSION, "2022-12-2", "", 1, 1, id="the day of a version"),
    pytest.param(HOST_LABEL, "", "", 1, 63, id="a host label"),
    pytest.param(ROLE, "", "", 1, 128, id="a role"),
    pytest.param(SECRET_ID, "", "", 1, 1024, id="a secret id"),
]


@pytest.mark.parametrize(("shape", "before", "after", "least", "most"), LENGTHS)
def test_a_shape_has_these_lengths(
    shape: re.Pattern[str], before: str, after: str, least: int, most: int
) -> None:
    unit = "1" if before[:1].isdigit() else "a"
    found = [size for size in range(most + 3) if shape.fullmatch(f"{before}{unit * size}{after}")]
    assert found == list(range(least, most + 1))


def test_a_word_of_a_resource_has_no_placeholder_inside() -> None:
    assert list(words("a/b${x}c/{d}e:f")) == ["a", "f"]


# A path, the names of its placeholders.
PLACEHOLDERS = [
    pytest.param("instance/${id}", ["id"], id="a dollar and braces"),
    pytest.param("instance/{$id}", ["id"], id="a dollar inside braces"),
    pytest.param("instance/{id}", ["id"], id="braces"),
    pytest.param("instance/$id", ["id"], id="a dollar"),
    *(
        pytest.param(f"instance/{spelt}", [name], id=f"{what}, spelt {spelt}")
        for name, what in (
            ("a-b", "a hyphen"),
            ("a.b", "a dot"),
            ("a b", "a blank"),
            ("a_b", "an underscore"),
        )
        for spelt in (f"${{{name}}}", f"{{${name}}}", f"{{{name}}}")
    ),
    pytest.param("instance/$instance-id", ["instance-id"], id="a hyphen behind a bare dollar"),
    pytest.param("$zone-$id", ["zone", "id"], id="a hyphen between two placeholders"),
    pytest.param("$a.$b", ["a", "b"], id="a dot ends a placeholder without braces"),
    pytest.param("$a $b", ["a", "b"], id="a blank ends a placeholder without braces"),
    pytest.param("${ id }", ["id"], id="blanks around a name in braces are no part of it"),
    pytest.param("${a}${b}/{c}$d", ["a", "b", "c", "d"], id="several spellings, glued"),
    pytest.param("${}/{ }/$/-", [], id="braces without a name, and a lone dollar"),
    pytest.param("${a", [], id="braces that do not close"),
    pytest.param("*", [], id="a star"),
]


@pytest.mark.parametrize(("path", "names"), PLACEHOLDERS)
def test_placeholders_are_found_alike_by_catalog_lint_and_request(path: str, names: list[str]) -> None:
    assert [found.name for found in placeholders(path)] == names
    template = f"qcs::cvm:${{region}}:uin/${{uin}}:{path}"
    bind = {name: f"P{i}" for i, name in enumerate(dict.fromkeys(names))}
    assert set(bind) <= bindable([template])
    action = catalog_of(
        "cvm", {"name": "Stop", "granularity": "resource", "resources": [template], "bind": bind}
    )
    entry = action.actions["cvm:Stop"]
    (cut,) = cut_templates(entry, Owner(**OWNER)).templates
    assert cut.paths == tuple((bind[name],) for name in names)
    literal = "X".join(cut.literals)
    reached = read_resource(f"qcs::cvm:::{literal}") if literal else None
    if reached is not None and not isinstance(reached, tuple):
        assert CatalogView(ActionIndex(action)).reached(reached, Effect.ALLOW), (
            "lint sees the same literal text"
        )


def test_a_bare_word_is_a_placeholder_only_where_it_is_named() -> None:
    assert list(placeholders("instance/instanceId")) == []
    (found,) = placeholders("instance/instanceId", bare=["instanceId"])
    assert found == ("instanceId", 9, 19)
    assert list(placeholders("instance-instanceId/my$instanceIds", bare=["instance"])) == [
        ("instanceIds", 22, 34)
    ]


def test_what_braces_hold_is_no_bare_word() -> None:
    assert list(words("{a/b/c}/d")) == ["d"]


def catalog_of(service: str, *rows: dict[str, Any]) -> Catalog:
    """Read a catalog file of one service as `camguard serve` does."""
    usual = {"access": "read", "granularity": "operation", "resources": ["*"], "ip_restriction": True}
    tree = {
        "service": service,
        "title": service,
        "console": False,
        "tag_authorization": False,
        "granularity": "operation",
        "ip_restriction": "supported",
        "pages": [],
        "actions": [{**usual, "description": "", **row} for row in rows],
    }
    return parse_catalog({f"{service}.json": json.dumps(tree).encode()})


# Letters that names have, and some that they must not have.
LETTERS = "aZ9_-. /\u0130*"
ALLOW_ALL = policy("all", {})


def mostly(shape: str) -> st.SearchStrategy[str]:
    """Names that have the shape, and names of neighbouring shapes."""
    return st.from_regex(shape, fullmatch=True) | st.text(LETTERS, max_size=70)


@QUIET
@given(
    service=mostly("[a-z0-9]{1,64}"),
    name=mostly("[A-Za-z][A-Za-z0-9_]{0,70}"),
    uin=mostly("[0-9]{1,21}"),
    role=mostly("[A-Za-z0-9_+=,.@-]{1,130}"),
)
def test_whatever_loads_can_be_called_over_http(service: str, name: str, uin: str, role: str) -> None:
    try:
        catalog = catalog_of(service, {"name": name})
    except CatalogError:
        service, name = "partners", "QueryArea"
        catalog = catalog_of(service, {"name": name})
    people = {"users": {uin: {"policies": ["all"]}}, "roles": {role: {"policies": ["all"]}}}
    callers = [
        principal
        for kind, principal in (("users", f"uin/{uin}"), ("roles", f"role/{role}"))
        if isinstance(read_principals({"owner": OWNER, kind: people[kind]}, "p.json"), Principals)
    ]
    kept = {
        "users": people["users"] if f"uin/{uin}" in callers else {},
        "roles": people["roles"] if f"role/{role}" in callers else {},
    }
    found = bundle([ALLOW_ALL], catalog, {"owner": OWNER, **kept})
    rules = IdentitySettings(mode="header")
    play = Play(SETTINGS, policies=FixedPolicies(found), authentication=authenticator(rules, None))
    for principal in callers:
        assert found.decide(Call(principal, f"{service}:{name}", 0, NOW))
        lines = sdk(
            (rules.header.encode(), principal.encode()),
            host=f"{service}.tencentcloudapi.com".encode(),
            x_tc_action=name.encode(),
        )
        reply = play.reply_to(lines=lines)
        assert reply.passed, (principal, service, name, reply.detail)


NAME = st.text("aB1-_. ", min_size=1, max_size=6)
PIECE = st.one_of(
    st.text("abc1/-_:. *", max_size=4),
    NAME.map("${{{}}}".format),
    NAME.map("{{${}}}".format),
    NAME.map("{{{}}}".format),
    NAME.map("${}".format),
    st.sampled_from(["{", "}", "$", "${", "instanceId", "/instanceId/"]),
)


@QUIET
@given(path=st.lists(PIECE, min_size=1, max_size=5).map("".join))
def test_whatever_may_be_bound_is_bound_per_call(path: str) -> None:
    template = f"qcs::cvm::uin/${{uin}}:{path}"
    if segments(template) is None:
        return
    for name in bindable([template]):
        row = {"name": "Stop", "granularity": "resource", "resources": [template], "bind": {name: "Bound.To"}}
        catalog = catalog_of("cvm", row)
        (cut,) = cut_templates(catalog.actions["cvm:Stop"], Owner(**OWNER)).templates
        assert ("Bound", "To") in cut.paths
        assert len(cut.literals) == len(cut.paths) + 1


def test_what_a_hyphen_names_is_bound_in_a_call() -> None:
    row = {
        "name": "StopInstances",
        "granularity": "resource",
        "resources": ["qcs::cvm:$region:$account:instance/$instance-id"],
        "bind": {"instance-id": "InstanceId"},
    }
    wanted = "qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1"
    people = {"owner": OWNER, "users": {"100000000101": {"policies": ["one"]}}}
    found = bundle([policy("one", allow("cvm:*", wanted))], catalog_of("cvm", row), people)
    play = Play(policies=FixedPolicies(found))
    lines = sdk(host=b"cvm.tencentcloudapi.com", x_tc_action=b"StopInstances")
    lines = (*lines, (b"x-tc-region", b"ap-guangzhou"))
    assert play.reply_to(lines=lines, chunks=(b'{"InstanceId": "ins-1"}',)).passed
    assert not play.reply_to(lines=lines, chunks=(b'{"InstanceId": "ins-2"}',)).passed


# A row of a catalog file that no request could call as it stands, the place and words of the error.
REFUSED = [
    pytest.param({"name": "Query_Area"}, "/actions/0/name", "letters and digits", id="an underscore"),
    pytest.param({"name": "a" * 65}, "/actions/0/name", "up to 63", id="65 letters"),
    pytest.param(
        {"name": "A", "bind": {"region": "Region"}},
        "/actions/0/bind/region",
        "no last segment has this placeholder",
        id="a binding of the region, which no call takes from its parameters",
    ),
    pytest.param(
        {"name": "A", "bind": {"id": "Ids.0"}},
        "/actions/0/bind/id",
        "'Ids.0' is not the name of a request parameter",
        id="a binding to a place in a list",
    ),
    pytest.param(
        {"name": "A", "bind": {"id": ""}},
        "/actions/0/bind/id",
        "'' is not the name",
        id="a binding to nothing",
    ),
]


@pytest.mark.parametrize(("row", "place", "message"), REFUSED)
def test_the_catalog_refuses_what_no_request_can_carry(row: dict[str, Any], place: str, message: str) -> None:
    template = "qcs::cvm:${region}:uin/${uin}:instance/${id}"
    with pytest.raises(CatalogError) as caught:
        catalog_of("cvm", {"granularity": "resource", "resources": [template], **row})
    (problem,) = caught.value.problems
    assert problem.where == f"cvm.json#{place}"
    assert message in problem.message


def test_a_service_longer_than_a_host_label_is_rejection() -> None:
    with pytest.raises(CatalogError, match="1 to 63 lower-case letters and digits"):
        catalog_of("a" * 64, {"name": "A"})


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(grammar_module)
    assert results.attempted > 0
    assert results.failed == 0


# bare words, a path, the words that are found
BARE = [
    pytest.param(["a", "b"], "a/b", ["a", "b"], id="two words"),
    pytest.param(["a"], "a/ba/ab/a-b/b-a/_a/a_/$a/a1", ["a", "a"], id="a word that another one touches"),
    pytest.param(["a.b"], "a.b/axb", ["a.b"], id="a dot"),
]


@pytest.mark.parametrize(("bare", "path", "found"), BARE)
def test_a_bare_word_stands_by_itself(bare: list[str], path: str, found: list[str]) -> None:
    assert [each.name for each in placeholders(path, bare=bare)] == found


# a host, and the label that it names below the domains "example" and "example.org"
HOSTS = [
    pytest.param("cvm.example", "cvm", id="T123 the label alone"),
    pytest.param("cvm.example.org", "cvm", id="T123 another domain"),
    pytest.param("cvm.intl.example", "cvm", id="T123 the international site"),
    pytest.param("cvm.ap-guangzhou.example", "cvm", id="T123 a region"),
    pytest.param("cvm.internal.example", "cvm", id="T123 the internal network"),
    pytest.param("cvm.internal.ap-guangzhou.example", "cvm", id="T123 the internal network of a region"),
    pytest.param("cvm.ai.internal.example", "cvm", id="T123 the internal network of ai"),
    pytest.param("cvm.ai.ap-guangzhou.example", "cvm", id="T123 a region of ai"),
    *(
        pytest.param(host, None, id=f"T123 {host}")
        for host in (
            *("cvmxexample", "cvm.exampleorg", "cvm.examplexorg", "cvm.intlxexample"),
            *("cvm.xap-guangzhou.example", "cvm.internal.xap-guangzhou.example", "cvm.internalxap-a.example"),
            *("cvm:.example", "example", ".example", "cvm.example.com", "CVM.example"),
        )
    ),
]


@pytest.mark.parametrize(("host", "label"), HOSTS)
def test_a_host_names_a_service_by_its_first_label(host: str, label: str | None) -> None:
    match = service_hosts(["example", "example.org"]).fullmatch(host)
    assert (match and match[1]) == label
