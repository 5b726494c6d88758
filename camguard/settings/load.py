"""Reads camguard.toml and its overrides as Settings, or raises every problem at once.

Rule 1: an unknown key is an error that names the nearest known key. A misspelt setting is never ignored.
Rule 2: an override is read by the same reader as the line of the file that it replaces.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any

from camguard.errors import Problem, SettingsError
from camguard.grammar import service_hosts
from camguard.settings import values
from camguard.settings.model import SECTIONS, Settings, default_upstream
from camguard.settings.source import PREFIX, SettingsSource, read_source
from camguard.settings.values import Faults
from camguard.strict_json import child
from camguard.strict_toml import NotTomlError, read_toml

# Variables that Kubernetes sets in every pod of a namespace with a service named camguard, or camguard-….
_SERVICE_LINK = re.compile(
    r"CAMGUARD_(?:[A-Z0-9]+_)*?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?)"
)
_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ALIKE = 0.85

KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(each.name for each in fields(kind)) for name, kind in SECTIONS.items()}
    | {"upstream": ("default",)}
)

Raw = dict[str, dict[str, tuple[object, str]]]  # section -> key -> value and where it was written


def load_settings(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in a file, overridden by `CAMGUARD_SECTION__KEY`, on top of the defaults.

    The override of a setting that is text is used as it is; any other override is a TOML literal: `8`,
    `true`, `["*"]`. Relative paths, also those of overrides, start from the folder of the file.

    Raises SettingsError with every problem found.
    """
    return parse_settings(read_source(path, environ))


def parse_settings(source: SettingsSource) -> Settings:
    """Return the settings of a source, as `load_settings` does. Raises SettingsError."""
    return parse_with_origins(source)[0]


def parse_with_origins(source: SettingsSource) -> tuple[Settings, Mapping[tuple[str, str], str]]:
    """Return the settings of a source, and where each value that is no default was written.

    The places are by section and key: the file with a JSON Pointer, or the name of an environment variable.
    Raises SettingsError.
    """
    file = source.file
    problems: list[Problem] = []
    raw = _read_document(source, problems)
    for name, value in sorted(source.environ.items()):
        if not _SERVICE_LINK.fullmatch(name):
            _override(raw, name, value, problems)
    settings = _build(raw, file.parent, problems)
    if not problems:
        problems += (
            _problem(f"{file.name}#/{pointer}", message) for pointer, message in _contradictions(settings)
        )
    if problems:
        raise SettingsError(*problems)
    places = {(section, key): where for section, keys in raw.items() for key, (_, where) in keys.items()}
    return settings, MappingProxyType(places)


def _problem(where: str, message: str) -> Problem:
    return Problem(where, "SettingsError", message)


def _pointer(*keys: str | int) -> str:
    """Return a JSON Pointer (RFC 6901), in which control characters are spelled as `repr` spells them."""
    keys = tuple(key if isinstance(key, int) or key.isprintable() else repr(key)[1:-1] for key in keys)
    return reduce(child, keys, "")


def _read_document(source: SettingsSource, problems: list[Problem]) -> Raw:
    """Return the values of known sections and keys; each unknown one adds a problem."""
    file = source.file
    try:
        document = read_toml(source.text)
    except NotTomlError as error:
        raise SettingsError(_problem(error.place(file.name), str(error))) from None
    raw: Raw = {}
    for section, content in document.items():
        where = f"{file.name}#{_pointer(section)}"
        if section not in KNOWN:
            problems.append(_problem(where, _unknown_section(section, content)))
        elif not isinstance(content, dict):
            problems.append(_problem(where, f"{values.shown(content)} is not a table; write [{section}]"))
        else:
            raw[section] = {}
            for key, value in content.items():
                at_key = f"{file.name}#{_pointer(section, key)}"
                if unknown := _unknown_key(section, key):
                    problems.append(_problem(at_key, unknown))
                else:
                    raw[section][key] = (value, at_key)
    return raw


