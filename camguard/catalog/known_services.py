"""The services that are known by name, with or without a page: abbreviations, host labels, who is asked.

camguard carries `services.json`. An operator extends it by a file of the same form, `services.json` in the
folder of the catalog: an entry there replaces the carried entry of the same name as a whole.

Rule 1: what this data says about a name never makes an action exist. Only catalog files do (DEC-2).
Rule 2: a host label is the abbreviation that policies use, except where a row of `asks` says otherwise
        (DEC-68). A row that is not sure asks for the label's own name, too, so that a wrong row cannot widen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from camguard import grammar
from camguard.errors import CatalogError, Problem
from camguard.files import DOCUMENT_BYTES, read_file
from camguard.strict_json import (
    Check,
    ObjectReader,
    child,
    flag,
    is_text,
    list_of,
    must,
    read_json,
    text,
    texts,
)

FILE: Final = "services.json"
_CODE: Final = "CatalogError"
_ALL: Final = "*"
_MOST_NAMES = 4  # that policies are asked for one call

_SERVICE = grammar.SERVICE
_CAM_NAME = re.compile(rf"{_SERVICE.pattern}:(?:\*|{grammar.ACTION_NAME.pattern})")
_CAM_NAME_RULE = "an action such as cvm:RunInstances, or all actions of a service such as cvm:*"


def _shaped(pattern: re.Pattern[str]) -> Any:
    return lambda value: is_text(value) and pattern.fullmatch(value)


_SERVICES: Final = list_of(_shaped(_SERVICE), grammar.SERVICE_RULE, "names of services")
_TOP: Final[Mapping[str, Check]] = {
    "about": text,
    "sources": texts,
    "services": must(lambda value: isinstance(value, dict), "an object"),
    "asks": must(lambda value: isinstance(value, dict), "an object"),
}
_ENTRY: Final[Mapping[str, Check]] = {
    "title": text,
    "hosts": list_of(_shaped(_SERVICE), grammar.SERVICE_RULE, "host labels"),
    "versions": list_of(_shaped(grammar.VERSION), grammar.VERSION_RULE, "versions"),
    "aliases": _SERVICES,
    "uses": _SERVICES,
    "evidence": texts,  # where the abbreviation was found, for readers of the file only
}
_ROW: Final[Mapping[str, Check]] = {
    "names": list_of(_shaped(_CAM_NAME), _CAM_NAME_RULE, "names of actions"),
    "sure": flag,
}
_ROW_FURTHER: Final[Mapping[str, Check]] = {"source": text}


@dataclass(frozen=True, slots=True)
class KnownService:
    """One service by its CAM abbreviation.

    hosts: the first labels of its API hosts. versions: of its API. aliases: names of it that older documents
    use. uses: further services whose resources its actions are known to name.
    """

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    uses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CamNames:
    """Which names policies are asked for an action, or for all actions (`*`), of a host label.

    names: `service:Name`, or `service:*` for the same name in another service. sure: False where the names
    are not proved; the label's own name is then asked for, too.
    """

    names: tuple[str, ...]
    sure: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class KnownServices:
    """Everything that is known of services by name. rows: by `label:Name` and `label:*`."""

    services: Mapping[str, KnownService] = field(default_factory=lambda: MappingProxyType({}))
    rows: Mapping[str, CamNames] = field(default_factory=lambda: MappingProxyType({}))

    def cam_names(self, label: str, action: str) -> tuple[str, ...]:
        """Return the names, `service:Name`, that policies are asked for one action of a host label (DEC-68).

        Every one of them must be allowed, and none denied.
        """
        row = self.rows.get(f"{label}:{action}") or self.rows.get(f"{label}:{_ALL}")
        own = f"{label}:{action}"
        if row is None:
            return (own,)
        names = [name[:-1] + action if name.endswith(_ALL) else name for name in row.names]
        return tuple(dict.fromkeys(names if row.sure else [*names, own]))

    def whole(self, label: str) -> str | None:
        """Return the service that all actions of a label belong to, None where that is the label itself."""
        row = self.rows.get(f"{label}:{_ALL}")
        found = [name[:-2] for name in row.names if name.endswith(":" + _ALL)] if row else []
        return found[0] if found and found[0] != label else None

    def uses(self, service: str) -> frozenset[str]:
        """Return the further services whose resources the actions of a service are known to name."""
        entry = self.services.get(service)
        return entry.uses if entry else frozenset()

    def successors(self, name: str) -> tuple[str, ...]:
        """Return the services of which a name is an older one."""
        return tuple(sorted(each.name for each in self.services.values() if name in each.aliases))

    def extended(self, more: KnownServices) -> KnownServices:
        """Return these entries with those of `more`, which replace the ones of the same name."""
        services, rows = {**self.services, **more.services}, {**self.rows, **more.rows}
        return KnownServices(MappingProxyType(services), MappingProxyType(rows))

    def with_aliases(self, aliases: Mapping[str, str], catalog: Iterable[str], place: str) -> KnownServices:
        """Return these entries under the setting `hosts.aliases`: host label -> service.

        catalog: the services that have catalog entries. place: of the setting, in problems. Raises
        CatalogError for an alias that hides one of these services (DEC-68).
        """
        hidden = sorted(set(aliases) & set(catalog))
        if hidden:
            message = "is a service with catalog entries of its own, which this alias would hide"
            raise CatalogError(*(Problem(f"{place}.{label}", "SettingsError", message) for label in hidden))
        rows = {
            f"{label}:{_ALL}": CamNames((f"{service}:{_ALL}",), sure=True, source="hosts.aliases")
            for label, service in aliases.items()
        }
        return self.extended(KnownServices(rows=rows)) if rows else self


NOTHING_KNOWN: Final = KnownServices()


def read_known_services(raw: bytes, source: str) -> KnownServices:
    """Return what a `services.json` says. Raises CatalogError with every problem.

    source: the name of the file in problems.
    """
    tree = read_json(raw, source, CatalogError, _CODE)
    reader = ObjectReader(source, _CODE)
    top = reader.members(tree, "", optional=_TOP)
    services, listed = top.get("services", {}), top.get("asks", {})
    _check_services(reader, services)
    _check_rows(reader, listed)
    if reader.problems:
        raise CatalogError(*reader.problems)
    rows = {
        name: CamNames(tuple(row["names"]), row["sure"], row.get("source", ""))
        for name, row in listed.items()
    }
    for name, entry in services.items():  # a label of another name belongs to the service, but is not proved
        for label in entry.get("hosts", ()):
            if label != name:
                rows.setdefault(f"{label}:{_ALL}", CamNames((f"{name}:{_ALL}",), sure=False))
    known = {name: _entry(name, entry) for name, entry in services.items()}
    return KnownServices(MappingProxyType(known), MappingProxyType(rows))


def _check_services(reader: ObjectReader, services: Mapping[str, Any]) -> None:
    owner: dict[str, str] = {}
    for name, entry in services.items():
        at = child("/services", name)
        if not _SERVICE.fullmatch(name):
            reader.wrong(at, f"{name!r} is not {grammar.SERVICE_RULE}")
        good = reader.members(entry, at, {"title": text}, _ENTRY)
        for index, label in enumerate(good.get("hosts", ())):
            first = owner.setdefault(label, name)
            if first != name:
                reader.wrong(f"{at}/hosts/{index}", f"{label!r} is already a host label of {first}")


def _check_rows(reader: ObjectReader, rows: Mapping[str, Any]) -> None:
    for name, row in rows.items():
        at = child("/asks", name)
        if not _CAM_NAME.fullmatch(name):
            reader.wrong(at, f"{name!r} is not {_CAM_NAME_RULE}")
        good = reader.members(row, at, _ROW, _ROW_FURTHER)
        if "names" in good and not 1 <= len(good["names"]) <= _MOST_NAMES:
            reader.wrong(f"{at}/names", f"must list 1 to {_MOST_NAMES} names")


def _entry(name: str, entry: Mapping[str, Any]) -> KnownService:
    lists = {key: tuple(entry.get(key, ())) for key in ("hosts", "versions", "aliases")}
    return KnownService(name, entry["title"], uses=frozenset(entry.get("uses", ())), **lists)


def carried_file() -> Path:
    """Return the `services.json` that camguard carries: in a wheel inside the package, else in `config/`."""
    package = Path(__file__).parents[1]
    wheel = package / "_starter" / FILE
    return wheel if wheel.is_file() else package.parent / "config" / FILE


@cache
def carried() -> KnownServices:
    """Return the services that camguard carries. Raises CatalogError where its file is missing or damaged."""
    file = carried_file()
    try:
        raw = read_file(file, DOCUMENT_BYTES)
    except OSError as error:
        message = f"cannot be read ({error.strerror}): install camguard again"
        raise CatalogError(Problem(str(file), _CODE, message)) from None
    return read_known_services(raw, str(file))
