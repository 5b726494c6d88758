"""The factories that tests make catalogs, policies, bundles and calls with.

Each takes only what a test is about. A statement allows everything, an action is one that reads and is
authorized at operation level, and the company has one owner and one user, `USER`, to whom all policies are
attached.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine.call import Call
from camguard.ipset import parse_address
from camguard.policy.document import parse_policy
from camguard.policy.model import Policy

OWNER = {"uin": "100100", "app_id": "125"}
USER = "uin/100200"
OFFICE = {"ip_equal": {"qcs:ip": "10.0.0.0/8"}}
FROM_OFFICE = "10.0.0.1"

Statement = dict[str, Any]


# --- the catalog -----------------------------------------------------------------------------------------


def action(id_: str, *resources: str, **facts: Any) -> Action:
    """Return an action of the catalog, `service:Name`. With templates it is authorized on resources."""
    service, _, name = id_.partition(":")
    level = Granularity.RESOURCE if resources else Granularity.OPERATION
    usual = {"access": Access.READ, "granularity": level, "resources": resources or ("*",)}
    return Action(service, name, **{**usual, "ip_restriction": True, **facts})


def service(name: str, *actions: Action | str, **facts: Any) -> Service:
    """Return a service. An action given by its name alone is one that `action` makes."""
    rows = [each if isinstance(each, Action) else action(f"{name}:{each}") for each in actions]
    usual = {"title": name, "console": True, "tag_authorization": False, "granularity": Granularity.OPERATION}
    usual |= {"ip_restriction": IpRestriction.SUPPORTED, "actions": {row.name: row for row in rows}}
    return Service(name, **{**usual, **facts})


def catalog(*services: Service) -> Catalog:
    return Catalog({each.name: each for each in services})


# --- policies --------------------------------------------------------------------------------------------


def allow(action: Any = "aiart:*", resource: Any = "*", **condition: Any) -> Statement:
    """Return a statement; each further argument is an operator with its keys."""
    found = {"effect": "allow", "action": action, "resource": resource}
    return {**found, "condition": condition} if condition else found


def deny(action: Any = "aiart:*", resource: Any = "*", **condition: Any) -> Statement:
    return {**allow(action, resource, **condition), "effect": "deny"}


def inside(*ranges: str) -> dict[str, Any]:
    """Return the condition that the source address is in one of the ranges."""
    return {"ip_equal": {"qcs:ip": list(ranges)}}


def outside(*ranges: str) -> dict[str, Any]:
    """Return the condition that the source address is in none of the ranges."""
    return {"ip_not_equal": {"qcs:ip": list(ranges)}}


def document(*statements: Mapping[str, Any]) -> str:
    """Return the text of a policy document. What a statement leaves out is as `allow("*")` has it."""
    return json.dumps({"version": "2.0", "statement": [{**allow("*"), **each} for each in statements]})


def policy(name: str, *statements: Mapping[str, Any]) -> Policy:
    return parse_policy(document(*statements), name)


# --- who is bound by them --------------------------------------------------------------------------------


def principals(
    *attached: str, users: Mapping[str, Sequence[str]] | None = None, **more: Any
) -> dict[str, Any]:
    """Return the content of principals.json.

    attached: names of the policies of USER. users: uin -> names of policies, where there are several users.
    more: `boundary` of USER; `account`, `groups` and `roles` as principals.json has them.
    """
    own = {"policies": list(attached), "boundary": more.pop("boundary", None)}
    listed = {uin: {"policies": list(names)} for uin, names in users.items()} if users else {}
    return {"owner": OWNER, "users": listed or {USER.removeprefix("uin/"): own}, **more}


def bundle(
    policies: Sequence[Policy], catalog: Catalog, bound: Mapping[str, Any] | None = None, **settings: Any
) -> Bundle:
    """Return a bundle. bound: the content of principals.json; without it USER has every policy."""
    found = principals(*[each.id for each in policies]) if bound is None else bound
    return make_bundle({each.id: each for each in policies}, found, catalog, **settings)


def call(action: str = "aiart:TextToImage", source: str | None = FROM_OFFICE, **facts: Any) -> Call:
    """Return a call of USER on everything, at second 0, from an address as it is written."""
    place = None if source is None else parse_address(source)
    return Call(**{"principal": USER, "action": action, "source_ip": place, "time": 0.0, **facts})