def _override(raw: Raw, name: str, value: str, problems: list[Problem]) -> None:
    """Replace the value of the file with that of one environment variable."""
    section, parted, key = (part.lower() for part in name.removeprefix(PREFIX).partition("__"))
    if not parted:
        known = [f"{PREFIX}{each}__{key}".upper() for each, keys in KNOWN.items() for key in keys]
        nearest = get_close_matches(name, known, 1, 0)[0]
        problems.append(_problem(name, f"is not the name of a setting; did you mean {nearest}?"))
        return
    unknown = _unknown_section(section, {key: value}) if section not in KNOWN else _unknown_key(section, key)
    if unknown:
        problems.append(_problem(name, unknown))
        return
    literal: object = value
    if section != "upstream" and not isinstance(default := _default(section, key), str):
        literal = _literal(value)
        if literal is None:
            example = '["a", "b"]' if isinstance(default, list) else str(default).lower()
            problems.append(_problem(name, f"{values.shown(value)} is not a TOML literal such as {example}"))
            return
    raw.setdefault(section, {})[key] = (literal, name)


def _default(section: str, key: str) -> object:
    return next(each.metadata["raw"] for each in fields(SECTIONS[section]) if each.name == key)


def _literal(written: str) -> object:
    """Return the value of one TOML literal, or None for other text. TOML itself has no null."""
    if "\n" in written or "\r" in written:
        return None
    try:
        return read_toml(f"value = {written}".encode(errors="surrogateescape"))["value"]
    except NotTomlError:
        return None


def _unknown_section(section: str, content: object) -> str:
    """Return the message about a section that does not exist. content: its value in the file."""
    nearest = get_close_matches(section, KNOWN, 1, 0)[0]
    if not isinstance(content, dict):
        homes = [name for name, keys in KNOWN.items() if section in keys]
        if homes:
            return f"unknown section; {section} belongs to [{homes[0]}]"
    return f"unknown section; did you mean [{nearest}]?"


def _unknown_key(section: str, key: str) -> str | None:
    """Return the message about a key that its section does not have, or None."""
    known = KNOWN[section]
    if key in known:
        return None
    homes = [name for name, keys in KNOWN.items() if key in keys]
    nearest = get_close_matches(key, known, 1, 0)[0]
    if section == "upstream":
        if _SERVICE.fullmatch(key) is None:
            return f"{values.shown(key)} is neither default nor the name of a service"
        return f"did you mean {nearest}?" if get_close_matches(key, known, 1, _ALIKE) else None
    return (
        f"unknown key; did you mean {homes[0]}.{key}?"
        if homes
        else f"unknown key; did you mean {section}.{nearest}?"
    )


def _build(raw: Raw, folder: Path, problems: list[Problem]) -> Settings:
    """Return the settings. A value that its reader refuses adds a problem and is replaced by the default."""
    sections: dict[str, Any] = {}
    for name, kind in SECTIONS.items():
        written = raw.get(name, {})
        made = {}
        for each in fields(kind):
            value, where = written.get(each.name, (each.metadata["raw"], ""))
            try:
                made[each.name] = each.metadata["read"](value, folder)
            except Faults as faults:
                problems += (_problem(_inside(where, place), message) for place, message in faults.found)
        sections[name] = kind(**made)
    upstream = dict(default_upstream())
    for name, (value, where) in raw.get("upstream", {}).items():
        try:
            upstream[name] = values.upstream(value, folder)
        except Faults as faults:
            problems += (_problem(where, message) for _, message in faults.found)
    return Settings(**sections, upstream=MappingProxyType(upstream))


def _inside(where: str, place: tuple[str | int, ...]) -> str:
    return where + ("" if "#" in where or not place else "#") + _pointer(*place)


