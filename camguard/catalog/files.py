"""Catalog files: one JSON document per service, `<service>.json`, always the same bytes for the same facts.

Beside them may stand `regions.json`, the list of known regions.

Rule 1: a folder loads whole or not at all, and every problem of every file is listed at once.
Rule 2: a field that equals its default is not written, so that a file contains facts only.
Rule 3: `services.json` in a folder of catalog files is no catalog file. It extends the known services.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from camguard import grammar
from camguard.catalog import known_services
from camguard.catalog.alternatives import MIN_FORMS, shipped, wrong_group
from camguard.catalog.known_services import read_known_services
from camguard.catalog.model import (
    ANY,
    Access,
    Action,
    Catalog,
    Granularity,
    IpRestriction,
    Page,
    Service,
    bindable,
    segments,
)
from camguard.errors import CatalogError, Problem
from camguard.files import DOCUMENT_BYTES, list_folder, read_folder, replace_files
from camguard.strict_json import (
    Check,
    Fault,
    ObjectReader,
    flag,
    is_text,
    list_of,
    must,
    one_of,
    read_json,
    shaped,
    text,
    texts,
)
from camguard.suggest import nearest

SUFFIX: Final = ".json"
REGIONS: Final = "regions.json"  # no service can have this file: it has no pages
FORMAT: Final = Path(__file__).with_name("FORMAT.md")  # describes catalog files for people who write them
CODE: Final = "CatalogError"
_LIST: Final = must(lambda value: isinstance(value, list), "a list")


def _binding(value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict) or not all(map(is_text, value.values())):
        yield (), "must be an object of placeholder: parameter"
        return
    for name, parameter in value.items():
        if not grammar.PARAMETER.fullmatch(parameter):
            yield (name,), f"{parameter!r} is not {grammar.PARAMETER_RULE}"


def _groups(value: Any) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield (), "must be a list of objects of service: form"
        return
    for index, group in enumerate(value):
        forms = list(group.values()) if isinstance(group, dict) else []
        if len(set(map(str, forms))) != len(forms) or len(forms) < MIN_FORMS or not all(map(is_text, forms)):
            yield (index,), "must be an object of two or more services, each with a form of its own"


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
    "alternatives": _groups,
    "read_only": flag,
    "request_tags": list_of(
        lambda value: is_text(value) and grammar.TAG_PATH.fullmatch(value),
        grammar.TAG_PATH_RULE,
        "paths of tag parameters",
    ),
    "parameters": list_of(lambda value: value == "Region", '"Region"', '"Region"'),
}


def load_catalog(path: str | os.PathLike[str], aliases: Mapping[str, str] = MappingProxyType({})) -> Catalog:
    """Return the services of a folder of `<service>.json`, or of one such file.

    aliases: the setting `hosts.aliases`.
    Raises CatalogError with every problem found, each with its file and JSON Pointer.
    """
    return parse_catalog(read_catalog(path), aliases)


def read_catalog(path: str | os.PathLike[str]) -> Mapping[str, bytes]:
    """Return the bytes of every file of a catalog by its path. Raises CatalogError."""
    raw: dict[str, bytes] = {}
    problems: list[Problem] = []
    for file, read in read_folder(_files(Path(path)), lambda _: DOCUMENT_BYTES):
        if isinstance(read, OSError):
            problems.append(Problem(str(file), CODE, f"cannot be read: {read.strerror}"))
        else:
            raw[str(file)] = read
    if problems:
        raise CatalogError(*problems)
    return raw


def parse_catalog(files: Mapping[str, bytes], aliases: Mapping[str, str] = MappingProxyType({})) -> Catalog:
    """Return the catalog of some files. Raises CatalogError with every problem of every file.

    aliases: the setting `hosts.aliases`, host label -> service.
    """
    services: dict[str, Service] = {}
    known = known_services.carried()
    problems: list[Problem] = []
    regions: frozenset[str] = frozenset()
    for name, raw in files.items():
        try:
            if Path(name).name == known_services.FILE:
                known = known.extended(read_known_services(raw, name))
                continue
            tree = read_json(raw, name, CatalogError, CODE)
        except CatalogError as error:
            problems += error.problems
            continue
        if Path(name).name == REGIONS:
            reader = ObjectReader(name, CODE)
            regions = frozenset(reader.members(tree, "", {"regions": texts}).get("regions", ()))
            problems += reader.problems
            continue
        service, found = read_service(tree, name, expected=Path(name).stem)
        problems += found
        if service is not None:
            services[service.name] = service
    if problems:
        raise CatalogError(*problems)
    known = known.with_aliases(aliases, services, "hosts.aliases")
    return Catalog(dict(sorted(services.items())), regions, known)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = [f for f in list_folder(path) if f.suffix == SUFFIX and not f.name.startswith(".")]
    except OSError as error:
        raise CatalogError(Problem(str(path), CODE, f"cannot be read: {error.strerror}")) from None
    if all(file.name in {REGIONS, known_services.FILE} for file in found):
        raise CatalogError(Problem(str(path), CODE, f"contains no catalog file (<service>{SUFFIX})"))
    return found


def read_service(tree: Any, source: str, expected: str) -> tuple[Service | None, list[Problem]]:
    """Return the service and no problems, or None and every problem.

    source: the name of the file. expected: the service after which the file is named.
    """
    reader = ObjectReader(source, CODE)
    top = reader.members(tree, "", _SERVICE)
    if reader.problems:
        return None, reader.problems
    if top["service"] != expected:
        reader.wrong("/service", f"{top['service']!r} does not belong in {expected}.json")
    for index, page in enumerate(top["pages"]):
        reader.members(page, f"/pages/{index}", _PAGE)
    listed: dict[str, int] = {}
    for index, row in enumerate(top["actions"]):
        at = f"/actions/{index}"
        before = len(reader.problems)
        action = reader.members(row, at, _ACTION, _FURTHER)
        if len(reader.problems) > before:
            continue
        first = listed.setdefault(action["name"], index)
        if first != index:
            reader.wrong(f"{at}/name", f"{action['name']} is already at /actions/{first}")
        if reader.passes(action, at, _wrong_resources):
            reader.passes(action, at, _wrong_bindings)
            reader.passes({**action, "service": top["service"]}, at, _wrong_alternatives)
        reader.passes(action, at, _wrong_read_only)
    return (None if reader.problems else _service(tree)), reader.problems


def _wrong_bindings(action: Mapping[str, Any]) -> Iterator[Fault]:
    known = bindable(action["resources"])
    for name in action.get("bind", {}):
        if name not in known:
            yield ("bind", name), f"no last segment has this placeholder{nearest(name, known)}"


def _wrong_alternatives(action: Mapping[str, Any]) -> Iterator[Fault]:
    if action.get("alternatives") and action.get("match") == "any":
        yield ("alternatives",), 'has no use beside match = "any", by which one template is enough'
    for index, group in enumerate(action.get("alternatives", ())):
        why = wrong_group(group, action["service"], action["resources"], action.get("bind", {}))
        if why:
            yield ("alternatives", index), why


def _wrong_read_only(action: Mapping[str, Any]) -> Iterator[Fault]:
    if action.get("read_only") and action["access"] not in {Access.READ, Access.LIST}:
        yield ("read_only",), f"must not be true where the page lists the action under {action['access']}"


def _wrong_resources(action: Mapping[str, Any]) -> Iterator[Fault]:
    resources, unreadable = action["resources"], action.get("unreadable")
    if not resources and not unreadable:
        yield ("resources",), "is empty, so no call could pass"
    if resources and unreadable:
        yield ("unreadable",), "is allowed only where `resources` is empty"
    if len(set(resources)) != len(resources):
        yield ("resources",), "contains a template twice"
    if action["granularity"] != Granularity.RESOURCE and resources not in ([], [ANY]):
        yield ("resources",), f'must be ["*"] at {action["granularity"]} level'
    for index, template in enumerate(resources):
        if template != ANY and segments(template) is None:
            message = "is neither * nor six segments (qcs:project:service:region:account:resource)"
            yield ("resources", index), message


def _service(tree: Mapping[str, Any]) -> Service:
    """Return the service of a tree that passed every check."""
    name: str = tree["service"]
    return Service(
        name=name,
        title=tree["title"],
        console=tree["console"],
        tag_authorization=tree["tag_authorization"],
        granularity=Granularity(tree["granularity"]),
        ip_restriction=IpRestriction(tree["ip_restriction"]),
        actions=MappingProxyType({row["name"]: _action(name, row) for row in tree["actions"]}),
        pages=tuple(Page(**page) for page in tree["pages"]),
    )


_TYPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "access": Access,
    "granularity": Granularity,
    "resources": tuple,
    "unreadable": tuple,
    "bind": MappingProxyType,
    "alternatives": lambda groups: tuple(map(MappingProxyType, groups)),
    "request_tags": tuple,
    "parameters": tuple,
}


def _action(service: str, row: Mapping[str, Any]) -> Action:
    facts = {name: _TYPES[name](value) if name in _TYPES else value for name, value in row.items()}
    facts.setdefault("alternatives", _shipped(service, row))
    return Action(service, **facts)


def _shipped(service: str, row: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    if row.get("match") == "any":
        return ()
    return shipped(service, row["name"], row["resources"], row.get("bind", {}))


def save_all(services: Iterable[Service], folder: Path) -> list[Path]:
    """Write services into `folder`, which is created where it is missing, and return their files.

    Raises OSError as `replace_files` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / (service.name + SUFFIX): to_json(service).encode() for service in services}
    replace_files(files)
    return list(files)


def to_json(service: Service) -> str:
    """Return the text of a catalog file: sorted keys, actions by name, one line end at the end."""
    tree = {
        "service": service.name,
        "title": service.title,
        "console": service.console,
        "tag_authorization": service.tag_authorization,
        "granularity": service.granularity,
        "ip_restriction": service.ip_restriction,
        "pages": [asdict(page) for page in service.pages],
        "actions": [action_tree(service.actions[name]) for name in sorted(service.actions)],
    }
    return json.dumps(tree, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def action_tree(action: Action) -> Mapping[str, Any]:
    """Return one action as its catalog file contains it (Rule 2)."""
    facts = {name: plain(getattr(action, name)) for name in (*_ACTION, *_FURTHER)}
    given = {name for name, value in facts.items() if value and (name, value) != ("match", "all")}
    if _shipped(action.service, facts):
        given.add("alternatives")  # an empty list is a fact here: every template must be allowed
    return {name: value for name, value in facts.items() if name in _ACTION or name in given}


def plain(value: Any) -> Any:
    """Return a fact as JSON has it."""
    if isinstance(value, tuple):
        return list(map(plain, value))
    return dict(value) if isinstance(value, Mapping) else value
