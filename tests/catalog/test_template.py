"""Six-segment templates as documentation pages print them."""

from __future__ import annotations

import doctest
import importlib

import pytest

from camguard.catalog.model import bindable, segments
from camguard.catalog_import.words import split_cell

SIX = [
    pytest.param("qcs::cam::uin/${uin}:roleName/${roleName}", "roleName/${roleName}", id="no region"),
    pytest.param("qcs::${ApiModule}:$region:$account:*", "*", id="a placeholder for the service"),
    pytest.param("qcs::tcm:${region}:uin/${uin}:-", "-", id="a dash"),
    pytest.param(
        "qcs::cos:$region:uid/${appid}:${bucket-appid}/${key}:${x}",
        "${bucket-appid}/${key}:${x}",
        id="a colon in the resource",
    ),
    pytest.param("qcs::cvm:$region::instance/*", "instance/*", id="no account"),
]


@pytest.mark.parametrize(("template", "resource"), SIX)
def test_six_segments(template: str, resource: str) -> None:
    found = segments(template)
    assert found is not None
    assert len(found) == 6
    assert found[5] == resource


NOT_SIX = [
    pytest.param("qcs::dc::uin/${Uin}/dcx/${id}", id="five segments"),
    pytest.param("*", id="a star"),
    pytest.param("", id="nothing"),
    pytest.param("QCS::a:::b", id="capitals"),
    pytest.param("qcs:::::", id="all empty"),
    pytest.param("qcs::a:::", id="no resource"),
    pytest.param("qcs:::::b", id="no service"),
    pytest.param("acs::a::u:b", id="of another cloud"),
]


@pytest.mark.parametrize("template", NOT_SIX)
def test_not_six_segments(template: str) -> None:
    assert segments(template) is None


# a resource cell, its templates
CELLS = [
    pytest.param("*", ("*",), id="a star"),
    pytest.param("qcs::a::u:b qcs::c::u:d", ("qcs::a::u:b", "qcs::c::u:d"), id="joined by a blank"),
    pytest.param("qcs::a::u:$bqcs::c::u:d", ("qcs::a::u:$b", "qcs::c::u:d"), id="glued"),
    pytest.param("qcs::a::u: b c", ("qcs::a::u: b c",), id="blanks inside"),
    pytest.param("-", None, id="a dash"),
    pytest.param("* qcs::a::u:b", None, id="a star beside a template"),
    pytest.param("see qcs::a::u:b", None, id="words in front"),
    pytest.param("", None, id="nothing"),
]


@pytest.mark.parametrize(("cell", "templates"), CELLS)
def test_a_cell_is_split_where_templates_begin(cell: str, templates: tuple[str, ...] | None) -> None:
    assert split_cell(cell) == templates


def test_a_bare_word_of_the_resource_can_be_bound() -> None:
    assert bindable(["qcs::db:${region}:uin/${uin}:instance/instanceId"]) == {"instance", "instanceId"}


def test_what_a_call_does_not_take_from_its_parameters_cannot_be_bound() -> None:
    assert bindable(["qcs::${ApiModule}:$region:$account:*", "*", "qcs::five:segments"]) == frozenset()


@pytest.mark.parametrize("module", ["catalog.model", "catalog_import.lines", "catalog_import.words"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"camguard.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
