"""Actions by the label of their host: which exist, and which names policies are asked for (DEC-68)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camguard.catalog.known_services import CamNames, KnownServices
from camguard.catalog.labels import api_actions
from camguard.catalog.model import Catalog, Granularity
from tests.company import action, catalog, service

TEMPLATE = "qcs::vm:::disk/${DiskId}"
KNOWN = KnownServices(
    rows={
        "disk:*": CamNames(("vm:*",), sure=True),
        "net:Rent": CamNames(("vm:RentAddress",), sure=True),
        "net:Lose": CamNames(("vm:LoseAddress",), sure=True),
        "vm:Run": CamNames(("vm:*", "money:trade"), sure=True),
    }
)
VM = service("vm", action("vm:Attach", TEMPLATE, version="2020-01-01"), "Run", "RentAddress")
DISK = service("disk", action("disk:Attach", granularity=Granularity.UNKNOWN, version="2021-01-01"))


def of(*services: object) -> Catalog:
    return replace(catalog(*services), known=KNOWN)  # type: ignore[arg-type]


# catalog, label, its actions
EXIST = [
    pytest.param(of(VM), "vm", ["Attach", "RentAddress", "Run"], id="a service by its own name"),
    pytest.param(of(VM), "disk", ["Attach", "RentAddress", "Run"],
                 id="a whole label, by the page of its service"),
    pytest.param(of(VM, DISK), "disk", ["Attach"],
                 id="a label with entries of its own has these and no others"),
    pytest.param(of(VM), "net", ["Rent"], id="one action, where the catalog lists its CAM name"),
    pytest.param(of(DISK), "net", [], id="no action, where the catalog does not list it"),
]  # fmt: skip


@pytest.mark.parametrize(("listed", "label", "names"), EXIST)
def test_which_actions_a_label_has(listed: Catalog, label: str, names: list[str]) -> None:
    assert sorted(api_actions(listed).get(label, {})) == names


def test_an_action_is_asked_for_by_the_entry_of_its_cam_name() -> None:
    found = api_actions(of(VM, DISK))["disk"]["Attach"]
    assert (found.entry.id, found.entry.version) == ("disk:Attach", "2021-01-01")
    assert [each.id for each in found.cam_actions] == ["vm:Attach"]
    assert found.cam_actions[0].resources == (TEMPLATE,)
    assert found.names == "vm:Attach"


def test_the_version_of_another_host_is_not_kept() -> None:
    assert api_actions(of(VM))["disk"]["Attach"].entry.version is None


def test_dec_67_a_cam_name_that_no_page_lists_is_a_name_alone() -> None:
    found = api_actions(of(VM))["vm"]["Run"]
    assert found.names == "vm:Run,money:trade"
    assert [each.granularity for each in found.cam_actions] == [Granularity.OPERATION, Granularity.UNKNOWN]
    assert not found.cam_actions[1].ip_restriction
