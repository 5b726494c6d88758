"""From the JSON tree of a catalog file to a `Service`, with every problem placed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from camguard import grammar
from camguard.catalog.model import Access, Action, Granularity, IpRestriction, Page, Service
from camguard.catalog.template import ANY, bindable, segments
from camguard.errors import Problem
from camguard.strict_json import Check, Fault, ObjectReader, flag, is_text, must, one_of, shaped, text, texts
from camguard.suggest import nearest

CODE: Final = "CatalogError"

_LIST: Final = must(lambda value: isinstance(value, list), "a list")


def _binding(value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict) or not all(map(is_text, value.values())):
        yield (), "must be an object of placeholder: parameter"
        return
    for name, parameter in value.items():
        if not grammar.PARAMETER.fullmatch(parameter):
            yield (name,), f"{parameter!r} is not {grammar.PARAMETER_RULE}"


_SERVICE: Final[Mapping[str, Check]] = {
    "service": shaped(grammar.SERVICE, grammar.SERVICE_RULE),
    "title": text,
    "console": flag,
    "tag_authorization": flag,
    "granularity": one_of(*(level.value for level in Granularity)),
    "ip_restriction": one_of(*(summary.value for summary in IpRestriction)),
    "pages": _LIST,
    "actions": _LIST,
}
_PAGE: Final[Mapping[str, Check]] = {
    "title": text,
    "last_updated": text,
    "sha256": shaped(re.compile(r"[0-9a-f]{64}"), "64 hexadecimal digits"),
}
_ACTION: Final[Mapping[str, Check]] = {
    "name": shaped(grammar.ACTION_NAME, grammar.ACTION_NAME_RULE),
    "access": one_of(*(access.value for access in Access)),
    "granularity": one_of(*(level.value for level in Granularity)),
    "resources": texts,
    "ip_restriction": flag,
    "description": text,
}
_FURTHER: Final[Mapping[str, Check]] = {
    "access_guessed": flag,
    "unreadable": texts,
    "version": shaped(grammar.VERSION, grammar.VERSION_RULE),
    "bind": _binding,
    "match": one_of("all", "any"),
}


def read_service(tree: Any, source: str, expected: str) -> tuple[Service | None, list[Problem]]:
    """Return the service and no problems, or None and every problem.

    source: the name of the file. expected: the service that the name of the file promises.
    """
    reader = ObjectReader(source, CODE)
    top = reader.members(tree, "", _SERVICE)
    if reader.problems:
        return None, reader.problems
    if top["service"] != expected:
        reader.wrong("/service", f"{top['service']!r} does not belong in {expected}.json")
    for index, page in enumerate(top["pages"]):
        reader.members(page, f"/pages/{index}", _PAGE)
    seen: dict[str, int] = {}
    for index, row in enumerate(top["actions"]):
        at = f"/actions/{index}"
        before = len(reader.problems)
        action = reader.members(row, at, _ACTION, _FURTHER)
        if len(reader.problems) > before:
            continue
        first = seen.setdefault(action["name"], index)
        if first != index:
            reader.wrong(f"{at}/name", f"{action['name']} is already at /actions/{first}")
        if reader.passes(action, at, _wrong_resources):
            reader.passes(action, at, _wrong_bindings)
    return (None if reader.problems else _service(tree)), reader.problems


def _wrong_bindings(action: Mapping[str, Any]) -> Iterator[Fault]:
    known = bindable(action["resources"])
    for name in action.get("bind", {}):
        if name not in known:
            yield ("bind", name), f"no last segment has this placeholder{nearest(name, known)}"


def _wrong_resources(action: Mapping[str, Any]) -> Iterator[Fault]:
    resources, unreadable = action["resources"], action.get("unreadable", [])
    if not resources and not unreadable:
        yield ("resources",), "is empty, so no call could pass"
    if resources and unreadable:
        yield ("unreadable",), "leaves resources to guesswork: `resources` must be empty"
    if len(set(resources)) != len(resources):
        yield ("resources",), "holds a template twice"
    if action["granularity"] != Granularity.RESOURCE and resources not in ([], [ANY]):
        yield ("resources",), f'must be ["*"] at {action["granularity"]} level'
    for index, template in enumerate(resources):
        if template != ANY and segments(template) is None:
            message = "is neither * nor six segments (qcs:project:service:region:account:resource)"
            yield ("resources", index), message


def _service(tree: Mapping[str, Any]) -> Service:
    name: str = tree["service"]
    return Service(
        name=name,
        title=tree["title"],
        console=tree["console"],
        tag_authorization=tree["tag_authorization"],
        granularity=Granularity(tree["granularity"]),
        ip_restriction=IpRestriction(tree["ip_restriction"]),
        actions=MappingProxyType({row["name"]: _action(name, row) for row in tree["actions"]}),
        pages=tuple(Page(p["title"], p["last_updated"], p["sha256"]) for p in tree["pages"]),
    )


def _action(service: str, row: Mapping[str, Any]) -> Action:
    return Action(
        service=service,
        name=row["name"],
        access=Access(row["access"]),
        granularity=Granularity(row["granularity"]),
        resources=tuple(row["resources"]),
        ip_restriction=row["ip_restriction"],
        description=row["description"],
        version=row.get("version"),
        bind=MappingProxyType(dict(row.get("bind", {}))),
        match=row.get("match", "all"),
        access_guessed=row.get("access_guessed", False),
        unreadable=tuple(row.get("unreadable", ())),
    )
