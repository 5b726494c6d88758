"""The catalog, the statements and the findings that the tests of lint are written with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from camguard.catalog.model import Granularity
from camguard.engine.action_index import ActionIndex
from camguard.lint import CatalogView, Finding, lint
from camguard.policy.document import parse_document
from tests import company
from tests.company import action, catalog, service

RESOURCE, SERVICE = Granularity.RESOURCE, Granularity.SERVICE
INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
DISK = "qcs::vm:$region:$account:disk/{diskId}"
EVERY_INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/*"


CATALOG = catalog(
    service("art", "TextToImage", "ImageToImage", "DescribeJob"),
    service("desk", action("desk:QueryUser", ip_restriction=False), "QueryUserList"),
    service(
        "vm",
        action("vm:Reboot", INSTANCE),
        action("vm:Attach", INSTANCE, DISK),
        action("vm:Run", EVERY_INSTANCE, ip_restriction=False),
        "DescribeZones",
        granularity=RESOURCE,
        tag_authorization=True,
    ),
    service(
        "whole",
        action("whole:Do", granularity=SERVICE),
        action("whole:Undo", granularity=SERVICE),
        granularity=SERVICE,
    ),
)

VIEW = CatalogView(ActionIndex(CATALOG))

Statement = Mapping[str, Any]


def allow(action: Any = "art:TextToImage", resource: Any = "*", **condition: Any) -> Statement:
    return company.allow(action, resource, **condition)


def deny(action: Any = "art:TextToImage", resource: Any = "*", **condition: Any) -> Statement:
    return company.deny(action, resource, **condition)


def hours(start: str, end: str) -> Mapping[str, Any]:
    return {
        "date_greater_than_equal": {"qcs:current_time": f"2026-{start}T00:00:00Z"},
        "date_less_than": {"qcs:current_time": f"2026-{end}T00:00:00Z"},
    }


def tagged(operator: str, *values: str, key: str = "qcs:resource_tag") -> Mapping[str, Any]:
    return {operator: {key: list(values)}}


def any_value(**condition: Any) -> Mapping[str, Any]:
    return {f"for_any_value:{operator}": keys for operator, keys in condition.items()}


def findings(*statements: Any, whole: str | None = None, **settings: str) -> list[Finding]:
    text = whole or json.dumps({"version": "2.0", "statement": list(statements)})
    return list(lint(parse_document(text, source="p.json"), VIEW, **settings))


ANY = tagged("for_any_value:string_equal", "dept&rd")
TAG = "qcs:resource_tag/env"
VM = "qcs::vm:ap-guangzhou::instance/ins-1"


def pointers(found: list[Finding], code: str) -> list[str]:
    return [finding.where.removeprefix("p.json#") for finding in found if finding.code == code]
