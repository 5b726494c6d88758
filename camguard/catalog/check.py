"""From the JSON tree of a catalog file to a `Service`, with every problem placed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from camguard import grammar
from camguard.catalog.model import Access, Action, Granularity, IpRestriction, Page, Service
from camguard.catalog.template import ANY, bindable, segments
from camguard.errors import Problem
from camguard.strict_json import Number, child
from camguard.suggest import nearest

CODE: Final = "CatalogError"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

# Says what is wrong with a value, or nothing.
Check = Callable[[Any], str | None]


def _text(value: Any) -> str | None:
    return None if _is_text(value) else "must be a string"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _shaped(shape: re.Pattern[str], rule: str) -> Check:
    def check(value: Any) -> str | None:
        return None if _is_text(value) and shape.fullmatch(value) else f"must be {rule}"

    return check


def _one_of(*words: str) -> Check:
    def check(value: Any) -> str | None:
        if _is_text(value) and value in words:
            return None
        return f"must be one of {', '.join(words)}{nearest(value, words) if _is_text(value) else ''}"

    return check


def _list(value: Any) -> str | None:
    return None if isinstance(value, list) else "must be a list"


def _texts(value: Any) -> str | None:
    return None if isinstance(value, list) and all(map(_is_text, value)) else "must be a list of strings"


def _binding(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(map(_is_text, value.values())):
        return "must be an object of placeholder: parameter"
    wrong = next((each for each in value.values() if not grammar.PARAMETER.fullmatch(each)), None)
    return None if wrong is None else f"{wrong!r} is not {grammar.PARAMETER_RULE}"


SERVICE_KEYS: Final[Mapping[str, Check]] = {
    "service": _shaped(grammar.SERVICE, grammar.SERVICE_RULE),
    "title": _text,
    "console": _flag,
    "tag_authorization": _flag,
    "granularity": _one_of(*(level.value for level in Granularity)),
    "ip_restriction": _one_of(*(summary.value for summary in IpRestriction)),
    "pages": _list,
    "actions": _list,
}
PAGE_KEYS: Final[Mapping[str, Check]] = {
    "title": _text,
    "last_updated": _text,
    "sha256": _shaped(_DIGEST, "64 hexadecimal digits"),
}
ACTION_KEYS: Final[Mapping[str, Check]] = {
    "name": _shaped(grammar.ACTION_NAME, grammar.ACTION_NAME_RULE),
    "access": _one_of(*(access.value for access in Access)),
    "granularity": _one_of(*(level.value for level in Granularity)),
    "resources": _texts,
    "ip_restriction": _flag,
    "description": _text,
}
OPTIONAL_ACTION_KEYS: Final[Mapping[str, Check]] = {
    "access_guessed": _flag,
    "unreadable": _texts,
    "version": _shaped(grammar.VERSION, grammar.VERSION_RULE),
    "bind": _binding,
    "match": _one_of("all", "any"),
}


def read_service(tree: Any, source: str, expected: str) -> tuple[Service | None, list[Problem]]:
    """Return the service and no problems, or None and every problem.

    source: the file's name. expected: the service that the file's name promises.
    """
    problems: list[Problem] = []

    def wrong(at: str, message: str) -> None:
        problems.append(Problem(f"{source}#{at}" if at else source, CODE, message))

    if not _object(tree, "", SERVICE_KEYS, {}, wrong):
        return None, problems
    if tree["service"] != expected:
        wrong("/service", f"{tree['service']!r} does not belong in {expected}.json")
    for index, page in enumerate(tree["pages"]):
        _object(page, f"/pages/{index}", PAGE_KEYS, {}, wrong)
    seen: dict[str, int] = {}
    for index, action in enumerate(tree["actions"]):
        at = f"/actions/{index}"
        if not _object(action, at, ACTION_KEYS, OPTIONAL_ACTION_KEYS, wrong):
            continue
        first = seen.setdefault(action["name"], index)
        if first != index:
            wrong(f"{at}/name", f"{action['name']} is already at /actions/{first}")
        _resources(action, at, wrong)
    return (None if problems else _service(tree)), problems


def _object(
    tree: Any,
    at: str,
    required: Mapping[str, Check],
    optional: Mapping[str, Check],
    wrong: Callable[[str, str], None],
) -> bool:
    """Check the keys and the kind of each value. True when nothing was wrong."""
    if not isinstance(tree, dict):
        wrong(at, "must be an object")
        return False
    known = {**required, **optional}
    found = [(child(at, name), f"unknown key{nearest(name, known)}") for name in tree if name not in known]
    found += [(at, f"lacks {name!r}") for name in required if name not in tree]
    for name, value in tree.items():
        message = known[name](value) if name in known else None
        if message is not None:
            found.append((child(at, name), message))
    for place, message in found:
        wrong(place, message)
    return not found


def _resources(action: Mapping[str, Any], at: str, wrong: Callable[[str, str], None]) -> None:
    found = list(_wrong_resources(action))
    if not found:
        known = bindable(action["resources"])
        found = [
            (child("/bind", name), f"no last segment has this placeholder{nearest(name, known)}")
            for name in action.get("bind", {})
            if name not in known
        ]
    for place, message in found:
        wrong(at + place, message)


def _wrong_resources(action: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    resources, unreadable = action["resources"], action.get("unreadable", [])
    if not resources and not unreadable:
        yield "/resources", "is empty, so no call could pass"
    if resources and unreadable:
        yield "/unreadable", "leaves resources to guesswork: `resources` must be empty"
    if len(set(resources)) != len(resources):
        yield "/resources", "holds a template twice"
    if action["granularity"] != Granularity.RESOURCE and resources not in ([], [ANY]):
        yield "/resources", f'must be ["*"] at {action["granularity"]} level'
    for index, template in enumerate(resources):
        if template != ANY and segments(template) is None:
            message = "is neither * nor six segments (qcs:project:service:region:account:resource)"
            yield f"/resources/{index}", message


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
