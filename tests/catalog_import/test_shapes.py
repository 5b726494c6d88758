"""One page gives one catalog file, byte for byte except its provenance, in every shape that people have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camguard.catalog import Service, to_json
from camguard.catalog_import.page import ParsedPage, read_page
from tests.catalog_import import shapes

SERVICES = shapes.services()
services = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def facts(service: Service) -> str:
    return to_json(replace(service, pages=()))


def same_facts(reading: ParsedPage, service: Service) -> None:
    assert (reading.problems, reading.notes) == ((), ())
    assert reading.service is not None
    assert facts(reading.service) == facts(service)


@services
@pytest.mark.parametrize("shape", shapes.WRITTEN)
def test_a_page_that_was_saved_or_copied(service: Service, shape: str) -> None:
    same_facts(read_page(shapes.WRITTEN[shape](service).encode(), "page"), service)


@pytest.mark.parametrize(("name", "shape"), shapes.STORED)
def test_a_page_that_a_program_printed(name: str, shape: str) -> None:
    reading = read_page(shapes.file_of(name, shape).read_bytes(), "page")
    same_facts(reading, SERVICES[name])
    assert reading.service is not None
    (page,) = reading.service.pages
    assert (page.title, page.last_updated) == (SERVICES[name].title, "2025-03-26 09:54:46")


@services
@pytest.mark.parametrize("shape", shapes.PROGRAMS)
def test_a_page_that_the_program_of_this_machine_prints(service: Service, shape: str) -> None:
    if not shapes.installed(shape):
        pytest.skip("the program is not installed")
    same_facts(read_page(shapes.printed(service, shape), "page"), service)


@pytest.mark.parametrize("shape", shapes.PROGRAMS)
def test_a_page_that_is_cut_at_any_line_has_no_row_that_the_whole_page_lacks(shape: str) -> None:
    raw = shapes.file_of("toybox", shape).read_bytes()
    whole = {row._replace(line=0) for row in read_page(raw, "page").rows}
    assert whole
    lines = raw.splitlines(keepends=True)
    for count in range(len(lines)):
        for end in (0, len(lines[count]) // 2):
            part = read_page(b"".join(lines[:count]) + lines[count][:end], "page")
            assert {row._replace(line=0) for row in part.rows} <= whole, (count, end)


@pytest.mark.heavy
@pytest.mark.parametrize("shape", ["HTML", "HTML of an editor", "HTML without end tags"])
def test_html_that_is_cut_anywhere_has_no_row_that_the_whole_page_lacks(shape: str) -> None:
    raw = shapes.WRITTEN[shape](SERVICES["toybox"]).encode()
    whole = {row._replace(line=0) for row in read_page(raw, "page").rows}
    for end in range(0, len(raw), 3):
        part = read_page(raw[:end], "page")
        assert {row._replace(line=0) for row in part.rows} <= whole, end
