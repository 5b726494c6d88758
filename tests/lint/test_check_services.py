"""Services without a page, host labels, and actions of which only the name is known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from camguard.catalog.known_services import CamNames, KnownService, KnownServices
from camguard.catalog.model import Granularity
from camguard.engine.action_index import ActionIndex
from camguard.lint import CatalogView, Finding, lint
from camguard.policy.document import parse_document
from tests.company import action, allow, catalog, deny, service
from tests.lint.statements import CATALOG, pointers

UNKNOWN = Granularity.UNKNOWN
KNOWN = KnownServices(
    services={
        each.name: each
        for each in (
            KnownService("disk", "Disks"),
            KnownService("queue", "Queues", uses=frozenset(("vm",))),
            KnownService("newer", "Queues of today", aliases=("older",)),
            KnownService("older", "Queues of before"),
        )
    },
    rows={
        "volumes:*": CamNames(("vm:*",), sure=True),
        "art:RentImage": CamNames(("vm:Run",), sure=True),
        "maybe:*": CamNames(("vm:*",), sure=False),
    },
)
QUEUE = service(
    "queue",
    *(
        action(f"queue:{name}", granularity=UNKNOWN, ip_restriction=False, access_guessed=True)
        for name in ("Send", "Receive")
    ),
    granularity=UNKNOWN,
)
VIEW = CatalogView(ActionIndex(replace(catalog(*CATALOG.services.values(), QUEUE), known=KNOWN)))


def findings(*statements: Any) -> list[Finding]:
    text = json.dumps({"version": "2.0", "statement": list(statements)})
    return list(lint(parse_document(text, source="p.json"), VIEW))


# code, where in the statement, statements that have it, statements that almost have it
ROWS = [
    pytest.param("CG212", "/action", [deny("disk:*")], [deny("art:*")], id="a deny of a known service"),
    pytest.param("CG212", "/action", [deny("disk:Cut")], [deny("disc:Cut")], id="a deny of one action of it"),
    pytest.param("CG212", "/action/0", [allow(["disk:*", "art:*"])], [allow(["queue:*", "art:*"])],
                 id="an allow of a known service, and one of which the names are known"),
    pytest.param("CG210", "/action/1", [deny(["*", "art:*"], "qcs::vm:::instance/*")],
                 [deny(["*", "queue:*"], "qcs::vm:::instance/*")],
                 id="DEC-67 an entry of a deny that is covered, and one that blocks by naming the service"),
    pytest.param("CG203", "/action", [deny("finance:*")], [deny("disk:*")],
                 id="a deny of an unknown service"),
    pytest.param("CG213", "/action", [allow("volumes:Attach")], [allow("vm:Attach")],
                 id="DEC-68 an allow of a host label"),
    pytest.param("CG213", "/action", [deny("volumes:*")], [deny("vm:*")], id="DEC-68 a deny of a host label"),
    pytest.param("CG213", "/action", [deny("art:RentImage")], [deny("art:TextToImage")],
                 id="DEC-68 a deny of one action that is asked for under another name"),
    pytest.param("CG213", "/action", [deny("art:Rent*")], [allow("art:*")],
                 id="DEC-68 a deny of a pattern that has such an action"),
    pytest.param("CG213", "/action", [deny("volumes:Attach")], [deny("maybe:Attach")],
                 id="DEC-68 where both names are asked, the label is one of them"),
    pytest.param("CG213", "/resource", [deny("vm:*", "qcs::volumes:::disk/d-1")],
                 [deny("vm:*", "qcs::vm:::disk/d-1")], id="DEC-68 a resource after a host label"),
    pytest.param("CG310", "/resource", [allow("queue:Send", "qcs::queue:::q/1")], [allow("queue:Send")],
                 id="DEC-67 an allow on a resource of an action without a page"),
    pytest.param("CG310", "/resource", [deny("queue:Send", "qcs::art:::q/1")], [deny("queue:Send")],
                 id="DEC-67 a deny that names such an action, on any resource"),
    pytest.param("CG310", "/resource", [deny("*", "qcs::vm:::instance/ins-1")],
                 [deny("*", "qcs::whole:::instance/ins-1")],
                 id="DEC-67 a deny of everything, on a resource that such an action may use"),
    pytest.param("CG310", "/resource", [deny("*:*", "qcs:::::q/1")], [deny("art:*", "qcs:::::q/1")],
                 id="DEC-67 a deny of everything, on a resource of no named service"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "where", "has", "almost"), ROWS)
def test_a_statement_has_the_finding_or_almost(
    code: str, where: str, has: list[Any], almost: list[Any]
) -> None:
    assert pointers(findings(*has), code) == [f"/statement/0{where}"]
    assert pointers(findings(*almost), code) == []


# statement, code, a part of the message
MESSAGES = [
    pytest.param(deny("older:*"), "CG212", "which is called newer now", id="an older name"),
    pytest.param(deny("disk:*"), "CG212", "(Disks)", id="the title"),
    pytest.param(deny("volumes:Attach"), "CG213", "asked for vm:Attach", id="the CAM name"),
    pytest.param(allow("volumes:*"), "CG213", "grants nothing", id="an allow"),
    pytest.param(deny("volumes:*"), "CG213", "still blocks", id="a deny"),
]


@pytest.mark.parametrize(("statement", "code", "part"), MESSAGES)
def test_what_the_finding_says(statement: Any, code: str, part: str) -> None:
    (finding,) = (each for each in findings(statement) if each.code == code)
    assert part in finding.message


def test_a_host_label_is_no_unknown_service() -> None:
    assert {finding.code for finding in findings(deny("volumes:Attach"))} == {"CG213"}


def test_a_deny_on_resources_of_actions_without_a_page_is_not_said_to_miss_them() -> None:
    codes = {finding.code for finding in findings(deny("queue:*", "qcs::queue:::q/1"))}
    assert codes == {"CG310"}
