"""A build compares before it writes, and keeps what people added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog.files import save_all
from camguard.catalog_import.build import plan_build
from camguard.errors import CatalogError
from tests.catalog_import.pages import Cells, page

OP = "Operation level"
RES = "Resource level"
TEMPLATE = "qcs::toybox:${region}:uin/${uin}:toy/${toyId}"
ADD: Cells = ("AddToy", "adds", RES, TEMPLATE, "not supported")
BUY: Cells = ("BuyToy", "buys", OP, "*", "Supported")
CUT: Cells = ("CutToy", "cuts", OP, "*", "Supported")


def toys(*rows: Cells) -> tuple[str, bytes]:
    return "toys.txt", page(("Write operations", rows)).encode()


def build(folder: Path, *rows: Cells) -> None:
    save_all([update.service for update in plan_build([toys(*rows)], folder).updates], folder)


def annotate(folder: Path, name: str, **facts: Any) -> None:
    file = folder / "toybox.json"
    tree = json.loads(file.read_bytes())
    next(row for row in tree["actions"] if row["name"] == name).update(facts)
    file.write_text(json.dumps(tree), encoding="utf-8")


def test_a_first_build_adds_everything(tmp_path: Path) -> None:
    (update,) = plan_build([toys(ADD, BUY)], tmp_path / "not" / "there").updates
    assert [action.name for action in update.difference.added] == ["AddToy", "BuyToy"]
    assert (update.before, update.lost, update.same_bytes) == (None, (), False)
    assert list(tmp_path.iterdir()) == []


def test_the_same_page_again_gives_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path, ADD, BUY)
    (update,) = plan_build([toys(ADD, BUY)], tmp_path).updates
    assert update.same_bytes
    assert not update.difference


def test_lost_rows_are_known_before_anything_is_written(tmp_path: Path) -> None:
    build(tmp_path, ADD, BUY, CUT)
    before = (tmp_path / "toybox.json").read_bytes()
    (update,) = plan_build([toys(ADD)], tmp_path).updates
    assert [action.name for action in update.lost] == ["BuyToy", "CutToy"]
    assert (tmp_path / "toybox.json").read_bytes() == before


def test_what_people_added_outlives_a_rebuild(tmp_path: Path) -> None:
    build(tmp_path, ADD, BUY)
    own = {"request_tags": ["Tags"], "parameters": ["Region"]}
    annotate(tmp_path, "AddToy", version="2022-12-29", match="any", bind={"toyId": "ToyIds"}, **own)
    (update,) = plan_build([toys(ADD, BUY, CUT)], tmp_path).updates
    action = update.service.actions["AddToy"]
    assert (action.version, action.match, action.bind) == ("2022-12-29", "any", {"toyId": "ToyIds"})
    assert (action.request_tags, action.parameters) == (("Tags",), ("Region",))
    assert [added.id for added in update.difference.added] == ["toybox:CutToy"]
    assert update.difference.changed == {}


def test_a_binding_of_a_placeholder_that_is_gone_is_dropped_and_reported(tmp_path: Path) -> None:
    build(tmp_path, ADD, BUY)
    annotate(tmp_path, "AddToy", bind={"toyId": "ToyIds", "toy": "Kind"})
    later = (*ADD[:3], TEMPLATE.replace("toyId", "boxId"), ADD[4])
    plan = plan_build([toys(later, BUY)], tmp_path)
    assert plan.updates[0].service.actions["AddToy"].bind == {"toy": "Kind"}
    assert [note.code for note in plan.notes] == ["BindingDropped"]


def test_a_file_that_cannot_be_read_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "toybox.json").write_text("{", encoding="utf-8")
    with pytest.raises(CatalogError, match="not JSON"):
        plan_build([toys(ADD)], tmp_path)


def test_two_pages_of_one_service_make_one_file(tmp_path: Path) -> None:
    more = "more.txt", b"Toys\nLast updated: 2026-01-01\n" + page(("Read operations", [CUT, ADD])).encode()
    plan = plan_build([toys(ADD, BUY), more], tmp_path)
    (update,) = plan.updates
    assert sorted(update.service.actions) == ["AddToy", "BuyToy", "CutToy"]
    assert [note.where for note in plan.notes] == ["toys.txt"]
    assert plan == plan_build([more, toys(ADD, BUY)], tmp_path)


def test_a_refused_page_is_named_and_the_rest_is_planned(tmp_path: Path) -> None:
    plan = plan_build([("words.txt", b"words\n"), toys(ADD)], tmp_path)
    assert plan.refused == ("words.txt",)
    assert [problem.where for problem in plan.problems] == ["words.txt"]
    assert [update.service.name for update in plan.updates] == ["toybox"]
