"""Name-only entries: what is read from client packages and lists, and what replaces what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog import Access, Granularity, load_catalog
from camguard.catalog.known_services import KnownServices
from camguard.catalog_import.names import guess_access, name_services, read_names
from camguard.cli import main
from camguard.errors import CatalogError
from camguard.exit_codes import Exit
from tests.catalog_import.pages import FILLER, page, pipe_lead

CLIENT = """
from tencentcloud.common.abstract_client import AbstractClient

raise RuntimeError("nothing of a source is run")

class QueueClient(AbstractClient):
    _apiVersion = '{version}'
    _endpoint = 'queue.tencentcloudapi.com'
    _service = 'queue'

    def {first}(self, request):
        return self.call("{first}")

    def DescribeTopics(self, request):
        return self.call("DescribeTopics")

    def _private(self):
        pass

    def call_later(self):
        pass
"""


def sdk(folder: Path, version: str = "2020-02-17", first: str = "CreateTopic") -> Path:
    """Write one client of an SDK below a folder, and return the folder of the package."""
    digits = version.replace("-", "")
    place = folder / "tencentcloud" / "queuemodule" / f"v{digits}"
    place.mkdir(parents=True)
    (place / "queue_client.py").write_text(CLIENT.format(version=version, first=first))
    (place / "queue_client_async.py").write_text("class Other:\n    _endpoint = 'other.x'\n")
    return folder / "tencentcloud"


def api(folder: Path, **changes: Any) -> Path:
    place = folder / "tccli" / "services" / "queuemodule" / "v20200217"
    place.mkdir(parents=True)
    tree = {
        "metadata": {"serviceShortName": "queue", "apiVersion": "2020-02-17"},
        "actions": {"CreateTopic": {"status": "online"}, "DescribeTopics": {}},
        "objects": {},
    }
    (place / "api.json").write_text(json.dumps({**tree, **changes}))
    return folder / "tccli"


def listed(source: Path) -> list[tuple[str, str, str | None]]:
    return sorted((each.service, each.name, each.version) for each in read_names(source).actions)


BOTH = [("queue", "CreateTopic", "2020-02-17"), ("queue", "DescribeTopics", "2020-02-17")]


def test_dec_67_names_are_read_from_an_sdk_without_running_it(tmp_path: Path) -> None:
    assert listed(sdk(tmp_path)) == BOTH
    assert listed(tmp_path) == BOTH, "the folder that holds the package is enough"


def test_dec_67_names_are_read_from_the_command_line_client(tmp_path: Path) -> None:
    assert listed(api(tmp_path)) == BOTH
    assert listed(tmp_path / "tccli" / "services") == BOTH


def test_dec_67_names_are_read_from_a_list(tmp_path: Path) -> None:
    source = tmp_path / "names.txt"
    source.write_text(
        "\ufeff# ours\nqueue:CreateTopic  # a comment\n\nname/queue:DescribeTopics\nqueue:CreateTopic\n"
    )
    assert listed(source) == [("queue", "CreateTopic", None), ("queue", "DescribeTopics", None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("queue", "is not one action", id="a service alone"),
        pytest.param("Queue:Do", "'Queue' is not", id="a service in capitals"),
        pytest.param("queue:Do_It", "'Do_It' is not", id="a name that no request can carry"),
        pytest.param("# nothing", "names no action", id="comments only"),
    ],
)
def test_a_line_that_is_no_action_is_a_problem(tmp_path: Path, line: str, message: str) -> None:
    source = tmp_path / "names.txt"
    source.write_text(line)
    (problem,) = read_names(source).problems
    assert message in problem.message


def test_a_folder_that_is_no_package_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="neither the clients of an SDK"):
        read_names(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"metadata": {}}, id="no label"),
        pytest.param({"metadata": []}, id="metadata that is a list"),
        pytest.param({"actions": []}, id="actions that are a list"),
    ],
)
def test_a_file_of_another_form_is_a_problem(tmp_path: Path, changes: dict[str, Any]) -> None:
    (problem,) = read_names(api(tmp_path, **changes)).problems
    assert "names no actions" in problem.message


@pytest.mark.parametrize(
    ("name", "access"),
    [
        ("DescribeTopics", Access.READ),
        ("QueryUser", Access.READ),
        ("ListTopics", Access.LIST),
        ("CheckName", Access.READ),
        ("ExportTopics", Access.READ),
        ("CheckoutCart", Access.WRITE),
        ("VerifyCode", Access.WRITE),
        ("CreateTopic", Access.WRITE),
        ("Describer", Access.WRITE),
        ("describeTopics", Access.WRITE),
        ("GETIt", Access.WRITE),
        ("X", Access.WRITE),
    ],
)
def test_access_is_guessed_from_the_first_word(name: str, access: Access) -> None:
    assert guess_access(name) is access


def test_an_entry_knows_nothing_but_its_name(tmp_path: Path) -> None:
    (service,) = name_services([read_names(sdk(tmp_path))], KnownServices())
    entry = service.actions["CreateTopic"]
    assert service.names_only
    assert (entry.granularity, entry.resources, entry.ip_restriction) == (Granularity.UNKNOWN, ("*",), False)
    assert (entry.access, entry.access_guessed, entry.version) == (Access.WRITE, True, "2020-02-17")


def test_an_action_of_several_versions_is_bound_to_none(tmp_path: Path) -> None:
    sdk(tmp_path)
    sdk(tmp_path, "2021-01-01", "DeleteTopic")
    (service,) = name_services([read_names(tmp_path)], KnownServices())
    assert {name: entry.version for name, entry in service.actions.items()} == {
        "CreateTopic": "2020-02-17",
        "DeleteTopic": "2021-01-01",
        "DescribeTopics": None,
    }


PRODUCT = ("Queue", "queue", "Supported", "not supported", "Resource level", "Partially supported")
ROWS = [FILLER, ("DescribeTopics", "topics", "Operation level", "*", "Supported")]


def build(*arguments: str | Path) -> int:
    return main(["catalog", "build", *map(str, arguments)])


def test_dec_67_a_page_replaces_names_and_names_never_replace_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, source, saved = tmp_path / "catalog", sdk(tmp_path), tmp_path / "queue.txt"
    saved.write_text(page(("Write operations", ROWS), product=PRODUCT, lay=pipe_lead))
    assert build("--names", source, "--out", out) == Exit.OK
    assert load_catalog(out).services["queue"].names_only
    assert build("--names", source, "--out", out) == Exit.OK
    assert "unchanged" in capsys.readouterr().out
    assert build(saved, "--out", out) == Exit.OK, capsys.readouterr().err
    assert "1 names that the page does not list are dropped (CreateTopic)" in capsys.readouterr().err
    by_page = load_catalog(out).actions
    assert sorted(by_page) == ["queue:DescribeTopics", "queue:Zip"]
    assert by_page["queue:DescribeTopics"].granularity is Granularity.OPERATION
    assert build("--names", source, "--out", out) == Exit.OK
    assert "queue has a page: its 2 names were not used" in capsys.readouterr().err
    assert load_catalog(out).actions == by_page


def test_names_that_a_new_release_lacks_need_a_permission(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, source = tmp_path / "catalog", tmp_path / "names.txt"
    source.write_text("queue:CreateTopic\nqueue:DeleteTopic\n")
    assert build("--names", source, "--out", out) == Exit.OK
    source.write_text("queue:CreateTopic\n")
    assert build("--names", source, "--out", out) == Exit.INVALID
    assert "1 row would be lost (DeleteTopic)" in capsys.readouterr().err
    assert build("--names", source, "--out", out, "--allow-shrink") == Exit.OK
    assert list(load_catalog(out).actions) == ["queue:CreateTopic"]


def test_a_build_of_nothing_is_a_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("--out", tmp_path) == Exit.USAGE
    assert "--names" in capsys.readouterr().err
