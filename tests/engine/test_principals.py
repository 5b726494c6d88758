"""principals.json: who is bound by what, and every way to get it wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from camguard.engine.principals import Listing, Principals, list_principals, read_principals
from camguard.strict_json import Number

OWNER = {"uin": "100100", "app_id": "125"}


def read(**more: Any) -> Principals:
    found = read_principals({"owner": OWNER} | more, "principals.json")
    assert isinstance(found, Principals)
    return found


def test_the_owner_is_a_principal_of_its_own() -> None:
    found = read()
    assert list(found.layers) == ["uin/100100"]
    assert found.layers["uin/100100"].root
    assert found.names == {"uin/100100": "owner"}


def test_own_policies_come_first_then_the_groups_each_once() -> None:
    found = read(
        groups={"a": {"policies": ["p2", "p1"]}, "b": {"policies": ["p3", "p2"]}},
        users={"100200": {"name": "alice", "policies": ["p1"], "groups": ["b", "a"], "boundary": "cap"}},
    )
    layers = found.layers["uin/100200"]
    assert (layers.identity, layers.boundary, layers.root) == (("p1", "p3", "p2"), "cap", False)
    assert found.names["uin/100200"] == "alice"


def test_roles_and_account_levels() -> None:
    found = read(
        account=[["full"], ["narrow", "narrow"], []], roles={"bot": {"policies": ["p"], "boundary": None}}
    )
    assert found.layers["role/bot"].account == (("full",), ("narrow",), ())
    assert found.layers["uin/100100"].account == found.layers["role/bot"].account, (
        "the owner is bound too (DEC-36)"
    )


def test_the_same_policies_are_the_same_layers() -> None:
    users = {"100200": {"policies": ["p"]}, "100201": {"groups": ["g"]}, "100202": {"policies": ["q"]}}
    found = read(users=users, groups={"g": {"policies": ["p"]}}).layers
    assert found["uin/100200"] is found["uin/100201"]
    assert found["uin/100200"] is not found["uin/100202"]


WRONG = [
    pytest.param([], "", "must be an object", id="no object at all"),
    pytest.param({}, "/owner", "must be an object", id="no owner"),
    pytest.param({"owner": {**OWNER, "uin": 1}}, "/owner/uin", "digits", id="an owner by number"),
    pytest.param(
        {"owner": {**OWNER, "app_id": "12a"}}, "/owner/app_id", "digits", id="an APPID with a letter"
    ),
    pytest.param({"owner": OWNER, "user": {}}, "/user", "did you mean 'users'", id="a misspelt section"),
    pytest.param({"owner": OWNER, "users": []}, "/users", "must be an object", id="users as a list"),
    pytest.param(
        {"owner": OWNER, "users": {"alice": {}}}, "/users/alice", "is not a uin", id="a user by name"
    ),
    pytest.param({"owner": OWNER, "users": {"²": {}}}, "/users/²", "is not a uin", id="a digit that is none"),
    pytest.param(
        {"owner": OWNER, "users": {"100100": {}}}, "/users/100100", "is the owner", id="the owner as a user"
    ),
    pytest.param(
        {"owner": OWNER, "users": {"100200": {"policy": []}}},
        "/users/100200/policy",
        "did you mean 'policies'",
        id="a misspelt key of a user",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"100200": {"policies": "p"}}},
        "/users/100200/policies",
        "must be a list",
        id="one policy without brackets",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"100200": {"policies": [None]}}},
        "/users/100200/policies/0",
        "must be a string",
        id="a policy that is null",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"100200": {"groups": ["artist"]}}, "groups": {"artists": {}}},
        "/users/100200/groups/0",
        "did you mean 'artists'",
        id="a group that is not there",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"100200": {"boundary": ["p"]}}},
        "/users/100200/boundary",
        "must be a string or null",
        id="two boundaries",
    ),
    pytest.param(
        {"owner": OWNER, "groups": {"a": []}}, "/groups/a", "must be an object", id="a group as a list"
    ),
    pytest.param(
        {"owner": OWNER, "roles": {"a b": {}}},
        "/roles/a b",
        "not the name of a role",
        id="a role with a blank",
    ),
    pytest.param({"owner": OWNER, "account": ["full"]}, "/account/0", "must be a list", id="a flat account"),
    pytest.param(
        {"owner": OWNER, "account": {}}, "/account", "must be a list of lists", id="an account as an object"
    ),
]


@pytest.mark.parametrize(("raw", "place", "words"), WRONG)
def test_a_problem_has_its_place(raw: Any, place: str, words: str) -> None:
    found = read_principals(raw, "principals.json")
    assert not isinstance(found, Principals)
    where = f"principals.json#{place}" if place else "principals.json"
    assert where in [problem.where for problem in found if words in problem.message]


NO_UIN = "is not a uin: a uin is 5 to 20 digits, else no request can name the user"
NO_ROLE = "is not the name of a role: 1 to 128 letters, digits and characters of _+=,.@-"
GROUP = {"owner": OWNER, "groups": {"g/1": {"policies": ["p"]}}}
EXACT = [
    pytest.param({"owner": OWNER | {"uin": Number("1")}}, ["/owner/uin: must be a string of 5 to 20 digits"],
                 id="a uin that is a number"),
    pytest.param({"owner": {"uin": "", "app_id": "1" * 21}},
                 ["/owner/uin: must be a string of 5 to 20 digits",
                  "/owner/app_id: must be a string of 1 to 20 digits"], id="too few digits and too many"),
    pytest.param({"owner": OWNER | {"name": "x"}}, ["/owner/name: unknown key 'name'"],
                 id="an owner's name"),
    pytest.param({"owner": OWNER, "users": {"": {}}}, [f"/users/: '' {NO_UIN}"],
                 id="a user without digits"),
    pytest.param({"owner": OWNER, "users": {"1" * 21: {}}},
                 [f"/users/{'1' * 21}: '{'1' * 21}' {NO_UIN}"], id="a long uin"),
    pytest.param({"owner": OWNER | {"uin": "1234"}}, ["/owner/uin: must be a string of 5 to 20 digits"],
                 id="an owner of four digits, which no key could belong to"),
    pytest.param({"owner": OWNER, "users": {"1234": {}}}, [f"/users/1234: '1234' {NO_UIN}"],
                 id="a user of four digits, which no key could belong to"),
    pytest.param({"owner": OWNER, "users": {"100200": {"policies": ["p", Number("1"), "p", 2]}}},
                 ["/users/100200/policies/1: must be a string", "/users/100200/policies/3: must be a string"],
                 id="numbers among the policies"),
    pytest.param({"owner": OWNER, "users": {"100200": {"groups": "g"}}},
                 ["/users/100200/groups: must be a list of strings or null"],
                 id="one group without brackets"),
    pytest.param({"owner": OWNER, "users": {"100200": {"boundary": Number("1"), "name": Number("2")}}},
                 ["/users/100200/boundary: must be a string or null",
                  "/users/100200/name: must be a string or null"], id="a boundary and a name by number"),
    pytest.param({"owner": OWNER, "users": {"100200": []}}, ["/users/100200: must be an object"],
                 id="a user as a list"),
    pytest.param(GROUP | {"users": {"100200": {"groups": ["g/1", "g", "x"]}}},
                 ["/users/100200/groups/1: there is no group 'g'",
                  "/users/100200/groups/2: there is no group 'x'"], id="groups not there"),
    pytest.param({"owner": OWNER, "groups": {"g/1": {"policies": {}, "policy": 1}}},
                 ["/groups/g~11/policies: must be a list of strings or null",
                  "/groups/g~11/policy: unknown key 'policy' (did you mean 'policies'?)"],
                 id="a group's wrong keys"),
    pytest.param({"owner": OWNER, "groups": []}, ["/groups: must be an object"], id="groups as a list"),
    pytest.param({"owner": OWNER, "roles": []}, ["/roles: must be an object"], id="roles as a list"),
    pytest.param({"owner": OWNER, "roles": {"": {}, "a" * 129: {}}},
                 [f"/roles/: '' {NO_ROLE}",
                  f"/roles/{'a' * 129}: '{'a' * 129}' {NO_ROLE}"], id="no name and a long name"),
    pytest.param({"owner": OWNER, "roles": {"r/é": {"groups": [], "boundary": []}}},
                 ["/roles/r~1é/groups: unknown key 'groups'",
                  "/roles/r~1é/boundary: must be a string or null",
                  f"/roles/r~1é: 'r/é' {NO_ROLE}"], id="a role's wrong keys"),
    pytest.param({"owner": OWNER, "roles": {"r": {"policies": "p"}}},
                 ["/roles/r/policies: must be a list of strings or null"],
                 id="a role's policy without brackets"),
    pytest.param({"owner": OWNER, "account": [["a"], [Number("1")], "b", None, {}]},
                 ["/account/1/0: must be a string", "/account/2: must be a list of strings or null",
                  "/account/4: must be a list of strings or null"], id="account levels"),
    pytest.param({"owner": OWNER, "account": "full"},
                 ["/account: must be a list of lists of policies or null"], id="an account as a text"),
]  # fmt: skip


@pytest.mark.parametrize("reading", [read_principals, list_principals])
@pytest.mark.parametrize(("raw", "expected"), EXACT)
def test_every_problem_is_listed(raw: Any, expected: list[str], reading: Callable[..., Any]) -> None:
    found = reading(raw, "p.json")
    assert not isinstance(found, (Principals, Listing))
    assert {problem.code for problem in found} == {"PrincipalsError"}
    assert [f"{problem.where.removeprefix('p.json#')}: {problem.message}" for problem in found] == expected


def test_a_listing_holds_the_owner_and_everybody_else_in_order() -> None:
    tree = {"owner": OWNER, "users": {"100200": {"policies": ["p"]}}, "roles": {"bot": {"policies": []}}}
    found = list_principals(tree, "p.json")
    assert isinstance(found, Listing)
    assert [entry[0] for entry in found.entries] == [f"uin/{OWNER['uin']}", "uin/100200", "role/bot"]


@pytest.mark.parametrize("name", ["r", "a+b=c,d.e@f-g_H9", "a" * 128])
def test_a_role_may_have_such_a_name(name: str) -> None:
    found = read(roles={name: {"policies": ["p", "q", "p"]}})
    assert found.layers[f"role/{name}"].identity == ("p", "q")
    assert found.names[f"role/{name}"] == name


def test_a_group_has_its_members_and_a_listing_the_kind_of_each_principal() -> None:
    people = {
        "users": {"100201": {"groups": ["g"]}, "100202": {"groups": ["g", "h"]}, "100203": {}},
        "roles": {"bot": {}},
    }
    raw = {"owner": {"uin": "100100", "app_id": "125"}, "groups": {"g": {}, "h": {}, "i": {}}, **people}
    found, listing = read_principals(raw, "f"), list_principals(raw, "f")
    assert isinstance(found, Principals)
    assert isinstance(listing, Listing)
    assert found.groups == {"g": ("uin/100201", "uin/100202"), "h": ("uin/100202",)}
    kinds = {entry.principal: entry.kind for entry in listing.entries}
    users = dict.fromkeys(("uin/100201", "uin/100202", "uin/100203"), "user")
    assert kinds == {"uin/100100": "owner", **users, "role/bot": "role"}


def test_what_is_left_out_is_empty() -> None:
    found = read(users={"100200": {}, "9" * 20: {"name": None}}, roles={"bot": {}}, groups={"g": {}})
    assert list(found.layers) == ["uin/100100", "uin/100200", f"uin/{'9' * 20}", "role/bot"]
    assert found.names == {
        "uin/100100": "owner", "uin/100200": "100200", f"uin/{'9' * 20}": "9" * 20, "role/bot": "bot"
    }  # fmt: skip
    for principal, layers in found.layers.items():
        assert (layers.account, layers.identity, layers.boundary) == ((), (), None)
        assert layers.root is (principal == "uin/100100")
    assert found.layers["uin/100200"] is found.layers["role/bot"]
    assert read(account=None).layers["uin/100100"].account == ()


def test_what_differs_in_one_layer_is_not_shared() -> None:
    users = {
        "100200": {"policies": ["p"]}, "100201": {"policies": ["p"], "boundary": "b"},
        "100202": {"boundary": "p"}, "100203": {"policies": ["p", "q"]},
        "100204": {"policies": ["q", "p"]}, "100205": {},
    }  # fmt: skip
    found = read(users=users).layers
    assert len({id(layers) for layers in found.values()}) == 7
