"""The catalog, the statements and the findings that the tests of lint are written with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from camguard.catalog.model import (
    Access,
    Action,
    Catalog,
    Granularity,
    IpRestriction,
    Service,
)
from camguard.engine.action_index import ActionIndex
from camguard.lint import CatalogView, Finding, lint
from camguard.policy.document import parse_document

OPERATION, RESOURCE, SERVICE = Granularity.OPERATION, Granularity.RESOURCE, Granularity.SERVICE
INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
DISK = "qcs::vm:$region:$account:disk/{diskId}"
EVERY_INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/*"


def service(name: str, granularity: Granularity, *rows: Action, tags: bool = False) -> Service:
    return Service(
        name, name, console=True, tag_authorization=tags, granularity=granularity,
        ip_restriction=IpRestriction.PARTIAL, actions={row.name: row for row in rows},
    )  # fmt: skip


def row(action: str, level: Granularity = OPERATION, *resources: str, ip: bool = True) -> Action:
    product, _, name = action.partition(":")
    return Action(product, name, Access.READ, level, resources or ("*",), ip_restriction=ip)


CATALOG = Catalog(
    {
        one.name: one
        for one in (
            service(
                "art",
                OPERATION,
                row("art:TextToImage"),
                row("art:ImageToImage"),
                row("art:DescribeJob"),
            ),
            service("desk", OPERATION, row("desk:QueryUser", ip=False), row("desk:QueryUserList")),
            service(
                "vm",
                RESOURCE,
                row("vm:Reboot", RESOURCE, INSTANCE),
                row("vm:Attach", RESOURCE, INSTANCE, DISK),
                row("vm:Run", RESOURCE, EVERY_INSTANCE, ip=False),
                row("vm:DescribeZones"),
                tags=True,
            ),
            service("whole", SERVICE, row("whole:Do", SERVICE), row("whole:Undo", SERVICE)),
        )
    }
)

VIEW = CatalogView(ActionIndex(CATALOG))

Statement = Mapping[str, Any]


def allow(action: Any = "art:TextToImage", resource: Any = "*", **condition: Any) -> Statement:
    found = {"effect": "allow", "action": action, "resource": resource}
    return {**found, "condition": condition} if condition else found


def deny(action: Any = "art:TextToImage", resource: Any = "*", **condition: Any) -> Statement:
    return {**allow(action, resource, **condition), "effect": "deny"}


def office(*ranges: str) -> Mapping[str, Any]:
    return {"ip_equal": {"qcs:ip": list(ranges)}}


def outside(*ranges: str) -> Mapping[str, Any]:
    return {"ip_not_equal": {"qcs:ip": list(ranges)}}


def hours(start: str, end: str) -> Mapping[str, Any]:
    return {
        "date_greater_than_equal": {"qcs:current_time": f"2026-{start}T00:00:00Z"},
        "date_less_than": {"qcs:current_time": f"2026-{end}T00:00:00Z"},
    }


def tagged(operator: str, *values: str, key: str = "qcs:resource_tag") -> Mapping[str, Any]:
    return {operator: {key: list(values)}}


def any_value(**condition: Any) -> Mapping[str, Any]:
    return {f"for_any_value:{operator}": keys for operator, keys in condition.items()}


def findings(*statements: Any, whole: str | None = None, ip_support: str = "catalog") -> list[Finding]:
    text = whole or json.dumps({"version": "2.0", "statement": list(statements)})
    return list(lint(parse_document(text, source="p.json"), VIEW, ip_support=ip_support))


ANY = tagged("for_any_value:string_equal", "dept&rd")
TAG = "qcs:resource_tag/env"
VM = "qcs::vm:ap-guangzhou::instance/ins-1"


def pointers(found: list[Finding], code: str) -> list[str]:
    return [finding.where.removeprefix("p.json#") for finding in found if finding.code == code]
