"""Reads principals.json: the users, groups and roles of an account, and the policies attached to each.

Rule 1: an unknown key, an undefined group or a malformed name is an error of the bundle; nothing is skipped.
Rule 2: principals with the same policies get the same `Layers` object, which is the key of their table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from camguard.engine.layers import Layers
from camguard.errors import Problem
from camguard.grammar import APP_ID, APP_ID_RULE, ROLE, ROLE_RULE, UIN, UIN_RULE
from camguard.policy.resources import Owner
from camguard.strict_json import Check, ObjectReader, child, must, or_null, shaped, text, texts
from camguard.suggest import nearest


@dataclass(frozen=True, slots=True)
class Principals:
    """The layers of each principal (`uin/…`, `role/…`), the owner included, and a name to show for each.

    groups: the members of each group that has any, in their order.
    """

    owner: Owner
    layers: Mapping[str, Layers]
    names: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...]]


class Entry(NamedTuple):
    """One principal as the file lists it.

    name: to show. policies: those attached to the principal itself. inherited: those of its groups, without
    the ones that it has itself.
    """

    principal: str
    name: str
    kind: Literal["owner", "user", "role"]
    groups: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()
    boundary: str | None = None


class Listing(NamedTuple):
    """The content of principals.json in its order, the owner first.

    account: levels of the organisation. groups: the policies that are attached to each group.
    """

    owner: Owner
    account: tuple[tuple[str, ...], ...]
    entries: Iterator[Entry]
    groups: Mapping[str, tuple[str, ...]]


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
    owner, account, entries, _ = _read(reader, raw)
    layers = {}
    names = {}
    members: dict[str, list[str]] = {}
    for principal, name, kind, groups, policies, inherited, boundary in entries:
        identity = policies + inherited
        layers[principal] = shared(
            root=kind == "owner", account=account, identity=identity, boundary=boundary
        )
        names[principal] = name
        for group in groups:
            members.setdefault(group, []).append(principal)
    if reader.problems:
        return tuple(reader.problems)
    of_group = {name: tuple(listed) for name, listed in members.items()}
    return Principals(owner, MappingProxyType(layers), MappingProxyType(names), MappingProxyType(of_group))


def list_principals(raw: Any, source: str) -> Listing | tuple[Problem, ...]:
    """Return every principal with its groups and policies, for people, or all problems of the tree.

    raw: a tree of principals.json that `read_json` returned.
    """
    reader = ObjectReader(source, "PrincipalsError")
    listing = _read(reader, raw)
    listed = list(listing.entries)
    return tuple(reader.problems) or listing._replace(entries=iter(listed))


def _read(reader: ObjectReader, raw: Any) -> Listing:
    """Return the content of a tree. Its problems go to the reader, those of entries when they are taken."""
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
    users, roles = top.get("users", {}), top.get("roles", {})
    first = Entry(f"uin/{owner.uin}", "owner", "owner")
    entries = chain((first,), _users(reader, users, groups, owner), _roles(reader, roles))
    return Listing(owner, account, entries, groups)


def _users(
    reader: ObjectReader, raw: Any, groups: Mapping[str, tuple[str, ...]], owner: Owner
) -> Iterator[Entry]:
    for uin, user in reader.object(raw, "/users").items():
        at = child("/users", uin)
        members = reader.members(user, at, optional=_USER)
        if not UIN.fullmatch(uin):
            reader.wrong(at, f"{uin!r} is not a uin: a uin is {UIN_RULE}, else no request can name the user")
        if uin == owner.uin:
            reader.wrong(at, "is the owner, to which no policy applies; define a user with another uin")
        policies = _once(members.get("policies"))
        joined = _once(members.get("groups"))
        all_policies = [*policies]
        for i, group in enumerate(joined):
            if group not in groups:
                reader.wrong(f"{at}/groups/{i}", f"there is no group {group!r}{nearest(group, groups)}")
            all_policies += groups.get(group, ())
        inherited = _once(all_policies)[len(policies) :]
        name = members.get("name") or uin
        yield Entry(f"uin/{uin}", name, "user", joined, policies, inherited, members.get("boundary"))


def _roles(reader: ObjectReader, raw: Any) -> Iterator[Entry]:
    for name, role in reader.object(raw, "/roles").items():
        at = child("/roles", name)
        members = reader.members(role, at, optional=_ROLE)
        if not ROLE.fullmatch(name):
            reader.wrong(at, f"{name!r} is not the name of a role: {ROLE_RULE}")
        policies = _once(members.get("policies"))
        yield Entry(f"role/{name}", name, "role", (), policies, boundary=members.get("boundary"))
