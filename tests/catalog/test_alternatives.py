"""Templates that exclude each other (DEC-61)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog import load_catalog, to_json
from camguard.catalog.alternatives import SHIPPED, forms_of
from camguard.errors import CatalogError

COMMAND = "qcs::tat:${region}:uin/${uin}:command/${commandId}"
CVM = "qcs::cvm:${region}:uin/${uin}:instance/${instanceId}"
LIGHTHOUSE = "qcs::lighthouse:${region}:uin/${uin}:instance/${instanceId}"
SERVER = "qcs::lighthouse:${region}:uin/${uin}:instance/${serverId}"
GROUP = {"cvm": "ins-*", "lighthouse": "lhins-*"}


def write(folder: Path, name: str = "tat:Run", templates: list[str] | None = None, **facts: Any) -> Path:
    """Write the file of a service with one action."""
    service, _, action = name.partition(":")
    row = {
        "access": "write",
        "description": "",
        "granularity": "resource",
        "ip_restriction": True,
        "name": action,
        "resources": templates or [COMMAND, CVM, LIGHTHOUSE],
    }
    tree = {
        "service": service,
        "title": service,
        "console": True,
        "tag_authorization": False,
        "granularity": "resource",
        "ip_restriction": "supported",
        "pages": [],
        "actions": [{**row, **facts}],
    }
    file = folder / f"{service}.json"
    file.write_text(json.dumps(tree), encoding="utf-8")
    return file


# name of the action, what its entry has besides, its alternatives
HAVE = [
    pytest.param("tat:Run", {}, (), id="DEC-61 alternatives are not inferred"),
    pytest.param("tat:Run", {"alternatives": [GROUP]}, (GROUP,), id="DEC-61 an entry has its own"),
    pytest.param("tat:InvokeCommand", {}, (GROUP,), id="DEC-61 an action that is known has the shipped ones"),
    pytest.param(
        "tat:InvokeCommand", {"alternatives": []}, (), id="DEC-61 an entry does without the shipped ones"
    ),
    pytest.param("tat:InvokeCommand", {"templates": [COMMAND, CVM]}, (), id="shipped ones that do not suit"),
    pytest.param(
        "tat:InvokeCommand", {"templates": [CVM, SERVER], "bind": {"serverId": "instanceId"}}, (GROUP,),
        id="DEC-61 shipped ones suit placeholders that are bound to one parameter",
    ),
    pytest.param(
        "tat:Run", {"templates": [CVM, SERVER], "bind": {"serverId": "instanceId"}, "alternatives": [GROUP]},
        (GROUP,), id="DEC-61 placeholders that are bound to one parameter are the same",
    ),
    pytest.param("tat:InvokeCommand", {"match": "any"}, (), id="shipped ones where one template is enough"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "alternatives"), HAVE)
def test_which_alternatives_an_action_has(
    tmp_path: Path, name: str, facts: dict[str, Any], alternatives: tuple[Any, ...]
) -> None:
    service = load_catalog(write(tmp_path, name, **facts)).services["tat"]
    (action,) = service.actions.values()
    assert action.alternatives == alternatives
    (tmp_path / "tat.json").write_text(to_json(service), encoding="utf-8")
    assert load_catalog(tmp_path / "tat.json").services["tat"] == service, "what is written is read again"


def test_the_forms_of_a_template_come_before_those_that_it_excludes(tmp_path: Path) -> None:
    action = load_catalog(write(tmp_path, alternatives=[GROUP])).actions["tat:Run"]
    assert forms_of(action) == {CVM: ("ins-*", "lhins-*"), LIGHTHOUSE: ("lhins-*", "ins-*")}


def test_shipped_alternatives_are_of_known_actions() -> None:
    assert {action.partition(":")[0] for action in SHIPPED} == {"tat"}


# what an entry has, the place of the problem, a part of its message
WRONG = [
    pytest.param({"alternatives": {}}, "", "must be a list", id="no list"),
    pytest.param({"alternatives": [["cvm"]]}, "/0", "two or more services", id="a group that is no object"),
    pytest.param({"alternatives": [{"cvm": "ins-*"}]}, "/0", "two or more services", id="a group of one"),
    pytest.param({"alternatives": [{"cvm": 1, "lighthouse": "x"}]}, "/0", "a form", id="no text"),
    pytest.param({"alternatives": [{"cvm": "a*", "lighthouse": "a*"}]}, "/0", "its own", id="one form"),
    pytest.param({"alternatives": [{"cvm": "a*", "vpc": "b*"}]}, "/0", "exactly one",
                 id="no such service"),
    pytest.param({"alternatives": [{"cvm": "a*", "tat": "b*"}]}, "/0", "same placeholder",
                 id="templates of different placeholders"),
    pytest.param({"alternatives": [GROUP], "templates": [CVM, CVM + "/x", LIGHTHOUSE]}, "/0",
                 "exactly one template", id="two templates of one service"),
    pytest.param({"alternatives": [GROUP], "templates": [CVM + "/${x}", LIGHTHOUSE]}, "/0",
                 "exactly one placeholder", id="a template of two placeholders"),
    pytest.param({"alternatives": [GROUP], "match": "any"}, "", "no use", id="beside match = any"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "place", "words"), WRONG)
def test_alternatives_that_do_not_suit_are_an_error(
    tmp_path: Path, facts: dict[str, Any], place: str, words: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog(write(tmp_path, **facts))
    (problem,) = caught.value.problems
    assert problem.where.endswith(f"tat.json#/actions/0/alternatives{place}")
    assert words in problem.message


def test_read_only_contradicts_an_action_that_writes(tmp_path: Path) -> None:
    """DEC-56."""
    with pytest.raises(CatalogError, match="must not be true where the page lists the action under write"):
        load_catalog(write(tmp_path, read_only=True))
    assert load_catalog(write(tmp_path, read_only=True, access="list")).actions["tat:Run"].read_only


def test_regions_stand_beside_the_services(tmp_path: Path) -> None:
    """DEC-60."""
    write(tmp_path)
    assert load_catalog(tmp_path).regions == frozenset()
    (tmp_path / "regions.json").write_text('{"regions": ["ap-guangzhou"]}', encoding="utf-8")
    assert load_catalog(tmp_path).regions == {"ap-guangzhou"}
    assert list(load_catalog(tmp_path).services) == ["tat"]
    (tmp_path / "regions.json").write_text('{"regions": "ap-guangzhou"}', encoding="utf-8")
    with pytest.raises(CatalogError, match="must be a list of strings"):
        load_catalog(tmp_path)
    (tmp_path / "tat.json").unlink()
    with pytest.raises(CatalogError, match="contains no catalog file"):
        load_catalog(tmp_path)
