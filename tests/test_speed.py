"""A guard against getting slower: a decision beside dict look-ups measured in the same moment.

Bounds are generous and are ratios of CPU time of this thread, never times of a clock on the wall: they hold
on a slow machine and beside another worker's tests, and still catch a decision that begins to walk, parse or
allocate.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import pytest
from starlette import requests, responses
from starlette.applications import Starlette
from starlette.routing import Route

from camguard import Call, CamguardMiddleware, parse_address, parse_policy
from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Catalog
from camguard.enforcement.guard import Guard
from tests.stage import NOW, SETTINGS, FixedCaller, FixedPolicies, Request, action, sdk, service
from tests.stage import OFFICE as OFFICE_ADDRESS

NAMES = [f"Describe{i}" for i in range(200)]
OFFICE = [f"10.{i}.{j}.0/25" for i in range(10) for j in range(10)]
CALLS = 400
PAIRS = 25


def bundle(statements: int) -> Bundle:
    policies = {}
    for i in range(statements):
        condition = {"ip_equal": {"qcs:ip": OFFICE[i % 50 : i % 50 + 20]}}
        statement = {"effect": "allow", "action": "aiart:*", "resource": "*", "condition": condition}
        text = json.dumps({"version": "2.0", "statement": [statement]})
        policies[f"p{i}"] = parse_policy(text, f"p{i}")
    people = {"owner": {"uin": "100001", "app_id": "2"}, "users": {"100200": {"policies": list(policies)}}}
    return make_bundle(
        policies, people, Catalog({"aiart": service("aiart", *(action("aiart", name) for name in NAMES))})
    )


def calls() -> list[Call]:
    return [
        Call("uin/100200", f"aiart:{NAMES[i % 200]}", parse_address(f"10.{i % 12}.{i % 7}.{i % 250}"), 1e9)
        for i in range(CALLS)
    ]


def seconds(work: Callable[[Call], object], asked: list[Call]) -> float:
    begin = time.thread_time()
    for call in asked:
        work(call)
    return time.thread_time() - begin


def best_ratio(one: Callable[[Call], object], other: Callable[[Call], object], asked: list[Call]) -> float:
    """The least of many neighbouring pairs: what a busy machine adds to one of a pair is left out."""
    for work in (one, other):
        seconds(work, asked)
    return min(seconds(one, asked) / seconds(other, asked) for _ in range(PAIRS))


@pytest.mark.parametrize("statements", [2, 60])
def test_a_decision_costs_a_few_look_ups(statements: int) -> None:
    decide = bundle(statements).decide
    asked = calls()
    people = {call.principal: {call.action: i for i, call in enumerate(asked)} for call in asked}
    bounds = list(range(0, 1 << 33, 1 << 23))

    def look_up(call: Call) -> int:
        people[call.principal][call.action]
        return bisect_right(bounds, call.source_ip or 0)

    assert best_ratio(decide, look_up, asked) < 5


def test_a_decision_does_not_grow_with_the_policies() -> None:
    small, large, asked = bundle(2).decide, bundle(60).decide, calls()
    assert best_ratio(large, small, asked) < 2


def test_an_unknown_action_costs_no_more_than_a_few_decisions() -> None:
    decide = bundle(60).decide
    asked = calls()

    def unknown(call: Call) -> object:
        return decide(call._replace(action="aiart:Unheard"))

    assert best_ratio(unknown, decide, asked) < 10


async def asked(app: Any, count: int) -> float:
    """Seconds of requests as a proxy hands them over, each with headers of its own."""
    taken = 0.0
    body = b'{"Prompt": "a lighthouse"}'
    lines = sdk((b"x-forwarded-for", OFFICE_ADDRESS.encode()), (b"content-length", b"%d" % len(body)))

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_: Any) -> None:
        pass

    for _ in range(count):
        scope = Request(lines=lines, length=False).scope()
        begin = time.thread_time()
        await app(scope, receive, send)
        taken += time.thread_time() - begin
    return taken


def test_a_guarded_request_costs_a_few_bare_ones() -> None:
    async def endpoint(request: requests.Request) -> responses.Response:
        await request.body()
        return responses.Response(b"{}", media_type="application/json")

    bare = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    guard = Guard(SETTINGS, FixedPolicies(), FixedCaller(), clock=lambda: NOW)
    guarded = CamguardMiddleware(bare, guard=guard)

    async def ratios() -> list[float]:
        for app in (bare, guarded):
            await asked(app, 50)
        return [await asked(guarded, 50) / await asked(bare, 50) for _ in range(PAIRS)]

    assert min(asyncio.run(ratios())) < 4
    assert guard.faults == 0
