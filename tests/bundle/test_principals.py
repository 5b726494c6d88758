"""principals.json: who is bound by what, and every way to get it wrong."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.bundle.principals import Principals, read_principals

OWNER = {"uin": "100", "app_id": "125"}


def read(**more: Any) -> Principals:
    found = read_principals({"owner": OWNER} | more, "principals.json")
    assert isinstance(found, Principals)
    return found


def test_the_owner_is_a_principal_of_its_own() -> None:
    found = read()
    assert list(found.layers) == ["uin/100"]
    assert found.layers["uin/100"].root
    assert found.names == {"uin/100": "owner"}


def test_own_policies_come_first_then_the_groups_each_once() -> None:
    found = read(
        groups={"a": {"policies": ["p2", "p1"]}, "b": {"policies": ["p3", "p2"]}},
        users={"200": {"name": "alice", "policies": ["p1"], "groups": ["b", "a"], "boundary": "cap"}},
    )
    layers = found.layers["uin/200"]
    assert (layers.identity, layers.boundary, layers.root) == (("p1", "p3", "p2"), "cap", False)
    assert found.names["uin/200"] == "alice"


def test_roles_and_account_levels() -> None:
    found = read(
        account=[["full"], ["narrow", "narrow"], []], roles={"bot": {"policies": ["p"], "boundary": None}}
    )
    assert found.layers["role/bot"].account == (("full",), ("narrow",), ())
    assert found.layers["uin/100"].account == found.layers["role/bot"].account, (
        "the owner is bound too (DEC-36)"
    )


def test_the_same_policies_are_the_same_layers() -> None:
    users = {"200": {"policies": ["p"]}, "201": {"groups": ["g"]}, "202": {"policies": ["q"]}}
    found = read(users=users, groups={"g": {"policies": ["p"]}}).layers
    assert found["uin/200"] is found["uin/201"]
    assert found["uin/200"] is not found["uin/202"]


WRONG = [
    pytest.param([], "", "is not an object", id="no object at all"),
    pytest.param({}, "/owner", "is not an object", id="no owner"),
    pytest.param({"owner": {**OWNER, "uin": 1}}, "/owner/uin", "digits", id="an owner by number"),
    pytest.param(
        {"owner": {**OWNER, "app_id": "12a"}}, "/owner/app_id", "digits", id="an APPID with a letter"
    ),
    pytest.param({"owner": OWNER, "user": {}}, "/user", "did you mean 'users'", id="a misspelt section"),
    pytest.param({"owner": OWNER, "users": []}, "/users", "is not an object", id="users as a list"),
    pytest.param(
        {"owner": OWNER, "users": {"alice": {}}}, "/users/alice", "is not a uin", id="a user by name"
    ),
    pytest.param({"owner": OWNER, "users": {"²": {}}}, "/users/²", "is not a uin", id="a digit that is none"),
    pytest.param(
        {"owner": OWNER, "users": {"100": {}}}, "/users/100", "is the owner", id="the owner as a user"
    ),
    pytest.param(
        {"owner": OWNER, "users": {"200": {"policy": []}}},
        "/users/200/policy",
        "did you mean 'policies'",
        id="a misspelt key of a user",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"200": {"policies": "p"}}},
        "/users/200/policies",
        "is not a list",
        id="one policy without brackets",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"200": {"policies": [None]}}},
        "/users/200/policies/0",
        "is not a string",
        id="a policy that is null",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"200": {"groups": ["artist"]}}, "groups": {"artists": {}}},
        "/users/200/groups/0",
        "did you mean 'artists'",
        id="a group that is not there",
    ),
    pytest.param(
        {"owner": OWNER, "users": {"200": {"boundary": ["p"]}}},
        "/users/200/boundary",
        "neither a string nor null",
        id="two boundaries",
    ),
    pytest.param(
        {"owner": OWNER, "groups": {"a": []}}, "/groups/a", "is not an object", id="a group as a list"
    ),
    pytest.param(
        {"owner": OWNER, "roles": {"a b": {}}}, "/roles/a b", "no name of a role", id="a role with a blank"
    ),
    pytest.param({"owner": OWNER, "account": ["full"]}, "/account/0", "is not a list", id="a flat account"),
    pytest.param(
        {"owner": OWNER, "account": {}}, "/account", "is not a list of lists", id="an account as an object"
    ),
]


@pytest.mark.parametrize(("raw", "place", "words"), WRONG)
def test_what_is_wrong_is_named_with_its_place(raw: Any, place: str, words: str) -> None:
    found = read_principals(raw, "principals.json")
    assert not isinstance(found, Principals)
    assert f"principals.json#{place}" in [problem.where for problem in found if words in problem.message]
