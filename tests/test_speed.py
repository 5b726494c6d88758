"""A guard against getting slower: a decision beside dict look-ups measured in the same moment.

Bounds are generous and are ratios of CPU time of this thread, never times of a clock on the wall: they hold
on a slow machine and beside another worker's tests, and still catch a decision that begins to walk, parse or
allocate.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import pytest
from starlette import requests, responses
from starlette.applications import Starlette
from starlette.routing import Route

from camguard import Call, CamguardMiddleware
from camguard.bundle import Bundle
from camguard.enforcement.guard import Guard
from tests import company
from tests.asgi import body_of, discard, receive_of
from tests.company import allow, call, catalog, inside, policy, service
from tests.stage import NOW, SETTINGS, FixedCaller, FixedPolicies, Request, sdk
from tests.stage import OFFICE as OFFICE_ADDRESS

NAMES = [f"Describe{i}" for i in range(200)]
OFFICE = [f"10.{i}.{j}.0/25" for i in range(10) for j in range(10)]
CALLS = 400
PAIRS = 25


CATALOG = catalog(service("aiart", *NAMES))


def bundle(statements: int) -> Bundle:
    policies = [
        policy(f"p{i}", allow("aiart:*", **inside(*OFFICE[i % 50 : i % 50 + 20]))) for i in range(statements)
    ]
    return company.bundle(policies, CATALOG)


def calls() -> list[Call]:
    return [call(f"aiart:{NAMES[i % 200]}", f"10.{i % 12}.{i % 7}.{i % 250}", time=1e9) for i in range(CALLS)]


def seconds(work: Callable[[Call], object], queries: list[Call]) -> float:
    begin = time.thread_time()
    for query in queries:
        work(query)
    return time.thread_time() - begin


def best_ratio(one: Callable[[Call], object], other: Callable[[Call], object], queries: list[Call]) -> float:
    """The least of many neighbouring pairs: what a busy machine adds to one of a pair is left out."""
    for work in (one, other):
        seconds(work, queries)
    return min(seconds(one, queries) / seconds(other, queries) for _ in range(PAIRS))


@pytest.mark.parametrize("statements", [2, 60])
def test_a_decision_costs_a_few_look_ups(statements: int) -> None:
    decide = bundle(statements).decide
    queries = calls()
    people = {query.principal: {query.action: i for i, query in enumerate(queries)} for query in queries}
    bounds = list(range(0, 1 << 33, 1 << 23))

    def look_up(call: Call) -> int:
        people[call.principal][call.action]
        return bisect_right(bounds, call.source_ip or 0)

    assert best_ratio(decide, look_up, queries) < 5


def test_a_decision_does_not_grow_with_the_policies() -> None:
    small, large, queries = bundle(2).decide, bundle(60).decide, calls()
    assert best_ratio(large, small, queries) < 2


def test_an_unknown_action_costs_no_more_than_a_few_decisions() -> None:
    decide = bundle(60).decide
    queries = calls()

    def unknown(call: Call) -> object:
        return decide(call._replace(action="aiart:Unlisted"))

    assert best_ratio(unknown, decide, queries) < 10


async def cpu_of(app: Any, count: int) -> float:
    """Seconds of requests as a proxy hands them over, each with headers of its own."""
    taken = 0.0
    body = b'{"Prompt": "a lighthouse"}'
    lines = sdk((b"x-forwarded-for", OFFICE_ADDRESS.encode()), (b"content-length", b"%d" % len(body)))

    for _ in range(count):
        scope = Request(lines=lines, length=False).scope()
        begin = time.thread_time()
        await app(scope, receive_of(body_of(body)), discard)
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
            await cpu_of(app, 50)
        return [await cpu_of(guarded, 50) / await cpu_of(bare, 50) for _ in range(PAIRS)]

    assert min(asyncio.run(ratios())) < 4
    assert guard.faults == 0
