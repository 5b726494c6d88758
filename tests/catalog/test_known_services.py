"""Known services: what camguard carries, what an operator adds, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog import load_catalog, save_all
from camguard.catalog.known_services import carried, read_known_services
from camguard.errors import CatalogError
from tests.catalog.test_files import TOYBOX


def read(**tree: Any) -> Any:
    return read_known_services(json.dumps(tree).encode(), "services.json")


def test_what_camguard_carries() -> None:
    known = carried()
    assert len(known.services) == 351
    assert known.services["cvm"].hosts == ("cbs", "cvm")
    assert known.services["as"].versions == ("2018-04-19",)
    assert known.successors("ccs") == ("tke",)
    assert known.uses("tat") == {"cvm", "lighthouse"}
    assert known.uses("nosuch") == frozenset()


def test_every_carried_label_of_another_name_has_a_row_with_a_source() -> None:
    known = carried()
    labels = {label for each in known.services.values() for label in each.hosts if label != each.name}
    assert labels == {"apigateway", "billing", "cbs"}
    assert all(known.rows[f"{label}:*"].sure for label in labels)
    assert [key for key, row in known.rows.items() if not row.source] == []


# host label, action, the names that policies are asked for
ASKED = [
    pytest.param("cvm", "StopInstances", ["cvm:StopInstances"], id="the usual case"),
    pytest.param("nosuch", "Do", ["nosuch:Do"], id="a label that nobody knows"),
    pytest.param("cbs", "CreateDisks", ["cvm:CreateDisks"], id="DEC-68 a whole label"),
    pytest.param("billing", "PayDeals", ["finance:PayDeals"], id="DEC-68 another whole label"),
    pytest.param("vpc", "AllocateAddresses", ["cvm:AllocateAddresses"], id="DEC-68 one action of a label"),
    pytest.param("vpc", "CreateSubnet", ["vpc:CreateSubnet"], id="DEC-68 the other actions of that label"),
    pytest.param("vpc", "CreateSecurityGroupPolicies", ["vpc:CreateSecurityGroupPolicies"],
                 id="DEC-68 an action that keeps its label"),
    pytest.param("vpc", "AdjustPublicAddress", ["cvm:AdjustPublicAddress", "vpc:AdjustPublicAddress"],
                 id="DEC-68 both pages list it"),
    pytest.param("vpc", "DescribeSecurityGroupPolicies",
                 ["cvm:DescribeSecurityGroupPolicys", "vpc:DescribeSecurityGroupPolicies"],
                 id="DEC-68 another name that is not proved"),
    pytest.param("cvm", "RunInstances", ["cvm:RunInstances", "finance:trade"], id="DEC-68 an order"),
    pytest.param("dbbrain", "DescribeSlowLogTopSqls",
                 ["dmc:DescribeSlowLogTopSqls", "dbbrain:DescribeSlowLogTopSqls"], id="DEC-68 undecided"),
    pytest.param("apigateway", "DescribeExclusiveInstancesStatus",
                 ["apigateway:DescribeExclusiveInstancesStatus", "apigw:DescribeExclusiveInstancesStatus"],
                 id="DEC-68 an exception from a whole label"),
]  # fmt: skip


@pytest.mark.parametrize(("label", "action", "names"), ASKED)
def test_which_names_policies_are_asked_for(label: str, action: str, names: list[str]) -> None:
    assert list(carried().cam_names(label, action)) == names


def test_a_row_that_is_not_sure_asks_for_the_own_name_too() -> None:
    row = {"names": ["b:*"], "sure": False}
    assert read(asks={"a:Do": row}).cam_names("a", "Do") == ("b:Do", "a:Do")
    assert read(asks={"a:Do": {**row, "sure": True}}).cam_names("a", "Do") == ("b:Do",)


def test_a_host_of_another_name_without_a_row_is_not_sure() -> None:
    known = read(services={"b": {"title": "B", "hosts": ["a", "b"]}})
    assert known.cam_names("a", "Do") == ("b:Do", "a:Do")
    assert known.cam_names("b", "Do") == ("b:Do",)


def test_an_entry_of_the_operator_replaces_the_carried_one(tmp_path: Path) -> None:
    save_all([TOYBOX], tmp_path)
    more = {
        "services": {"cvm": {"title": "Machines"}, "toys": {"title": "Toys", "hosts": ["toybox"]}},
        "asks": {"cbs:*": {"names": ["cbs:*"], "sure": True}},
    }
    (tmp_path / "services.json").write_text(json.dumps(more))
    known = load_catalog(tmp_path).known
    assert (known.services["cvm"].title, known.services["cvm"].hosts) == ("Machines", ())
    assert known.cam_names("cbs", "CreateDisks") == ("cbs:CreateDisks",)
    assert known.cam_names("billing", "Pay") == ("finance:Pay",)
    assert list(load_catalog(tmp_path).services) == ["toybox"]


def test_services_json_alone_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{}")
    with pytest.raises(CatalogError, match="contains no catalog file"):
        load_catalog(tmp_path)


SERVICE = {"title": "A"}
ROW = {"names": ["a:*"], "sure": True}
WRONG = [
    pytest.param({"services": {"A b": SERVICE}}, "/services/A b", "'A b' is not", id="the name of a service"),
    pytest.param({"services": {"a/b": SERVICE}}, "/services/a~1b", "is not", id="a slash in a name"),
    pytest.param({"services": {"a": {}}}, "/services/a", "lacks 'title'", id="no title"),
    pytest.param({"services": {"a": {**SERVICE, "host": []}}}, "/services/a/host", "did you mean 'hosts'",
                 id="a misspelt key"),
    pytest.param({"services": {"a": {**SERVICE, "hosts": ["a", 1]}}}, "/services/a/hosts/1", "must be",
                 id="a host label that is a number"),
    pytest.param({"services": {"a": {**SERVICE, "versions": ["2020"]}}}, "/services/a/versions/0", "must be",
                 id="a version"),
    pytest.param({"services": {"a": {**SERVICE, "uses": ["*"]}}}, "/services/a/uses/0", "must be",
                 id="a star as a service that is used"),
    pytest.param({"services": {"a": {**SERVICE, "hosts": ["x"]}, "b": {**SERVICE, "hosts": ["x"]}}},
                 "/services/b/hosts/0", "already a host label of a", id="a host label of two services"),
    pytest.param({"asks": {"a": ROW}}, "/asks/a", "is not an action", id="a row for no action"),
    pytest.param({"asks": {"a:D*": ROW}}, "/asks/a:D*", "is not an action", id="a pattern of actions"),
    pytest.param({"asks": {"a:*": {"names": ["b:*"]}}}, "/asks/a:*", "lacks 'sure'", id="no `sure`"),
    pytest.param({"asks": {"a:*": {**ROW, "names": []}}}, "/asks/a:*/names", "must list 1 to 4",
                 id="no names"),
    pytest.param({"asks": {"a:*": {**ROW, "names": ["*"]}}}, "/asks/a:*/names/0", "must be",
                 id="every service"),
    pytest.param({"service": {}}, "/service", "did you mean 'services'", id="a misspelt section"),
    pytest.param([], "", "must be an object", id="no object"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "place", "message"), WRONG)
def test_what_is_wrong_has_a_place(tree: Any, place: str, message: str) -> None:
    with pytest.raises(CatalogError) as caught:
        read_known_services(json.dumps(tree).encode(), "services.json")
    (problem,) = caught.value.problems
    assert problem.where == ("services.json" + (f"#{place}" if place else ""))
    assert message in problem.message


def test_a_bad_services_json_is_reported_with_the_other_files(tmp_path: Path) -> None:
    save_all([TOYBOX], tmp_path)
    (tmp_path / "services.json").write_text("{")
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path)
    assert {Path(problem.where.partition("#")[0]).name for problem in caught.value.problems} == {
        "b.json",
        "services.json",
    }


def test_dec_68_an_alias_of_the_settings(tmp_path: Path) -> None:
    save_all([TOYBOX], tmp_path)
    known = load_catalog(tmp_path, {"box": "toybox"}).known
    assert known.cam_names("box", "BuyToy") == ("toybox:BuyToy",)


def test_dec_68_an_alias_that_hides_a_service_is_an_error(tmp_path: Path) -> None:
    save_all([TOYBOX], tmp_path)
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path, {"toybox": "cvm", "box": "toybox"})
    (problem,) = caught.value.problems
    assert problem.where == "hosts.aliases.toybox"
    assert "catalog entries of its own" in problem.message
