"""principals.json: who there is, and which policies bind them (design 6.2).

Rule 1: a name, a group or a key that does not fit is an error of the bundle; nothing is skipped.
Rule 2: principals with the same policies get the same `Layers` object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from camguard.engine.layers import Layers
from camguard.errors import Problem
from camguard.grammar import APP_ID, APP_ID_RULE, ROLE, ROLE_RULE, UIN, UIN_RULE
from camguard.policy.resources import Owner
from camguard.strict_json import Number, child
from camguard.suggest import nearest

_TOP = ("owner", "users", "groups", "roles", "account")
_USER = ("name", "groups", "policies", "boundary")
_ROLE_KEYS = ("policies", "boundary")


@dataclass(frozen=True, slots=True)
class Principals:
    """Everybody by principal (`uin/…`, `role/…`), the owner included; `names` for people to read."""

    owner: Owner
    layers: Mapping[str, Layers]
    names: Mapping[str, str]


class _Reader:
    """Reads one document and collects what is wrong with it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._shared: dict[object, Layers] = {}

    def wrong(self, at: str, message: str) -> None:
        self.problems.append(Problem(f"{self.source}#{at}", "PrincipalsError", message))

    def members(self, raw: Any, at: str, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        """Return an object's members; with `known`, others are wrong."""
        if not isinstance(raw, dict):
            self.wrong(at, "is not an object")
            return {}
        for name in raw:
            if known is not None and name not in known:
                self.wrong(child(at, name), f"unknown key {name!r}{nearest(name, known)}")
        return raw

    def texts(self, raw: Any, at: str) -> tuple[str, ...]:
        """Return a list of texts, each once."""
        if raw is None:
            return ()
        if not isinstance(raw, list):
            self.wrong(at, "is not a list")
            return ()
        for i, item in enumerate(raw):
            if not isinstance(item, str) or isinstance(item, Number):
                self.wrong(child(at, i), "is not a string")
        return tuple(dict.fromkeys(str(item) for item in raw))

    def text(self, raw: Any, at: str) -> str | None:
        """Return a text or None."""
        if raw is not None and (not isinstance(raw, str) or isinstance(raw, Number)):
            self.wrong(at, "is neither a string nor null")
            return None
        return raw

    def shared(
        self,
        account: tuple[tuple[str, ...], ...],
        identity: tuple[str, ...],
        boundary: str | None,
        *,
        root: bool,
    ) -> Layers:
        """Return the one `Layers` of these policies."""
        key = (root, account, identity, boundary)
        if key not in self._shared:
            self._shared[key] = Layers(root, account, identity, boundary)
        return self._shared[key]


def read_principals(raw: Any, source: str) -> Principals | tuple[Problem, ...]:
    """Return the principals of a parsed principals.json, or everything that is wrong with it."""
    reader = _Reader(source)
    top = reader.members(raw, "", _TOP)
    owner = _owner(reader, top.get("owner"))
    levels = top.get("account")
    account: tuple[tuple[str, ...], ...] = ()
    if levels is not None and not isinstance(levels, list):
        reader.wrong("/account", "is not a list of lists of policies")
    elif levels:
        account = tuple(reader.texts(level or [], f"/account/{i}") for i, level in enumerate(levels))
    groups = {
        name: reader.texts(
            reader.members(group, child("/groups", name), ("policies",)).get("policies"),
            child("/groups", name) + "/policies",
        )
        for name, group in reader.members(top.get("groups", {}), "/groups").items()
    }
    layers = {f"uin/{owner.uin}": reader.shared(account, (), None, root=True)}
    names = {f"uin/{owner.uin}": "owner"}
    for principal, name, identity, boundary in (
        *_users(reader, top.get("users", {}), groups, owner),
        *_roles(reader, top.get("roles", {})),
    ):
        layers[principal] = reader.shared(account, identity, boundary, root=False)
        names[principal] = name
    if reader.problems:
        return tuple(reader.problems)
    return Principals(owner, MappingProxyType(layers), MappingProxyType(names))


def _owner(reader: _Reader, raw: Any) -> Owner:
    members = reader.members(raw, "/owner", ("uin", "app_id"))
    texts = []
    for name, shape, rule in (("uin", UIN, UIN_RULE), ("app_id", APP_ID, APP_ID_RULE)):
        value = members.get(name)
        if not isinstance(value, str) or isinstance(value, Number) or not shape.fullmatch(value):
            reader.wrong(f"/owner/{name}", f"must be a string of {rule}")
        texts.append(str(value))
    return Owner(*texts)


_Row = tuple[str, str, tuple[str, ...], str | None]  # principal, name, policies, boundary


def _users(reader: _Reader, raw: Any, groups: Mapping[str, tuple[str, ...]], owner: Owner) -> Iterator[_Row]:
    for uin, user in reader.members(raw, "/users").items():
        at = child("/users", uin)
        members = reader.members(user, at, _USER)
        if not UIN.fullmatch(uin):
            reader.wrong(at, f"{uin!r} is not a uin: a uin is {UIN_RULE}, else no request can name the user")
        if uin == owner.uin:
            reader.wrong(at, "is the owner, whom no policy binds; give people users of their own")
        identity = list(reader.texts(members.get("policies"), f"{at}/policies"))
        for i, group in enumerate(reader.texts(members.get("groups"), f"{at}/groups")):
            if group not in groups:
                reader.wrong(f"{at}/groups/{i}", f"there is no group {group!r}{nearest(group, groups)}")
            identity += groups.get(group, ())
        boundary = reader.text(members.get("boundary"), f"{at}/boundary")
        name = reader.text(members.get("name"), f"{at}/name") or uin
        yield f"uin/{uin}", name, tuple(dict.fromkeys(identity)), boundary


def _roles(reader: _Reader, raw: Any) -> Iterator[_Row]:
    for name, role in reader.members(raw, "/roles").items():
        at = child("/roles", name)
        members = reader.members(role, at, _ROLE_KEYS)
        if not ROLE.fullmatch(name):
            reader.wrong(at, f"{name!r} is not the name of a role: {ROLE_RULE}")
        identity = reader.texts(members.get("policies"), f"{at}/policies")
        yield f"role/{name}", name, identity, reader.text(members.get("boundary"), f"{at}/boundary")
