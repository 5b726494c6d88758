"""Catalog files: whole or not at all, every problem placed, the same bytes for the same facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from camguard.catalog import (
    Access,
    Action,
    Catalog,
    Granularity,
    IpRestriction,
    Page,
    Service,
    load_catalog,
    parse_catalog,
    save_all,
    to_json,
)
from camguard.catalog.files import FORMAT
from camguard.catalog.known_services import carried
from camguard.errors import CatalogError

TEMPLATE = "qcs::toybox:${region}:uin/${uin}:toy/${toyId}"

BUY = Action(
    service="toybox",
    name="BuyToy",
    access=Access.WRITE,
    granularity=Granularity.RESOURCE,
    resources=(TEMPLATE, "qcs::cvm::uin/${uin}:instance/instanceId"),
    ip_restriction=False,
    description="kauft ein Spielzeug, 买玩具",
    version="2022-12-29",
    bind={"toyId": "ToyIds", "instanceId": "Id"},
    match="any",
    request_tags=("TagSpecification[].Tags",),
    parameters=("Region",),
)
ADD = Action(
    "toybox", "AddToy", Access.OTHER, Granularity.OPERATION, ("*",), ip_restriction=True, access_guessed=True
)
BAD = Action(
    "toybox", "CutToy", Access.READ, Granularity.RESOURCE, (), ip_restriction=True, unreadable=("qcs::no",)
)
TOYBOX = Service(
    name="toybox",
    title="Toy Box",
    console=True,
    tag_authorization=False,
    granularity=Granularity.RESOURCE,
    ip_restriction=IpRestriction.PARTIAL,
    actions={action.name: action for action in (BUY, ADD, BAD)},
    pages=(Page("Toys", "2025-08-06 09:09:24", "0123456789abcdef" * 4),),
)


def plain() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(to_json(TOYBOX))
    return tree


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    (file,) = save_all([TOYBOX], tmp_path / "new" / "folder")
    assert file.name == "toybox.json"
    assert load_catalog(file) == Catalog({"toybox": TOYBOX}, known=carried())
    assert load_catalog(str(file.parent)) == load_catalog(file)
    assert [path.name for path in file.parent.iterdir()] == ["toybox.json"]


def test_the_bytes_do_not_depend_on_the_order_of_actions() -> None:
    turned = dict(reversed(list(TOYBOX.actions.items())))
    text = to_json(TOYBOX)
    assert text == to_json(Service(**{**_fields(TOYBOX), "actions": turned}))
    assert text == json.dumps(plain(), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert "买玩具" in text
    assert [row["name"] for row in plain()["actions"]] == ["AddToy", "BuyToy", "CutToy"]


def _fields(service: Service) -> dict[str, Any]:
    return {name: getattr(service, name) for name in Service.__slots__}


def test_defaults_are_not_written() -> None:
    assert plain()["actions"][0] == {
        "access": "other",
        "access_guessed": True,
        "description": "",
        "granularity": "operation",
        "ip_restriction": True,
        "name": "AddToy",
        "resources": ["*"],
    }


def test_ids_are_over_all_services(tmp_path: Path) -> None:
    other = Service(**{**_fields(TOYBOX), "name": "attic", "actions": {}})
    save_all([TOYBOX, other], tmp_path)
    catalog = load_catalog(tmp_path)
    assert list(catalog.services) == ["attic", "toybox"]
    assert set(catalog.actions) == {"toybox:AddToy", "toybox:BuyToy", "toybox:CutToy"}


def test_only_json_files_that_are_not_hidden_count(tmp_path: Path) -> None:
    save_all([TOYBOX], tmp_path)
    (tmp_path / "README.md").write_text("words", encoding="utf-8")
    (tmp_path / ".toybox.json.1.tmp").write_text("{", encoding="utf-8")
    (tmp_path / ".half.json").write_text("{", encoding="utf-8")
    assert set(load_catalog(tmp_path).services) == {"toybox"}


def test_a_failed_write_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "toybox.json").mkdir()
    with pytest.raises(OSError, match="toybox"):
        save_all([TOYBOX], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["toybox.json"]


# A member of the file of a service, and what each word stands for there.
WORDS: list[tuple[str, Mapping[str, object]]] = [
    (
        "granularity",
        {
            "service": Granularity.SERVICE,
            "operation": Granularity.OPERATION,
            "resource": Granularity.RESOURCE,
            "unknown": Granularity.UNKNOWN,
        },
    ),
    (
        "ip_restriction",
        {
            "supported": IpRestriction.SUPPORTED,
            "partial": IpRestriction.PARTIAL,
            "unsupported": IpRestriction.UNSUPPORTED,
        },
    ),
]


@pytest.mark.parametrize(("member", "words"), WORDS, ids=["granularity", "restriction by address"])
def test_the_words_of_a_file_are_these(member: str, words: Mapping[str, object]) -> None:
    for word, value in words.items():
        catalog = parse_catalog({"toybox.json": json.dumps({**plain(), member: word}).encode()})
        assert getattr(catalog.services["toybox"], member) is value


def test_loaded_facts_cannot_be_changed_and_are_members_of_their_lists() -> None:
    """The engine asks `is`, and one catalog serves all calls."""
    buy = parse_catalog({"toybox.json": to_json(TOYBOX).encode()}).actions["toybox:BuyToy"]
    assert buy.access is Access.WRITE
    assert buy.granularity is Granularity.RESOURCE
    with pytest.raises(TypeError):
        buy.bind["toyId"] = "Other"  # type: ignore[index]


def test_every_member_of_a_catalog_file_is_described() -> None:
    text, tree = FORMAT.read_text(encoding="utf-8"), plain()
    members = {*tree, *tree["pages"][0], *(each.name for each in fields(Action))} - {"service", "id"}
    assert [name for name in sorted(members) if f"`{name}`" not in text and f'"{name}"' not in text] == []


@pytest.mark.parametrize("access", [Access.READ, Access.LIST])
def test_an_action_of_a_page_of_reading_actions_may_be_read_only(access: Access) -> None:
    tree = plain()
    tree["actions"][0] |= {"access": access, "read_only": True}
    assert parse_catalog({"toybox.json": json.dumps(tree).encode()}).actions["toybox:AddToy"].read_only


def test_dec_67_only_names_are_known_of_a_service_without_a_level() -> None:
    assert Service(**{**_fields(TOYBOX), "granularity": Granularity.UNKNOWN}).names_only
    assert not TOYBOX.names_only


def test_regions_that_are_no_list_are_a_problem_of_their_file() -> None:
    with pytest.raises(CatalogError) as caught:
        parse_catalog({"regions.json": b"[]"})
    assert [problem.where for problem in caught.value.problems] == ["regions.json"]


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(tree: dict[str, Any]) -> None:
        place: Any = tree
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(tree: dict[str, Any]) -> None:
        place: Any = tree
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


# a change to a good file, the place of the problem, a part of its message
WRONG = [
    pytest.param(
        _set("service", to="attic"), "/service", "does not belong in toybox.json", id="another service"
    ),
    pytest.param(
        _set("service", to="Toy Box"), "/service", "lower-case letters and digits", id="no abbreviation"
    ),
    pytest.param(_set("title", to=1), "/title", "must be a string", id="a number for a text"),
    pytest.param(_set("console", to="yes"), "/console", "must be true or false", id="a text for a flag"),
    pytest.param(
        _set("tag_authorization", to=1),
        "/tag_authorization",
        "must be true or false",
        id="a number for a flag",
    ),
    pytest.param(
        _set("granularity", to="resourse"),
        "/granularity",
        "did you mean 'resource'?",
        id="a misspelt granularity",
    ),
    pytest.param(
        _set("ip_restriction", to=True),
        "/ip_restriction",
        "one of supported, partial",
        id="a flag for a summary",
    ),
    pytest.param(_set("pages", to={}), "/pages", "must be a list", id="pages that are no list"),
    pytest.param(_set("pages", 0, to=[]), "/pages/0", "must be an object", id="a page that is no object"),
    pytest.param(_set("pages", 0, "sha256", to="0"), "/pages/0/sha256", "64 hexadecimal", id="half a digest"),
    pytest.param(_drop("pages", 0, "title"), "/pages/0", "lacks 'title'", id="a page without title"),
    pytest.param(_set("actoins", to=[]), "/actoins", "(did you mean 'actions'", id="an unknown key"),
    pytest.param(_set("a/b~c", to=[]), "/a~1b~0c", "unknown key", id="a key that needs escaping"),
    pytest.param(_drop("actions"), "", "lacks 'actions'", id="no actions"),
    pytest.param(
        _set("actions", 0, to="AddToy"), "/actions/0", "must be an object", id="an action that is a text"
    ),
    pytest.param(
        _set("actions", 0, "name", to="Add-Toy"), "/actions/0/name", "a letter followed by", id="no API name"
    ),
    pytest.param(
        _set("actions", 1, "name", to="AddToy"),
        "/actions/1/name",
        "already at /actions/0",
        id="one name twice",
    ),
    pytest.param(
        _set("actions", 0, "access", to="Read"),
        "/actions/0/access",
        "did you mean 'read'?",
        id="a capital in the access",
    ),
    pytest.param(
        _set("actions", 0, "ip_restriction", to="supported"),
        "/actions/0/ip_restriction",
        "true or false",
        id="a summary for a flag",
    ),
    pytest.param(
        _set("actions", 0, "resources", to="*"),
        "/actions/0/resources",
        "list of strings",
        id="a text for templates",
    ),
    pytest.param(
        _set("actions", 0, "resources", to=[1]),
        "/actions/0/resources/0",
        "must be a string",
        id="a number for a template",
    ),
    pytest.param(
        _set("actions", 0, "resources", to=[]), "/actions/0/resources", "is empty", id="no template"
    ),
    pytest.param(
        _set("actions", 0, "resources", to=[TEMPLATE]),
        "/actions/0/resources",
        '["*"] at operation level',
        id="a template at operation level",
    ),
    pytest.param(
        _set("actions", 1, "resources", 0, to="qcs::a:b:c"),
        "/actions/1/resources/0",
        "six segments",
        id="five segments",
    ),
    pytest.param(
        _set("actions", 1, "resources", 1, to=TEMPLATE),
        "/actions/1/resources",
        "twice",
        id="a template twice",
    ),
    pytest.param(
        _set("actions", 2, "resources", to=["*"]),
        "/actions/2/unreadable",
        "only where `resources` is empty",
        id="unreadable and read",
    ),
    pytest.param(
        _set("actions", 1, "version", to="v2"), "/actions/1/version", "a version such as", id="no version"
    ),
    pytest.param(
        _set("actions", 1, "match", to="some"), "/actions/1/match", "one of all, any", id="no match"
    ),
    pytest.param(
        _set("actions", 1, "bind", to=[]), "/actions/1/bind", "an object", id="a binding that is a list"
    ),
    pytest.param(
        _set("actions", 1, "bind", "toyId", to=7),
        "/actions/1/bind",
        "an object",
        id="a parameter that is a number",
    ),
    pytest.param(
        _set("actions", 1, "bind", to={"toyID": "Id"}),
        "/actions/1/bind/toyID",
        "did you mean 'toyId' or",
        id="a binding of no placeholder",
    ),
    pytest.param(
        _set("actions", 1, "request_tags", to="Tags"),
        "/actions/1/request_tags",
        "a list of paths",
        id="DEC-65 tag parameters that are no list",
    ),
    *(
        pytest.param(
            _set("actions", 1, "request_tags", to=[path]),
            "/actions/1/request_tags/0",
            "the path of a tag parameter",
            id=f"DEC-65 {path!r} is no path",
        )
        for path in ("", "Tags[]", "A[].", ".A", "A.0.B", "[]", "A[0].B", 7, None, True, ["A"])
    ),
    pytest.param(
        _set("actions", 1, "parameters", to=["Action"]),
        "/actions/1/parameters/0",
        'must be "Region"',
        id="DEC-64 another common parameter",
    ),
    pytest.param(
        _set("actions", 0, "read_only", to=True),
        "/actions/0/read_only",
        "the page lists the action under other",
        id="an action that reads only, on a page of other actions",
    ),
    pytest.param(
        _set("actions", 1, "note", to="x"), "/actions/1/note", "unknown key", id="an unknown key of an action"
    ),
]


# a change to a good file, the whole message
MESSAGES = [
    pytest.param(_set("service", to="attic"), "'attic' does not belong in toybox.json", id="another service"),
    pytest.param(_set("actions", 1, "parameters", to="Region"), 'must be a list of "Region"',
                 id="DEC-64 common parameters that are no list"),
    pytest.param(_set("actions", 1, "parameters", to=["Action"]), 'must be "Region"',
                 id="DEC-64 another common parameter"),
    *(pytest.param(_set("actions", 1, "parameters", to=[value]), 'must be "Region"',
                   id=f"DEC-64 {value} is no common parameter") for value in (None, 7, True)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MESSAGES)
def test_the_message_of_a_wrong_fact(change: Callable[[dict[str, Any]], None], message: str) -> None:
    tree = plain()
    change(tree)
    with pytest.raises(CatalogError) as caught:
        parse_catalog({"toybox.json": json.dumps(tree).encode()})
    assert [(problem.code, problem.message) for problem in caught.value.problems] == [
        ("CatalogError", message)
    ]


@pytest.mark.parametrize(("change", "at", "says"), WRONG)
def test_a_wrong_fact_is_reported_with_its_place(
    change: Callable[[dict[str, Any]], None], at: str, says: str, tmp_path: Path
) -> None:
    tree = plain()
    change(tree)
    file = tmp_path / "toybox.json"
    file.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path)
    assert [problem.where for problem in caught.value.problems] == [f"{file}#{at}" if at else str(file)]
    assert says in caught.value.problems[0].message


# the bytes of a file, a part of what is said
BROKEN = [
    pytest.param(b"{", "not JSON", id="half a document"),
    pytest.param(b"[]", "must be an object", id="a list"),
    pytest.param(b'{"service": "a", "service": "b"}', "'service' appears twice", id="a key twice"),
    pytest.param(b'{"title": NaN}', "NaN is not JSON", id="no number"),
    pytest.param(b"\xff", "not UTF-8", id="no UTF-8"),
    pytest.param(b"[" * 100_000, "nested", id="nested without end"),
]


@pytest.mark.parametrize(("raw", "says"), BROKEN)
def test_a_file_that_is_no_strict_json_is_refused(raw: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "toybox.json"
    file.write_bytes(raw)
    with pytest.raises(CatalogError, match=says):
        load_catalog(file)


def test_every_problem_of_every_file_is_reported(tmp_path: Path) -> None:
    tree = plain()
    tree["title"] = None
    tree["actions"][0]["access"] = None
    tree["actions"][1]["bind"] = None
    (tmp_path / "toybox.json").write_text(json.dumps(tree), encoding="utf-8")
    (tmp_path / "attic.json").write_text("", encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path)
    # Only what is an object with the right keys is looked into.
    assert [problem.where.rpartition("/")[2] for problem in caught.value.problems] == ["attic.json", "title"]
    tree["title"] = ""
    (tmp_path / "toybox.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path / "toybox.json")
    assert [problem.where.rpartition("#")[2] for problem in caught.value.problems] == [
        "/actions/0/access",
        "/actions/1/bind",
    ]


def test_a_missing_file_and_an_empty_folder_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="No such file"):
        load_catalog(tmp_path / "toybox.json")
    with pytest.raises(CatalogError, match=r"contains no catalog file \(<service>\.json\) \[CatalogError\]$"):
        load_catalog(tmp_path)
    (tmp_path / "toybox.json").mkdir()
    with pytest.raises(CatalogError, match="is a folder, not a regular file"):
        load_catalog(tmp_path)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CatalogError, match=r"cannot be read: Permission denied \[CatalogError\]$"):
        load_catalog(tmp_path)
