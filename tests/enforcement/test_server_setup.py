"""Which set-ups of a server are named in the log, once each, and what a mounted application accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from camguard.enforcement.server_setup import NO_ASYNCIO
from camguard.middleware import CamguardMiddleware
from tests.stage import ELSEWHERE, SETTINGS, Play, Request, sdk

SETUPS = [
    pytest.param({"client": ("10.0.0.1", 0)}, "by text from a header", id="a peer whose port is 0"),
    pytest.param({"client": ("proxy", 0)}, "by text from a header", id="a peer that is no address"),
    pytest.param(
        {
            "client": ("203.0.113.7", 4711),
            "headers": list(sdk((b"x-forwarded-for", b"203.0.113.7:4711"))),
        },
        "by text from a header",
        id="a peer that the forwarding header names with its port",
    ),
    pytest.param({"client": None}, "trust_unix_socket", id="no peer"),
    pytest.param({"client": ("", 0)}, "by text from a header", id="a peer without a name"),
    pytest.param({"root_path": "/p"}, "take root_path away", id="a root path that the path does not have"),
]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.endswith("server_setup")]


@pytest.mark.parametrize(("change", "words"), SETUPS)
def test_t127_a_setup_that_refuses_every_call_is_logged_once(
    change: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    play = Play()
    for _ in range(3):
        scope = Request(lines=sdk((b"x-forwarded-for", b"203.0.113.7"))).scope() | change
        reply = asyncio.run(play.serve(Request(), scope))
        assert not reply.passed
        assert reply.error["Code"] in {"AuthFailure.UnauthorizedOperation", "UnsupportedProtocol"}
    (message,) = logged(caplog)
    assert words in message


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"path": "/x", "raw_path": b"/x"}, id="a path that is not served"),
        pytest.param({"path": "/x", "raw_path": b"/x", "root_path": None}, id="one without a mount"),
        pytest.param(
            {"headers": list(sdk((b"x-forwarded-for", b"unknown"), (b"x-note", b"10.0.0.1:9")))}
            | {"client": ("10.0.0.1", 9)},
            id="a peer that another header names with its port",
        ),
        pytest.param({"root_path": "/p", "path": "/p/x", "raw_path": b"/p/x"}, id="one below a mount"),
        pytest.param({"client": ("203.0.113.9", 9)}, id="a peer that is no proxy"),
    ],
)
def test_an_ordinary_refusal_is_no_setup(change: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    scope = Request(lines=sdk((b"x-forwarded-for", b"unknown"))).scope() | change
    asyncio.run(Play().serve(Request(), scope))
    assert logged(caplog) == []


def test_a_refusal_for_another_cause_is_no_setup(caplog: pytest.LogCaptureFixture) -> None:
    """A trusted Unix socket names no peer either; this call names no action that may be."""
    trusting = replace(SETTINGS, client_ip=replace(SETTINGS.client_ip, trust_unix_socket=True))
    lines = sdk((b"x-forwarded-for", ELSEWHERE.encode()), x_tc_action=b"1")
    scope = Request(lines=lines).scope() | {"client": None}
    assert asyncio.run(Play(trusting).serve(Request(), scope)).detail == "action_invalid"
    assert logged(caplog) == []


# root_path, path, raw_path, and whether it is the root of the mounted application.
MOUNTS = [
    ("/p", "/p/", b"/p/", True),
    ("/p", "/p", b"/p", True),
    ("/p", "/p/", None, True),
    ("/p/q", "/p/q/", b"/p/q/", True),
    ("/p", "/p/", b"/p", False),
    ("/p", "/p", b"/p/", False),
    ("/p", "/p//", b"/p//", False),
    ("/p", "/p/.", b"/p/.", False),
    ("/p", "/p/x", b"/p/x", False),
    ("/p", "/px", b"/px", False),
    ("/p", "/P/", b"/P/", False),
    ("/p", "/p/", b"/%70/", False),
    ("/p", "/p/", b"/p%2F", False),
    ("/p", "/", b"/", False),
    ("/p", "/p/", b"/", False),
    ("/p", "/", b"/p/", False),
    ("/p", "", b"", False),
    ("/\xe9", "/\xe9/", "/\xe9/".encode(), False),
    ("/a b", "/a b/", b"/a%20b/", False),
    ("", "/p/", b"/p/", False),
    ("", "", b"", False),
    ("/", "/", b"/", True),
    (None, "/", b"/", True),
]


@pytest.mark.parametrize(("root", "path", "raw", "passes"), MOUNTS)
def test_t128_what_follows_the_root_path_is_a_slash_or_nothing(
    root: str | None, path: str, raw: bytes | None, passes: bool
) -> None:
    scope = Request(lines=sdk((b"x-forwarded-for", b"203.0.113.7"))).scope()
    scope |= {"root_path": root, "path": path, "raw_path": raw}
    if root is None:
        del scope["root_path"]
    play = Play()
    reply = asyncio.run(play.serve(Request(), scope))
    assert reply.passed == passes
    if passes:
        assert reply.reached[0][0]["path"] == path
    else:
        assert reply.detail == "path_not_allowed"


def step(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that awaits nothing of an event loop, without one, as under trio."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_t127_without_asyncio_the_start_is_refused_and_calls_are_no_internal_errors(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, repository: Path
) -> None:
    config = tmp_path / "camguard.toml"
    config.write_text(
        f"""
        catalog.path = "{repository}/config/catalog"
        policy.source = "{repository}/config/bundle"
        identity.mode = "header"
        client_ip.trusted_proxies = ["127.0.0.1"]
        decision_log.path = ""
        """
    )
    app = CamguardMiddleware(Play().app, config, registry=CollectorRegistry())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    step(app({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": NO_ASYNCIO}]
    for _ in range(2):
        sent.clear()
        step(app(Request().scope(), receive, send))
        assert b'"Code":"ServiceUnavailable"' in sent[1]["body"].replace(b" ", b"")
    assert logged(caplog) == [NO_ASYNCIO]
