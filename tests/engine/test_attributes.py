"""The attributes of a call: the variables that its principal gives a value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.catalog.model import Access, Action, Granularity
from camguard.engine.attributes import ActionTraits, bindings_of, read_only_values, values_of
from camguard.engine.call import Call, ListedTags
from camguard.policy.resources import Owner

BINDINGS = [
    pytest.param("uin/100101", {"uin": "100101"}, id="a user"),
    pytest.param("uin/100100", {"uin": "100100"}, id="the owner"),
    pytest.param("role/bot", {}, id="a role"),
    pytest.param("role/123", {}, id="a role whose name is a number"),
    pytest.param("uin/", {}, id="no number"),
    pytest.param("uin/1*", {}, id="DEC-33 what is no number"),
    pytest.param("uin/\u0661", {}, id="DEC-33 digits of another script"),
]


@pytest.mark.parametrize(("principal", "own"), BINDINGS)
def test_which_variables_have_a_value(principal: str, own: dict[str, str]) -> None:
    assert bindings_of(principal, Owner("100100", "125")) == {"owner_uin": "100100", "app_id": "125"} | own
    assert bindings_of(principal, Owner("x", "\u0661")) == own


# access of the page that lists the action, its name, further facts, values of qcs:read_only_action
READ_ONLY = [
    *(
        pytest.param(Access.READ, f"{word}Toys", {}, ("1",), id=f"DEC-56 {word} is a reading word")
        for word in [
            "Describe",
            "Get",
            "List",
            "Query",
            "Search",
            "Check",
            "Inquire",
            "Count",
            "Export",
            "Download",
        ]
    ),
    pytest.param(Access.READ, "DescribeToys", {}, ("1",), id="DEC-48 a reading word on a page of reads"),
    pytest.param(Access.LIST, "ListToys", {}, ("1",), id="DEC-48 a reading word on a page of lists"),
    pytest.param(Access.READ, "BreakToys", {}, None, id="DEC-48 no reading word on a page of reads"),
    pytest.param(
        Access.READ, "BreakToys", {"read_only": True}, ("1",), id="DEC-56 an entry that confirms it"
    ),
    pytest.param(Access.WRITE, "DescribeToys", {}, ("0",), id="DEC-48 a page of writes"),
    pytest.param(Access.OTHER, "DescribeToys", {}, None, id="DEC-48 a page of other actions"),
    pytest.param(Access.READ, "DescribeToys", {"access_guessed": True}, None, id="DEC-48 a guessed read"),
    pytest.param(Access.WRITE, "BreakToys", {"access_guessed": True}, None, id="DEC-48 a guessed write"),
]


@pytest.mark.parametrize(("access", "name", "facts", "values"), READ_ONLY)
def test_which_actions_only_read(
    access: Access, name: str, facts: dict[str, Any], values: tuple[str] | None
) -> None:
    entry = Action("toybox", name, access, Granularity.OPERATION, ("*",), ip_restriction=False)
    assert read_only_values(replace(entry, **facts)) == values


# of each name that policies are asked for: whether its service supports tags, and its granularity
LISTED = [
    pytest.param([(True, Granularity.RESOURCE)], True, id="DEC-66 an action on resources"),
    pytest.param([(True, Granularity.OPERATION)], False, id="DEC-66 an action without resources"),
    pytest.param([(False, Granularity.RESOURCE)], False, id="DEC-66 a service without tags"),
    pytest.param([(False, Granularity.RESOURCE), (True, Granularity.RESOURCE)], True,
                 id="DEC-68 the second name"),
    pytest.param([(True, Granularity.RESOURCE), (True, Granularity.OPERATION)], True,
                 id="DEC-68 the first name"),
    pytest.param([(False, Granularity.RESOURCE), (True, Granularity.OPERATION)], False, id="DEC-68 no name"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "listed"), LISTED)
def test_for_which_actions_an_inventory_lists_tags(
    names: list[tuple[bool, Granularity]], listed: bool
) -> None:
    first, *further = [
        ActionTraits(Action("toybox", "Break", Access.WRITE, granularity, ("*",), ip_restriction=False),
                     supports_ip=True, supports_tags=tags, in_catalog=True, label=None)
        for tags, granularity in names
    ]  # fmt: skip
    assert replace(first, further=tuple(further)).lists_tags is listed


# the names of an action, each with its granularity and its templates; the template of the action
TEMPLATES = [
    pytest.param([(Granularity.RESOURCE, ("qcs::toybox:$region:$account:toy/$toyId", "*"))],
                 "qcs::toybox:$region:$account:toy/$toyId", id="the first template of the name"),
    pytest.param([(Granularity.OPERATION, ("*",)), (Granularity.RESOURCE, ("qcs::toybox:::box/$boxId",))],
                 "qcs::toybox:::box/$boxId", id="DEC-68 the second name, where it alone has resources"),
    pytest.param([(Granularity.RESOURCE, ("qcs::toybox:::toy/$toyId",)),
                  (Granularity.RESOURCE, ("qcs::toybox:::box/$boxId",))],
                 "qcs::toybox:::toy/$toyId", id="DEC-68 the first of two names with resources"),
    pytest.param([(Granularity.RESOURCE, ())], None, id="a name whose page lists no template"),
    pytest.param([(Granularity.OPERATION, ("*",)), (Granularity.UNKNOWN, ("*",))], None,
                 id="CAM 11.2 names without resources"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "template"), TEMPLATES)
def test_the_template_of_the_resources_that_a_call_must_name(
    names: list[tuple[Granularity, tuple[str, ...]]], template: str | None
) -> None:
    first, *further = [
        ActionTraits(Action("toybox", "Break", Access.WRITE, granularity, templates, ip_restriction=False),
                     supports_ip=True, supports_tags=True, in_catalog=True, label=None)
        for granularity, templates in names
    ]  # fmt: skip
    assert replace(first, further=tuple(further)).resource_template == template


# granularity of the name that is asked, the tags, and what the key supplies
SUPPLIED = [
    pytest.param(Granularity.RESOURCE, ListedTags(team="a"), ("team&a",), id="DEC-66 a name with resources"),
    pytest.param(Granularity.OPERATION, ListedTags(team="a"), None, id="CAM 11.5 a name without resources"),
    pytest.param(Granularity.UNKNOWN, ListedTags(team="a"), None, id="CAM 11.5 a name without a page"),
    pytest.param(Granularity.OPERATION, {"team": "a"}, ("team&a",), id="DEC-66 tags of a call in process"),
]  # fmt: skip


@pytest.mark.parametrize(("granularity", "tags", "values"), SUPPLIED)
def test_an_inventory_supplies_tags_for_the_names_that_have_resources(
    granularity: Granularity, tags: dict[str, str], values: tuple[str, ...] | None
) -> None:
    entry = Action("toybox", "Break", Access.WRITE, granularity, ("*",), ip_restriction=False)
    traits = ActionTraits(entry, supports_ip=True, supports_tags=True, in_catalog=True, label=None)
    call = Call("uin/100101", "toybox:Break", None, None, resource_tags=tags)
    assert values_of("qcs:tag", call, traits) == values
