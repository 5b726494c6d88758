"""The catalog, the statements and the findings that the tests of lint are written with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from camguard.catalog.model import Catalog, Granularity
from camguard.engine.action_index import ActionIndex
from camguard.ipset import AddressMap
from camguard.lint import CatalogView, Finding, Supplies, lint
from camguard.policy.document import parse_document
from tests import company
from tests.company import action, catalog, service

RESOURCE, SERVICE = Granularity.RESOURCE, Granularity.SERVICE
INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/${instanceId}"
DISK = "qcs::vm:$region:$account:disk/{diskId}"
MACHINES = (
    "qcs::tat:${region}:uin/${uin}:command/${commandId}",
    "qcs::cvm:${region}:uin/${uin}:instance/${instanceId}",
    "qcs::lighthouse:${region}:uin/${uin}:instance/${instanceId}",
)
EVERY_INSTANCE = "qcs::vm:${region}:uin/${uin}:instance/*"


_SERVICES = catalog(
    service("art", "TextToImage", "ImageToImage", "DescribeJob"),
    service("desk", action("desk:QueryUser", ip_restriction=False), "QueryUserList"),
    service(
        "vm",
        action("vm:Reboot", INSTANCE),
        action("vm:Attach", INSTANCE, DISK),
        action("vm:Run", EVERY_INSTANCE, ip_restriction=False, request_tags=("Tags",)),
        "DescribeZones",
        granularity=RESOURCE,
        tag_authorization=True,
    ),
    service(
        "tat",
        action("tat:Run", *MACHINES),
        action("tat:Either", *MACHINES, alternatives=({"cvm": "ins-*", "lighthouse": "lhins-*"},)),
        action("tat:Any", *MACHINES, match="any"),
        granularity=RESOURCE,
    ),
    service(
        "whole",
        action("whole:Do", granularity=SERVICE),
        action("whole:Undo", granularity=SERVICE),
        granularity=SERVICE,
    ),
)

CATALOG = Catalog(_SERVICES.services, frozenset(("ap-guangzhou", "ap-beijing")))
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


# A bundle without an inventory, a network whose addresses are mapped, and a key that a proxy may supply.
SUPPLIES = Supplies(AddressMap.of({"172.16.0.0/12": "203.0.113.7"}), frozenset({"cos:x"}), listed_tags=False)


def findings(*statements: Any, whole: str | None = None, **settings: Any) -> list[Finding]:
    text = whole or json.dumps({"version": "2.0", "statement": list(statements)})
    settings = {"supplies": SUPPLIES, **settings}
    return list(lint(parse_document(text, source="p.json"), VIEW, **settings))


ANY = tagged("for_any_value:string_equal", "dept&rd")
TAG = "qcs:resource_tag/env"
VM = "qcs::vm:ap-guangzhou::instance/ins-1"


def pointers(found: list[Finding], code: str) -> list[str]:
    return [finding.where.removeprefix("p.json#") for finding in found if finding.code == code]


def table_of_findings(rows: Sequence[Any]) -> Callable[..., None]:
    """Return the test of a table.

    rows: code, pointer below the first statement, statements that have the finding, statements that almost
    have it.
    """

    @pytest.mark.parametrize(("code", "where", "has", "almost"), rows)
    def test(code: str, where: str, has: list[Statement], almost: list[Statement]) -> None:
        assert pointers(findings(*has), code) == [f"/statement/0{where}"]
        assert pointers(findings(*almost), code) == []

    return test


def table_of_questions(rows: Sequence[Any]) -> Callable[..., None]:
    """Return the test of a table. rows: a statement, code, what its finding asks for."""

    @pytest.mark.parametrize(("statement", "code", "instead"), rows)
    def test(statement: Statement, code: str, instead: str) -> None:
        (finding,) = (f for f in findings(statement) if f.code == code)
        assert instead in finding.instead
        assert finding.question == f"did you mean {finding.instead}?"

    return test
