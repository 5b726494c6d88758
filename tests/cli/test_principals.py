"""`camguard principals`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.cli import main


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """Return the document that the verb prints."""
    assert main(["principals", *options, "--format", "json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.usefixtures("folder")
def test_a_principal_is_listed_with_everything_that_is_attached_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = listed(capsys)
    rows = {row["name"]: row for row in document["principals"]}
    assert rows["fatima"] == {
        "principal": "uin/100000000106",
        "name": "fatima",
        "kind": "user",
        "groups": ["partner-desk"],
        "policies": ["aiart-read"],
        "inherited": ["partners-read", "partners-desk"],
        "boundary": None,
    }
    assert rows["kofi"]["boundary"] == "guest-boundary"
    assert (rows["owner"]["kind"], rows["owner"]["policies"]) == ("owner", [])
    assert (rows["render-farm"]["principal"], rows["render-farm"]["kind"]) == ("role/render-farm", "role")
    assert document["account"] == [["full-access"]]
    assert document["counts"] == {"listed": 15, "all": 15}


def test_a_policy_of_both_the_user_and_a_group_is_listed_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = folder / "bundle/principals.json"
    tree = json.loads(people.read_text())
    tree["users"]["100000000101"]["policies"] = ["aiart-read", "aiart-full"]
    people.write_text(json.dumps(tree))
    (alice,) = listed(capsys, "alice")["principals"]
    assert alice["policies"] == ["aiart-read", "aiart-full"]
    assert alice["inherited"] == ["aiart-create", "aiart-settings-locked"]


# options, the names that are listed
FILTERS = [
    pytest.param(["ALI"], ["alice", "dalia"], id="a part of a name, letter case aside"),
    pytest.param(["0000111"], ["kofi"], id="a part of a uin"),
    pytest.param(["role/"], ["render-farm", "billing-bot"], id="a part of an id"),
    pytest.param(["--kind", "role"], ["render-farm", "billing-bot"], id="a kind"),
    pytest.param(["--kind", "owner"], ["owner"], id="the owner"),
    pytest.param(["--group", "art-leads"], ["chen", "dalia"], id="a group"),
    pytest.param(["--policy", "bills-read"], ["billing-bot"], id="a policy of its own"),
    pytest.param(["--policy", "full-access"], ["jun"], id="a policy of a group"),
    pytest.param(["--policy", "guest-boundary"], ["kofi", "lena"], id="a boundary"),
    pytest.param(
        ["l", "--group", "partner-desk", "--policy", "guest-boundary"], ["lena"], id="several filters"
    ),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("options", "names"), FILTERS)
def test_a_filter_lists_what_fits(
    options: list[str], names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = listed(capsys, *options)
    assert [row["name"] for row in document["principals"]] == names
    assert document["counts"] == {"listed": len(names), "all": 15}


# options that nothing fits, the note
NOTHING = [
    pytest.param(["--group", "artsts"], "(did you mean 'artists'?)", id="a mistyped group"),
    pytest.param(["--policy", "aiart-raed"], "(did you mean 'aiart-read'", id="a mistyped policy"),
    pytest.param(["alcie"], "(did you mean 'alice'", id="a mistyped name"),
    pytest.param(
        ["alice", "--group", "admins"], "no principal fits\n", id="names that exist, but not together"
    ),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("options", "says"), NOTHING)
def test_a_filter_that_nothing_fits_has_a_suggestion(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["principals", *options]) == 0
    printed = capsys.readouterr()
    assert says in printed.err
    assert "0 of 15 principals" in printed.out


@pytest.mark.usefixtures("folder")
def test_the_text_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["principals", "kofi"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "principal         name  kind  groups  policies           boundary",
        "uin/100000000111  kofi  user  -       aiart-season-2027  guest-boundary",
        "1 of 15 principals",
        "account level 0 limits all of them to: full-access",
    ]


def test_nothing_but_principals_json_has_to_be_right(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bundle/policies/aiart-read.json").write_text("{")
    assert listed(capsys, "alice")["counts"]["listed"] == 1


def test_every_problem_of_principals_json_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = folder / "bundle/principals.json"
    people.write_text(people.read_text().replace('["artists"]', '["artsts"]').replace('"name"', '"nmae"'))
    assert main(["principals"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "bundle/principals.json#/users/100000000101/groups/0: there is no group 'artsts'" in printed.err
    assert "/users/100000000112" in printed.err