def _wrong_shared_hosts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield pointer and message for shared hosts that name a service, or lead to no upstream (T123)."""
    hosts = settings.hosts
    pattern = service_hosts(hosts.roots)
    for index, host in enumerate(hosts.shared):
        label = pattern.fullmatch(host)
        if label is not None:
            message = f"{host} names the service {label[1]} by hosts.roots, so it cannot be shared"
            yield f"hosts/shared/{index}", message
    if hosts.shared and hosts.shared_by == "upstream" and set(settings.upstream) <= {"default"}:
        message = 'needs an upstream for each service in [upstream]; or set shared_by = "header" if what'
        yield "hosts/shared", f"{message} stands behind camguard reads x-camguard-service"


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield pointer and message for settings that are valid alone and contradict each other."""
    limits, client_ip = settings.limits, settings.client_ip
    yield from _wrong_shared_hosts(settings)
    every = values.family_whole(client_ip.trusted_proxies)
    if every and not client_ip.allow_any_proxy:  # T111
        permit = "set allow_any_proxy = true to permit this"
        yield (
            "client_ip/trusted_proxies",
            f"contains all of {every}, so every client could claim any address; {permit}",
        )
    mapped = values.family_whole(client_ip.egress.keys)
    if mapped and not client_ip.allow_any_egress:  # T132
        permit = "set allow_any_egress = true to permit this"
        message = f"maps all of {mapped}, so no policy could tell two addresses of it apart; {permit}"
        yield "client_ip/egress", message
    proxied = client_ip.trusted_proxies.starts or client_ip.trust_unix_socket
    if settings.identity.mode == "header" and not proxied:
        yield (
            "identity/mode",
            '"header" accepts identity from trusted proxies only, and client_ip.trusted_proxies is empty',
        )
    yield from _attributes(settings, proxied=bool(proxied))
    yield from _sources(settings)
    if 0 < settings.policy.max_age_seconds < settings.policy.poll_seconds:
        yield "policy/max_age_seconds", "is below poll_seconds: every call would be refused between two polls"
    for small, large in (
        ("header_value_bytes", "header_bytes"),
        ("form_bytes", "body_bytes"),
        ("body_bytes", "buffered_bytes"),
    ):
        if getattr(limits, small) > getattr(limits, large):
            yield f"limits/{small}", f"is above {large}"
    yield from _listeners(settings)


def _listeners(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield pointer and message for listeners that share an address, or that nobody could use."""
    for name in ("authorizer", "authorizer_grpc"):
        if getattr(settings.gateway, name) is not None and not settings.client_ip.trusted_proxies.starts:
            yield f"gateway/{name}", "answers trusted proxies only, and client_ip.trusted_proxies is empty"
    taken: dict[values.Address, str] = {}
    for name in ("listen", "authorizer", "authorizer_grpc", "admin"):
        address = getattr(settings.gateway, name)
        if address and address.port and address in taken:
            yield f"gateway/{name}", f"{address} is already taken by gateway.{taken[address]}"
        elif address:
            taken[address] = name


def _sources(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what contradicts the sources of bundles (T109)."""
    policy, candidate = settings.policy, settings.enforcement.candidate
    places = {"policy/source": policy.source, "enforcement/candidate": candidate or ""}
    if policy.verify_key_file is not None and not any(map(values.is_url, places.values())):
        yield "policy/verify_key_file", "verifies bundles of a URL, and policy.source is a folder"
    for pointer, source in places.items():
        if policy.verify_key_file is None and values.is_exposed(source):
            message = "is a URL without TLS, so everybody on the way could replace policies; use https, or"
            yield pointer, f"{message} sign the bundles and set policy.verify_key_file"


def _attributes(settings: Settings, *, proxied: bool) -> Iterator[tuple[str, str]]:
    """Yield what contradicts the attributes header (T137). proxied: whether any peer is a trusted proxy."""
    header, keys = settings.attributes.header, settings.attributes.keys
    if header and header == settings.identity.header:
        yield "attributes/header", f"{header} is the header of identity.header; choose another name"
    if header and not keys:
        yield "attributes/keys", "lists no condition key, so every request with the header would be rejected"
    if keys and not header:
        yield "attributes/header", "names no header, so no request could supply the keys of attributes.keys"
    if header and not proxied:
        yield (
            "attributes/header",
            "attributes are accepted from trusted proxies only, and client_ip.trusted_proxies is empty",
        )
