"""`camguard catalog build`, `show` and `diff`, as a person meets them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog.files import FORMAT
from camguard.cli import main
from tests.catalog_import import shapes

PAGE = """Toys
Last updated: 2025-01-01 00:00:00

Product Abbreviation in CAM Console Authorization by Tag Authorization Granularity IP Restriction
Toy Box toybox Supported not supported Resource level Partially supported

Write operations

API API Description Authorization Granularity Six-segment Resource Description IP Restriction
AddToy adds a toy Operation level * Supported
BuyToy buys a toy Resource level qcs::toybox::uin/${uin}:toy/${toyId} not supported

"""
READ = """Read operations

API API Description Authorization Granularity Six-segment Resource Description IP Restriction
GetToy gets it Operation level * Supported
"""


class Desk:
    """A folder with pages and catalogs, and what the verbs print there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def page(self, text: str, name: str = "toys.txt") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def run(self, *argv: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of a verb of `catalog`."""
        code = main(["catalog", *argv])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def built(self, text: str = PAGE, out: str = "catalog") -> str:
        """Build a page and return the folder."""
        assert self.run("build", self.page(text), "--out", out)[0] == 0
        return out


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


def test_a_build_prints_what_it_wrote_and_then_that_nothing_changed(desk: Desk) -> None:
    build = ("build", desk.page(PAGE), "--out", "catalog")
    assert desk.run(*build) == (0, "toybox  2 actions (2 write)  catalog/toybox.json (new)\n", "")
    before = (desk.folder / "catalog" / "toybox.json").read_bytes()
    assert desk.run(*build) == (0, "toybox  2 actions (2 write)  catalog/toybox.json (unchanged)\n", "")
    assert (desk.folder / "catalog" / "toybox.json").read_bytes() == before
    assert [path.name for path in (desk.folder / "catalog").iterdir()] == ["toybox.json"]


def test_a_rebuild_lists_what_changed(desk: Desk) -> None:
    desk.built()
    code, out, _ = desk.run(
        "build", desk.page(PAGE.replace("adds a toy", "adds one") + READ), "--out", "catalog"
    )
    assert code == 0
    assert out.splitlines() == [
        "toybox  3 actions (2 write, 1 read)  catalog/toybox.json (replaced)",
        "  + toybox:GetToy (read, operation)",
        "  ~ toybox:AddToy description: adds a toy -> adds one",
    ]


def test_a_build_that_loses_rows_writes_nothing_without_the_option(desk: Desk) -> None:
    desk.built(PAGE + READ)
    before = (desk.folder / "catalog" / "toybox.json").read_bytes()
    code, out, err = desk.run("build", desk.page(PAGE), "--out", "catalog")
    assert code == 3
    assert "(not written)" in out
    assert "- toybox:GetToy (read, operation)" in out
    assert err == (
        "camguard: catalog/toybox.json: nothing was written: 1 row would be lost (GetToy); "
        "--allow-shrink loses them [Shrinks]\n"
    )
    assert (desk.folder / "catalog" / "toybox.json").read_bytes() == before
    code, out, err = desk.run("build", desk.page(PAGE), "--out", "catalog", "--allow-shrink")
    assert (code, err) == (0, "")
    assert "(replaced)" in out
    assert (desk.folder / "catalog" / "toybox.json").read_bytes() != before


def test_many_lost_rows_are_not_all_named_in_the_complaint(desk: Desk) -> None:
    rows = "".join(f"Get{letter} x Operation level * Supported\n" for letter in "ABCDE")
    desk.built(PAGE + READ + rows)
    _, out, err = desk.run("build", desk.page(PAGE), "--out", "catalog")
    assert "6 rows would be lost (GetA, GetB, GetC and 3 more)" in err
    assert out.count("  - toybox:Get") == 6


def test_a_cut_page_gives_its_complete_rows_and_exit_code_3(desk: Desk) -> None:
    page = desk.page(PAGE + READ.rstrip().removesuffix("Supported"))
    code, out, err = desk.run("build", page, "--out", "catalog")
    assert code == 3
    assert out == "toybox  2 actions (2 write)  catalog/toybox.json (new)\n"
    assert err.splitlines()[-1].startswith(
        "camguard: toys.txt:16: 'GetToy gets it Operation level *': is skipped"
    )
    assert (desk.folder / "catalog" / "toybox.json").exists()


def test_a_refused_page_stops_the_whole_build(desk: Desk) -> None:
    code, out, err = desk.run("build", desk.page("words\n", "words.txt"), desk.page(PAGE), "--out", "catalog")
    assert code == 3
    assert "(not written)" in out
    assert err.splitlines() == [
        (
            "camguard: words.txt: is not a CAM-Enabled API page: it has no table of products. "
            "Such pages are below 'CAM-Enabled API' in the documentation of CAM [NoCatalogPage]"
        ),
        "camguard: words.txt: nothing was written: this page gives no service [Refused]",
    ]
    assert not (desk.folder / "catalog").exists()


def test_notes_go_to_stderr_and_are_no_failure(desk: Desk) -> None:
    code, out, err = desk.run("build", desk.page(PAGE.replace("Write operations\n", "")), "--out", "catalog")
    assert code == 0
    assert "2 actions (2 write)" in out
    assert err.startswith(
        "note: toys.txt:8: no heading above the table: the access of its 2 actions is guessed"
    )
    assert "write?" in desk.run("show", "toybox", "--catalog", "catalog")[1]


def test_a_build_in_json(desk: Desk) -> None:
    desk.built(PAGE + READ)
    code, out, err = desk.run("build", desk.page(PAGE), "--out", "catalog", "--format", "json")
    report = json.loads(out)
    assert (code, report["written"], report["notes"]) == (3, False, [])
    assert [problem["code"] for problem in report["problems"]] == ["Shrinks"]
    assert "nothing was written" in err
    (service,) = report["services"]
    assert service["state"] == "not written"
    assert service["actions"] == {"write": 2, "read": 0, "list": 0, "other": 0}
    assert [row["name"] for row in service["removed"]] == ["GetToy"]
    first = desk.run("build", desk.page(PAGE), "--out", "other", "--format", "json")[1]
    assert json.loads(first)["services"] == [
        {
            "service": "toybox",
            "file": "other/toybox.json",
            "state": "new",
            "actions": {"write": 2, "read": 0, "list": 0, "other": 0},
        }
    ]


class Typed:
    """Standard input with some bytes in it."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_a_page_is_read_from_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Typed((PAGE.rstrip("\n") + "\nCutToy Oper").encode()))
    code, out, err = desk.run("build", "-", "--out", "catalog")
    assert (code, out) == (3, "toybox  2 actions (2 write)  catalog/toybox.json (new)\n")
    assert err.startswith("camguard: standard input:12: 'CutToy Oper': is skipped")


def test_standard_input_may_be_closed_or_named_once_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.run("build", "-", "-", "--out", "catalog") == (
        2,
        "",
        "camguard: -: standard input can be read once only\n",
    )
    monkeypatch.setattr("sys.stdin", None)
    assert desk.run("build", "-", "--out", "catalog")[2] == "camguard: standard input: it is closed\n"


def test_pages_of_several_services_and_shapes_are_built_together(desk: Desk) -> None:
    desk.page(shapes.html(shapes.services()["aiart"]), "aiart.html")
    desk.page(shapes.file_of("toybox", "w3m").read_text(encoding="utf-8"), "toys.w3m")
    desk.page(shapes.html(shapes.TOYS), "toys.html")
    code, out, err = desk.run("build", "aiart.html", "toys.w3m", "toys.html", "--out", "catalog")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "aiart   43 actions (8 write, 32 read, 3 other)  catalog/aiart.json (new)",
        "toybox  7 actions (3 write, 2 read, 1 list, 1 other)  catalog/toybox.json (new)",
    ]


