"""Several pages of one service: what holds, and what is told."""

from __future__ import annotations

import itertools

import pytest

from camguard.catalog.model import Service
from camguard.catalog_import.merge import unite_pages
from camguard.catalog_import.page import read_page
from tests.catalog_import.pages import PRODUCT, Cells, flat, page

OP = "Operation level"
RES = "Resource level"
SOME = "qcs::toybox::uin/${uin}:toy/$a"
ADD: Cells = ("AddToy", "adds", RES, SOME, "not supported")
BUY: Cells = ("BuyToy", "buys", OP, "*", "Supported")


def edition(date: str, *rows: Cells, title: str = "Write operations", product: Cells = PRODUCT) -> Service:
    text = f"Toys\nLast updated: {date}\n\n" if date else ""
    service = read_page((text + page((title, rows), product=product)).encode(), "x").service
    assert service is not None
    return service


OLD = ("old.txt", edition("2024-01-01 00:00:00", ADD, ("BuyToy", "kauft", OP, "*", "Supported")))
NEW = (
    "new.txt",
    edition(
        "2025-01-01 00:00:00",
        BUY,
        ("CutToy", "", OP, "*", "Supported"),
        product=(*PRODUCT[:3], "Supported", *PRODUCT[4:]),
    ),
)
LIKE = ("like.txt", edition("", BUY, title=""))


def test_rows_of_all_editions_are_there_and_the_newest_product_holds() -> None:
    service, _ = unite_pages([OLD, NEW])
    assert set(service.actions) == {"AddToy", "BuyToy", "CutToy"}
    assert service.tag_authorization
    assert service.actions["BuyToy"].description == "buys"
    assert [p.last_updated for p in service.pages] == ["2025-01-01 00:00:00", "2024-01-01 00:00:00"]


def test_what_editions_disagree_on_is_reported_at_the_older_one() -> None:
    later = ("later.txt", edition("2026-01-01", ("AddToy", "x", OP, "*", "Supported")))
    service, notes = unite_pages([OLD, later])
    assert service.actions["AddToy"].resources == ("*",)
    assert {(note.where, note.code) for note in notes} == {("old.txt", "EditionDiffers")}
    assert [note.message.split(" is ")[0] for note in notes] == [
        *("AddToy: granularity", "AddToy: resources", "AddToy: ip_restriction"),
    ]
    assert all("in later.txt, which" in note.message for note in notes)


def test_a_product_fact_that_differs_is_reported() -> None:
    _, notes = unite_pages([OLD, NEW])
    assert [note.message for note in notes] == [
        "tag_authorization is False here, but True in new.txt, which takes precedence"
    ]


def test_a_section_that_was_read_beats_one_that_was_guessed() -> None:
    guessed = ("guess.txt", edition("2026-01-01", ("AddToy", "x", RES, SOME, "not supported"), title=""))
    read = ("read.txt", edition("2020-01-01", ADD, title="Other operations"))
    service, notes = unite_pages([guessed, read])
    assert (service.actions["AddToy"].access, service.actions["AddToy"].access_guessed) == ("other", False)
    assert notes == []
    again, notes = unite_pages([("guess.txt", edition("2019-01-01", ADD, title="")), read])
    assert again.actions["AddToy"].access == "other"
    assert notes == []


@pytest.mark.parametrize(
    "order", list(itertools.permutations([OLD, NEW, LIKE])), ids=lambda order: " ".join(p for p, _ in order)
)
def test_the_order_of_pages_does_not_matter(order: tuple[tuple[str, Service], ...]) -> None:
    assert unite_pages(order) == unite_pages([OLD, NEW, LIKE])


def test_the_same_page_twice_is_one_page() -> None:
    service, notes = unite_pages([OLD, ("copy.txt", OLD[1])])
    assert service == OLD[1]
    assert notes == []


def test_a_page_without_date_is_the_oldest() -> None:
    service, _ = unite_pages([LIKE, OLD])
    assert service.actions["BuyToy"].description == "kauft"
    assert flat([ADD]).startswith("AddToy adds")
