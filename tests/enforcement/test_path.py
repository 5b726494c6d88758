"""The way of one warm call through the house: how many files it passes, how often it changes between them.

A call is traced with `sys.setprofile`; only frames of camguard count. Nothing is attached to the guard: no
observers, no conclusions, and a store that never changes. Neither the collector of garbage, which ends the
suspended requests of earlier tests in the middle of the traced call, nor the making of 256 request ids, which
one call in 256 does, is a part of a warm call.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import camguard
from camguard.authn.authenticator import authenticator
from camguard.enforcement.guard import Guard
from camguard.middleware import CamguardMiddleware
from camguard.request.head import READY_IDS, new_request_id
from camguard.settings.model import IdentitySettings
from tests.running import RECOGNISES
from tests.stage import NOW, OFFICE, SETTINGS, FixedPolicies, Line, Request, sdk

HOUSE = f"{Path(camguard.__file__).parent}/"


def files_passed(serve: Callable[[], Any]) -> list[str]:
    """Return the files of camguard whose code runs while `serve` is called, in order, one for each change."""
    files: list[str] = []

    def note(frame: Any, event: str, _: object) -> None:
        if event == "return":
            frame = frame.f_back
            while frame is not None and not frame.f_code.co_filename.startswith(HOUSE):
                frame = frame.f_back
        if event in {"call", "return"} and frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(HOUSE):
                files.append(name.removeprefix(HOUSE))

    sys.setprofile(note)
    try:
        serve()
    finally:
        sys.setprofile(None)
    return [one for one, other in pairwise([*files, ""]) if one != other]


async def application(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"OK"})


def served(lines: tuple[Line, ...], body: bytes) -> list[str]:
    """Return the files that a call passes when the same call was served before."""
    authentication = authenticator(IdentitySettings(mode="header"), None)
    guard = Guard(SETTINGS, FixedPolicies(), authentication, clock=lambda: NOW)
    middleware = CamguardMiddleware(application, guard=guard)
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    def serve() -> None:
        loop.run_until_complete(middleware(Request(lines=lines, chunks=(body,)).scope(), receive, send))

    loop = asyncio.new_event_loop()
    try:
        for _ in range(3):
            serve()
        while not READY_IDS:
            new_request_id()
        found = files_passed(serve)
    finally:
        loop.close()
    assert [message["body"] for message in answers if "body" in message] == [b"OK"] * 4
    return found


def identity(uin: bytes, **named: Any) -> tuple[Line, ...]:
    return sdk((b"x-forwarded-for", OFFICE.encode()), (b"x-camguard-principal", uin), **named)


WHOLE = identity(b"100000000101")
RESOURCE = identity(
    b"100000000103",
    host=b"cvm.tencentcloudapi.com",
    x_tc_action=b"StopInstances",
    x_tc_version=b"2017-03-12",
    x_tc_region=b"ap-guangzhou",
)

# header lines, body, files at most, changes between files at most
CALLS = [
    pytest.param(WHOLE, b'{"A":1}', 3, 6, id="an action that is judged as a whole"),
    pytest.param(RESOURCE, b'{"InstanceIds":["ins-1"]}', 14, 25, id="an action on one resource"),
]


@RECOGNISES
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(("lines", "body", "files", "changes"), CALLS)
def test_a_warm_call_passes_few_files(lines: tuple[Line, ...], body: bytes, files: int, changes: int) -> None:
    passed = served(lines, body)
    assert len(set(passed)) <= files, passed
    assert len(passed) - 1 <= changes, passed
