"""The two catalogs that are shipped hold what their pages say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from camguard.catalog import Catalog, load_catalog, to_json
from camguard.catalog_import.page import read_page

WITHOUT_IP = {
    "UpdatePopUpPushStatus",
    "CheckInQnList",
    "CheckPopUpPushStatus",
    "ContractModeSwitch",
    "QueryIndirectCustomersDetail",
    "QueryUser",
}

# service, rows in all, by section, without IP restriction, the product's summary
FACTS = [
    pytest.param(
        "intlpartnersmgt",
        238,
        {"write": 66, "read": 131, "list": 38, "other": 3},
        WITHOUT_IP,
        "partial",
        id="partners",
    ),
    pytest.param("aiart", 43, {"write": 8, "read": 32, "other": 3}, set(), "supported", id="images"),
]


@pytest.fixture(scope="module")
def shipped(repository: Path) -> Catalog:
    return load_catalog(repository / "config" / "catalog")


@pytest.mark.parametrize(("service", "rows", "sections", "without", "summary"), FACTS)
def test_the_rows_of_the_page_are_there(
    service: str, rows: int, sections: dict[str, int], without: set[str], summary: str, shipped: Catalog
) -> None:
    listed = shipped.services[service]
    actions = listed.actions.values()
    assert len(actions) == rows
    assert Counter(action.access for action in actions) == sections
    assert {action.name for action in actions if not action.ip_restriction} == without
    assert listed.ip_restriction == summary
    assert {(action.granularity, action.resources) for action in actions} == {("operation", ("*",))}
    assert not any(action.access_guessed or action.unreadable for action in actions)
    assert (listed.console, listed.tag_authorization, listed.granularity) == (True, False, "operation")


# an action, its section, its description
ROWS = [
    pytest.param(
        "intlpartnersmgt:ApplyAsCampusMember",
        "write",
        "Apply to become a member of the Partner Academy",
        id="a base",
    ),
    pytest.param(
        "intlpartnersmgt:ApplyAsCampusMemberV2",
        "read",
        "Apply to become a member of the Partner Academy",
        id="its second version, in another section",
    ),
    pytest.param(
        "intlpartnersmgt:QueryRebateSummary",
        "read",
        "Query the agent's monthly rebate",
        id="three backslashes",
    ),
    pytest.param("intlpartnersmgt:SendVerifyCode", "other", "send verify code", id="the last row of a page"),
    pytest.param(
        "aiart:SubmitGlamPicJob", "other", "SubmitGlamPicJob", id="the row that the footer is glued to"
    ),
    pytest.param(
        "aiart:GetAIArtTaskList", "read", "getAIArtTaskList", id="a name in another case as description"
    ),
]


@pytest.mark.parametrize(("action", "access", "description"), ROWS)
def test_single_rows(action: str, access: str, description: str, shipped: Catalog) -> None:
    assert (shipped.actions[action].access, shipped.actions[action].description) == (access, description)


def test_only_the_description_of_recycle_voucher_has_a_curly_quote(shipped: Catalog) -> None:
    curly = [action.name for action in shipped.actions.values() if "\u2019" in action.description]
    assert curly == ["RecycleVoucher"]
    assert not any("\\" in action.description for action in shipped.actions.values())


def test_the_titles_are_the_products_and_the_pages_keep_theirs(shipped: Catalog) -> None:
    partners = shipped.services["intlpartnersmgt"]
    assert partners.title == "International Partners Management"
    assert [(page.title, page.last_updated) for page in partners.pages] == [
        ("International Partners", "2025-08-06 09:09:24")
    ]


def test_writing_them_again_gives_the_same_bytes(shipped: Catalog, repository: Path) -> None:
    for name, service in shipped.services.items():
        file = repository / "config" / "catalog" / f"{name}.json"
        assert file.read_bytes() == to_json(service).encode()


def test_the_pages_give_the_same_bytes(repository: Path) -> None:
    pages = sorted((repository.parent / "shared" / "seeds").glob("*.txt"))
    if not pages:
        pytest.skip("the pages are not here")
    for page in pages:
        reading = read_page(page.read_bytes(), page.name)
        assert reading.service is not None
        assert (reading.problems, reading.notes) == ((), ())
        file = repository / "config" / "catalog" / f"{reading.service.name}.json"
        assert file.read_bytes() == to_json(reading.service).encode()