def test_a_page_that_is_not_there_is_named(desk: Desk) -> None:
    code, out, err = desk.run("build", "toys.txt", "--out", "catalog")
    assert (code, out) == (3, "")
    assert "toys.txt" in err


# what to show, the lines
SHOWN = [
    pytest.param(
        [],
        ["toybox  Toy Box: 2 actions (2 write), resource level, IP restriction partial"],
        id="all services",
    ),
    pytest.param(
        ["toybox"],
        [
            "toybox  Toy Box",
            "2 actions (2 write), resource level, IP restriction partial",
            "console supported, authorization by tag not supported",
            "from 'Toys', 2025-01-01 00:00:00, DIGEST",
            "  AddToy  write   operation",
            "  BuyToy  write   resource  qcs::toybox::uin/${uin}:toy/${toyId}  no IP restriction",
        ],
        id="a service",
    ),
    pytest.param(
        ["name/toybox:BuyToy"],
        [
            "toybox:BuyToy",
            "  access          write",
            "  granularity     resource",
            "  resources       qcs::toybox::uin/${uin}:toy/${toyId}",
            "  ip_restriction  no",
            "  description     buys a toy",
        ],
        id="an action",
    ),
]


@pytest.mark.parametrize(("what", "lines"), SHOWN)
def test_show(what: list[str], lines: list[str], desk: Desk) -> None:
    folder = desk.built()
    digest: str = json.loads((desk.folder / folder / "toybox.json").read_bytes())["pages"][0]["sha256"]
    code, out, _ = desk.run("show", *what, "--catalog", folder)
    assert code == 0
    assert out.splitlines() == [line.replace("DIGEST", digest[:12]) for line in lines]


