"""Reads principals.json: the users, groups and roles of an account, and the policies attached to each.

Rule 1: an unknown key, an undefined group or a malformed name is an error of the bundle; nothing is skipped.
Rule 2: principals with the same policies get the same `Layers` object, which is the key of their table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from camguard.engine.layers import Layers
from camguard.errors import Problem
from camguard.grammar import APP_ID, APP_ID_RULE, ROLE, ROLE_RULE, UIN, UIN_RULE
from camguard.policy.resources import Owner
from camguard.strict_json import Check, ObjectReader, child, must, or_null, shaped, text, texts
from camguard.suggest import nearest


@dataclass(frozen=True, slots=True)
class Principals:
    """The layers of each principal (`uin/…`, `role/…`), the owner included, and a name to show for each."""

    owner: Owner
    layers: Mapping[str, Layers]
    names: Mapping[str, str]


_TEXT = or_null(text)
_TEXTS = or_null(texts)
_ANY: Check = lambda _value: ()  # noqa: E731
_OWNER = {
    "uin": shaped(UIN, f"a string of {UIN_RULE}"),
    "app_id": shaped(APP_ID, f"a string of {APP_ID_RULE}"),
}
_TOP = dict.fromkeys(("owner", "users", "groups", "roles", "account"), _ANY)
_GROUP = {"policies": _TEXTS}
_ROLE = {"policies": _TEXTS, "boundary": _TEXT}
_USER = {"name": _TEXT, "groups": _TEXTS, **_ROLE}
_LEVELS = or_null(must(lambda value: isinstance(value, list), "a list of lists of policies"))


def _once(listed: Sequence[str] | None) -> tuple[str, ...]:
    """Return texts, each once."""
    return tuple(dict.fromkeys(listed or ()))


def read_principals(raw: Any, source: str) -> Principals | tuple[Problem, ...]:
    """Return the principals in a tree of principals.json that `read_json` returned, or all its problems."""
    reader = ObjectReader(source, "PrincipalsError")
    shared = cache(Layers)  # Rule 2
    top = reader.members(raw, "", optional=_TOP)
    owner = Owner(**{"uin": "", "app_id": "", **reader.members(top.get("owner"), "/owner", _OWNER)})
    levels = top.get("account")
    account: tuple[tuple[str, ...], ...] = ()
    if reader.passes(levels, "/account", _LEVELS):
        account = tuple(
            _once(level)
            for i, level in enumerate(levels or ())
            if reader.passes(level, f"/account/{i}", _TEXTS)
        )
    groups = {
        name: _once(reader.members(group, child("/groups", name), optional=_GROUP).get("policies"))
        for name, group in reader.object(top.get("groups", {}), "/groups").items()
    }
    layers = {f"uin/{owner.uin}": shared(root=True, account=account, identity=(), boundary=None)}
    names = {f"uin/{owner.uin}": "owner"}
    for principal, name, identity, boundary in (
        *_users(reader, top.get("users", {}), groups, owner),
        *_roles(reader, top.get("roles", {})),
    ):
        layers[principal] = shared(root=False, account=account, identity=identity, boundary=boundary)
        names[principal] = name
    if reader.problems:
        return tuple(reader.problems)
    return Principals(owner, MappingProxyType(layers), MappingProxyType(names))


_Row = tuple[str, str, tuple[str, ...], str | None]  # principal, name, policies, boundary


def _users(
    reader: ObjectReader, raw: Any, groups: Mapping[str, tuple[str, ...]], owner: Owner
) -> Iterator[_Row]:
    for uin, user in reader.object(raw, "/users").items():
        at = child("/users", uin)
        members = reader.members(user, at, optional=_USER)
        if not UIN.fullmatch(uin):
            reader.wrong(at, f"{uin!r} is not a uin: a uin is {UIN_RULE}, else no request can name the user")
        if uin == owner.uin:
            reader.wrong(at, "is the owner, to which no policy applies; define a user with another uin")
        identity = list(members.get("policies") or ())
        for i, group in enumerate(_once(members.get("groups"))):
            if group not in groups:
                reader.wrong(f"{at}/groups/{i}", f"there is no group {group!r}{nearest(group, groups)}")
            identity += groups.get(group, ())
        yield f"uin/{uin}", members.get("name") or uin, _once(identity), members.get("boundary")


def _roles(reader: ObjectReader, raw: Any) -> Iterator[_Row]:
    for name, role in reader.object(raw, "/roles").items():
        at = child("/roles", name)
        members = reader.members(role, at, optional=_ROLE)
        if not ROLE.fullmatch(name):
            reader.wrong(at, f"{name!r} is not the name of a role: {ROLE_RULE}")
        yield f"role/{name}", name, _once(members.get("policies")), members.get("boundary")
