"""What no case can ask: answers for who is unknown, and what a layer, a call and a decision are made of."""

from __future__ import annotations

import importlib
import json
from dataclasses import is_dataclass
from typing import Any

import pytest

from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine.call import Call
from camguard.engine.decide import ACTION_UNKNOWN, PRINCIPAL_UNKNOWN
from camguard.policy.document import parse_policy

ROW = Action("aiart", "Draw", Access.READ, Granularity.OPERATION, ("*",), ip_restriction=True)
SERVICE = Service(
    "aiart", "Image", console=True, tag_authorization=False, granularity=Granularity.OPERATION,
    ip_restriction=IpRestriction.SUPPORTED, actions={"Draw": ROW},
)  # fmt: skip


def bundle(*statements: dict[str, Any]) -> Bundle:
    full = [{"effect": "allow", "action": "aiart:*", "resource": "*"} | each for each in statements]
    policy = parse_policy(json.dumps({"version": "2.0", "statement": full}), "one")
    principals = {"owner": {"uin": "100", "app_id": "125"}, "users": {"200": {"policies": ["one"]}}}
    return make_bundle({"one": policy}, principals, Catalog({"aiart": SERVICE}))


UNJUDGED = [
    pytest.param(Call("uin/9", "aiart:Draw", 0, 0.0), PRINCIPAL_UNKNOWN, id="an unknown principal"),
    pytest.param(Call("uin/9", "aiart:Nope", 0, 0.0), PRINCIPAL_UNKNOWN, id="and an unknown action"),
    pytest.param(Call("uin/200", "aiart:Nope", 0, 0.0), ACTION_UNKNOWN, id="an unknown action"),
]


@pytest.mark.parametrize(("call", "decision"), UNJUDGED)
def test_judging_refuses_what_deciding_refuses(call: Call, decision: object) -> None:
    tables = bundle({}).tables
    assert (tables.decide(call), tables.judge(call)) == (decision, decision)


MODULES = (
    *("policy.model", "policy.operators", "policy.resources", "policy.conditions", "engine.call", "ipset"),
    *("engine.decision", "engine.layers", "engine.supply", "engine.row", "engine.table"),
)


def test_values_are_frozen() -> None:
    modules = [importlib.import_module(f"camguard.{name}") for name in MODULES]
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    made = [each for each in found if is_dataclass(each)]
    assert len(made) >= 12
    assert [each for each in made if not each.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]