def test_show_points_to_how_resources_are_bound(desk: Desk) -> None:
    folder = desk.built()
    err = desk.run("show", "toybox:BuyToy", "--catalog", folder)[2]
    assert err == f"note: {FORMAT} says how resources are bound\n"
    assert "## How a resource is bound" in FORMAT.read_text(encoding="utf-8")
    assert desk.run("show", "toybox:AddToy", "--catalog", folder)[2] == ""
    assert desk.run("show", "toybox:BuyToy", "--catalog", folder, "--format", "json")[2] == ""


def example() -> dict[str, Any]:
    """Return the catalog file that FORMAT.md shows."""
    (block,) = re.findall(
        r"^```json\n(.*?)^```$", FORMAT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    tree: dict[str, Any] = json.loads(block)
    return tree


def test_the_file_that_is_shown_for_writing_by_hand_is_one(desk: Desk) -> None:
    (desk.folder / "toybox.json").write_text(json.dumps(example()), encoding="utf-8")
    code, out, _ = desk.run("show", "toybox:BreakToys", "--catalog", "toybox.json")
    assert code == 0
    assert "  bind            toyId = ToyIds" in out


def test_show_has_what_people_added(desk: Desk) -> None:
    file = desk.folder / desk.built() / "toybox.json"
    tree: dict[str, Any] = json.loads(file.read_bytes())
    tree["actions"][1] |= {"bind": {"toyId": "ToyIds"}, "match": "any", "version": "2022-12-29"}
    tree["actions"][0] |= {
        "resources": [],
        "unreadable": ["qcs::bad"],
        "granularity": "resource",
        "description": "",
    }
    file.write_text(json.dumps(tree), encoding="utf-8")
    out = desk.run("show", "toybox:BuyToy", "--catalog", str(file))[1]
    assert "  bind            toyId = ToyIds" in out
    assert "  match           any" in out
    assert "  version         2022-12-29" in out
    out = desk.run("show", "toybox:AddToy", "--catalog", str(file))[1]
    assert "  resources       none" in out
    assert "  description     none" in out
    assert "unreadable: qcs::bad" in desk.run("show", "toybox", "--catalog", str(file))[1]


def test_show_in_json(desk: Desk) -> None:
    folder = desk.built()
    services = json.loads(desk.run("show", "--catalog", folder, "--format", "json")[1])["services"]
    assert [(s["service"], s["actions"]["write"]) for s in services] == [("toybox", 2)]
    service = json.loads(desk.run("show", "toybox", "--catalog", folder, "--format", "json")[1])
    assert [row["name"] for row in service["rows"]] == ["AddToy", "BuyToy"]
    action = json.loads(desk.run("show", "toybox:AddToy", "--catalog", folder, "--format", "json")[1])
    assert (action["service"], action["name"], action["resources"]) == ("toybox", "AddToy", ["*"])


def test_without_catalog_show_takes_the_settings_or_what_camguard_carries(desk: Desk) -> None:
    assert "intlpartnersmgt  International Partners Management: 238 actions" in desk.run("show")[1]
    assert main(["init", "made"]) == 0
    desk.built(out="made/catalog")
    (desk.folder / "camguard.toml").write_text('[catalog]\npath = "made/catalog"\n', encoding="utf-8")
    assert "toybox" in desk.run("show")[1]


# the name that is requested, a part of what is printed
UNKNOWN = [
    pytest.param("toybox:AddTo", "no such action (did you mean 'toybox:AddToy'?)", id="a near action"),
    pytest.param("toybox:Zzzz", "no such action\n", id="an action like no other"),
    pytest.param("AddToys", "no such service (did you mean 'toybox:AddToy'?)", id="no service"),
    pytest.param("toybx", "no such service (did you mean 'toybox'?)", id="a near service"),
]


@pytest.mark.parametrize(("what", "says"), UNKNOWN)
def test_what_does_not_exist_is_reported_with_what_is_near(what: str, says: str, desk: Desk) -> None:
    code, out, err = desk.run("show", what, "--catalog", desk.built())
    assert (code, out) == (2, "")
    assert says in err


def test_diff_lists_rows_and_fails_only_with_the_option(desk: Desk) -> None:
    old = desk.built()
    changed = PAGE.replace("AddToy adds a toy Operation level * Supported\n", "").replace(
        "qcs::toybox::uin/${uin}:toy/${toyId} not supported", "* Supported"
    )
    new = desk.built(changed + READ, out="later")
    code, out, err = desk.run("diff", old, new)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "+ toybox:GetToy (read, operation)",
        "- toybox:AddToy (write, operation)",
        "~ toybox:BuyToy resources: qcs::toybox::uin/${uin}:toy/${toyId} -> *; ip_restriction: no -> yes",
    ]
    assert desk.run("diff", old, new, "--fail-on", "any")[0] == 8
    assert desk.run("diff", old, old, "--fail-on", "any") == (0, "", "no change\n")


def test_diff_of_whole_services(desk: Desk) -> None:
    old, new = desk.built(), desk.built(PAGE.replace("toybox", "attic"), out="later")
    lines = desk.run("diff", old, new)[1].splitlines()
    assert lines[:2] == ["+ attic", "- toybox"]
    assert "+ attic:BuyToy (write, resource  qcs::attic::uin/${uin}:toy/${toyId}, no IP restriction)" in lines


def test_diff_in_json(desk: Desk) -> None:
    old, new = desk.built(), desk.built(PAGE.replace("adds a toy", "adds") + READ, out="later")
    report = json.loads(desk.run("diff", old, new, "--format", "json")[1])
    assert [row["name"] for row in report.pop("added")] == ["GetToy"]
    assert report == {
        "schema": 1,
        "services_added": [],
        "services_removed": [],
        "removed": [],
        "changed": {"toybox:AddToy": {"description": {"old": "adds a toy", "new": "adds"}}},
    }


def test_diff_reports_the_problems_of_both_sides(desk: Desk) -> None:
    (desk.folder / "old.json").write_text("{", encoding="utf-8")
    code, out, err = desk.run("diff", "old.json", "new.json")
    assert (code, out) == (3, "")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["old.json", "new.json"]
