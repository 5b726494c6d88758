"""Guard and relay together, over real sockets: what reaches the upstream is what was judged."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from camguard.cli import main
from camguard.gateway.protocol import Bounds
from camguard.gateway.run import LISTENER, guarded_relay
from camguard.gateway.server import listening
from camguard.settings import load_settings
from camguard.wiring import Components, assemble
from tests.gateway.stage import (
    OK,
    Answer,
    Upstream,
    ask,
    hangs,
    play,
    says,
    says_and_closes,
    says_and_resets,
    until,
)
from tests.running import PATIENCE

LINES = {
    "host": "aiart.tencentcloudapi.com",
    "content-type": "application/json",
    "x-tc-action": "TextToImage",
    "x-tc-version": "2022-12-29",
    "x-camguard-principal": "uin/100000000101",
    "x-forwarded-for": "10.1.2.3",
}
MIB = 1 << 20


def spell(body: bytes = b"{}", *extra: str, **changed: str) -> bytes:
    """Spell one call. changed: lines by name, `_` for `-`. extra: further lines."""
    lines = LINES | {name.replace("_", "-"): value for name, value in changed.items()}
    head = [f"{name}: {value}" for name, value in lines.items()] + list(extra)
    if not any(line.lower().startswith("transfer-encoding") for line in extra):
        head.append(f"content-length: {len(body)}")
    return "\r\n".join(["POST / HTTP/1.1", *head, "", ""]).encode() + body


class House(NamedTuple):
    """A gateway in this process. port: of calls."""

    port: int
    parts: Components


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path / "config")]) == 0
    return tmp_path / "config"


@asynccontextmanager
async def gateway(folder: Path, upstream: Upstream, **overrides: str) -> AsyncIterator[House]:
    """Serve the shipped company before an upstream. overrides: settings as SECTION__KEY."""
    changed = {"DECISION_LOG__PATH": "", "UPSTREAM__DEFAULT": upstream.url, **overrides}
    environ = {f"CAMGUARD_{name}": value for name, value in changed.items()}
    settings = load_settings(folder / "camguard.toml", environ)
    parts = assemble(settings, listeners=(LISTENER,), drains=True)
    sock = socket.create_server(("127.0.0.1", 0))
    async with (
        guarded_relay(settings, parts, lambda: True) as app,
        listening(app, sock, Bounds.of(settings.limits, 10_000), 0, direct=True) as listener,
    ):
        yield House(listener.port, parts)


def code(answer: bytes) -> str | None:
    """Return the error's code in an answer, None for an answer of the upstream."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    content = json.loads(body)
    found: str | None = content["Response"]["Error"]["Code"] if content else None
    return found


def test_what_reaches_the_upstream_is_what_was_judged(folder: Path) -> None:
    async def scene() -> bytes:
        async with Upstream(says(OK)) as upstream, gateway(folder, upstream) as house:
            extra = (
                "X-Real-IP: 10.9.9.9",
                "Forwarded: for=10.9.9.9",
                "X-Forwarded-Host: evil",
                "X-Kept: yes",
            )
            assert (
                code(await ask(house.port, spell(b'{"Prompt":"\xc3\xa4"}', *extra, "Connection: close")))
                is None
            )
            return upstream.requests[0]

    request = play(scene()).lower()
    assert request.startswith(b"post / http/1.1\r\n")
    for kept in (b"host: aiart.tencentcloudapi.com\r\n", b"x-tc-action: texttoimage\r\n", b"x-kept: yes\r\n"):
        assert kept in request
    for gone in (b"x-camguard-principal", b"forwarded", b"x-real-ip", b"evil", b"connection:"):
        assert gone not in request
    assert request.endswith(b'\r\n\r\n{"prompt":"\xc3\xa4"}')


LENGTH_100 = b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{"
# What the upstream does; the status and the failure in the record, and the kind that is counted.
ENDINGS = [
    pytest.param(says(OK), 200, None, None, id="answers"),
    pytest.param(says_and_closes(b""), None, "reset", "reset", id="closes before the head"),
    pytest.param(
        says_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}"),
        None,
        "protocol",
        "protocol",
        id="writes a blank before a colon",
    ),
    pytest.param(hangs, None, "timeout", "timeout", id="hangs"),
    pytest.param(says_and_closes(LENGTH_100), 201, "reply_incomplete", "truncated", id="closes in the body"),
    pytest.param(says(LENGTH_100), 201, "reply_incomplete", "timeout", id="hangs in the body"),
]


@pytest.mark.parametrize(("answer", "status", "failure", "kind"), ENDINGS)
def test_t130_record_and_metrics_say_what_came_of_an_allowed_call(
    folder: Path, answer: Answer, status: int | None, failure: str | None, kind: str | None
) -> None:
    log = folder / "log"

    async def scene() -> Mapping[tuple[str, ...], Any]:
        seconds = 2 if kind == "timeout" else PATIENCE  # a busy machine needs a part of it for the head
        changed = {"DECISION_LOG__PATH": str(log), "LIMITS__UPSTREAM_SECONDS": f"{seconds}"}
        async with Upstream(answer) as upstream, gateway(folder, upstream, **changed) as house:
            house.parts.log.start()
            got = await ask(house.port, spell(b"{}", "Connection: close"))
            if status is None:
                assert code(got) == "InternalError"
            else:
                assert got.startswith(b"HTTP/1.1 %d " % status)
            house.parts.log.stop()
            return house.parts.metrics.snapshot()["camguard_upstream_errors_total"]

    errors = play(scene())
    assert {labels: count for labels, count in errors.items() if count} == (
        {("aiart", kind): 1} if kind else {}
    )
    (line,) = (json.loads(line) for line in log.read_text().splitlines())
    assert (line["decision"], line["upstream_status"], line["upstream_error"]) == ("allow", status, failure)


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["in one packet", "later"])
@pytest.mark.parametrize(
    "content", ["application/json", "application/octet-stream"], ids=["held", "passed through"]
)
def test_a_trailer_changes_nothing(folder: Path, pause: float, content: str) -> None:
    async def scene() -> list[bytes]:
        async with Upstream(says(OK)) as upstream, gateway(folder, upstream) as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            head = spell(b"", "transfer-encoding: chunked", "connection: close", content_type=content)
            writer.write(head + b"2\r\n{}\r\n")
            await asyncio.sleep(pause)
            writer.write(b"0\r\nX-TC-Action: SetPayMode\r\nX-Camguard-Principal: uin/100000000110\r\n\r\n")
            assert code(await reader.read()) is None
            writer.close()
            return upstream.requests

    (request,) = play(scene())
    assert request.lower().count(b"x-tc-action") == 1
    assert b"SetPayMode" not in request
    assert b"100000000110" not in request


def test_no_request_is_read_where_a_body_may_be_still_to_come(folder: Path) -> None:
    async def scene() -> tuple[bytes, list[bytes]]:
        async with Upstream(says(OK)) as upstream, gateway(folder, upstream) as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            call = spell(b"{}", "Expect: 100-continue", x_forwarded_for="198.51.100.7")
            writer.write(call.removesuffix(b"{}"))
            answer = await reader.readuntil(b"}}")
            writer.write(spell())  # as one does who was refused before he sent the body
            answer += await reader.read()
            writer.close()
            return answer, upstream.requests

    answer, requests = play(scene())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close\r\n" in answer
    assert requests == []


REFUSED = [
    pytest.param(
        spell(x_forwarded_for="198.51.100.7"), "AuthFailure.UnauthorizedOperation", id="from elsewhere"
    ),
    pytest.param(spell(x_tc_action="SetPayMode"), "AuthFailure.UnauthorizedOperation", id="a denied action"),
    pytest.param(spell(b"{}", "X-TC-Action: SetPayMode"), "InvalidRequest", id="two actions"),
    pytest.param(
        spell(b"{}", "X_TC_Action: SetPayMode"), "InvalidRequest", id="an action by another spelling"
    ),
    pytest.param(spell(b'{"Action": "SetPayMode"}'), "InvalidParameter", id="another action in the body"),
    pytest.param(spell(b"{}", "Upgrade: h2c", "Connection: upgrade"), "InvalidRequest", id="an upgrade"),
    pytest.param(spell(b"{}", "Connection: X-TC-Action"), "InvalidRequest", id="an action of one hop only"),
    pytest.param(spell(host="evil.example"), "NoSuchProduct", id="another host"),
    pytest.param(spell().replace(b"POST / ", b"POST /x "), "UnsupportedProtocol", id="another path"),
    pytest.param(spell(b"x" * (10 * MIB + 1)), "RequestSizeLimitExceeded", id="a body too large"),
]


@pytest.mark.parametrize(("request_bytes", "refusal"), REFUSED)
def test_a_refused_call_reaches_no_upstream(folder: Path, request_bytes: bytes, refusal: str) -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream, gateway(folder, upstream) as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(request_bytes)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert code(head + await reader.readexactly(length)) == refusal
            writer.close()
            assert upstream.connections == 0

    play(scene())


def test_a_body_that_outgrows_its_bounds_on_the_way_is_refused_and_never_whole_upstream(folder: Path) -> None:
    async def scene() -> None:
        small = {"LIMITS__BODY_BYTES": "100000", "LIMITS__FORM_BYTES": "1000"}
        async with Upstream(says(OK)) as upstream, gateway(folder, upstream, **small) as house:
            head = spell(b"", "transfer-encoding: chunked", content_type="application/octet-stream")
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(head + b"%x\r\n" % 90_000 + b"x" * 90_000 + b"\r\n")
            await until(lambda: upstream.connections)
            writer.write(b"%x\r\n" % 90_000 + b"x" * 90_000 + b"\r\n")
            answer = await reader.read()
            writer.close()
            assert code(answer) == "InvalidRequest"
            assert b"connection: close" in answer
            assert upstream.requests == []
            assert house.parts.metrics.render().count(b'kind="reset",service="aiart"} 1') == 0

    play(scene())


def in_chunks(body: bytes, *extra: str) -> bytes:
    part = 1 << 16
    pieces = [body[start : start + part] for start in range(0, len(body), part)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return spell(b"", "transfer-encoding: chunked", *extra) + framed + b"0\r\n\r\n"


FULL = {"LIMITS__BUFFERED_BYTES": "5000000", "LIMITS__BODY_BYTES": "5000000"}
UPLOADS = [
    pytest.param(spell, 0, 10 * MIB, {}, None, id="no refusal of a body of the allowed size"),
    pytest.param(spell, 0, 4 * MIB, FULL, "RequestLimitExceeded", id="one too many, declared"),
    pytest.param(in_chunks, 0, 4 * MIB, FULL, "RequestLimitExceeded", id="one too many, in chunks"),
    pytest.param(spell, 0, 20 * MIB, {}, "RequestSizeLimitExceeded", id="too large, declared"),
    pytest.param(in_chunks, 0, 20 * MIB, {}, "RequestSizeLimitExceeded", id="too large, in chunks"),
    pytest.param(
        spell, 0.5, 10 * MIB, {"LIMITS__BODY_SECONDS": "0.2"}, "InvalidRequest", id="too slow, declared"
    ),
]


@pytest.mark.parametrize(("spelled", "pause", "size", "limits", "refusal"), UPLOADS)
def test_a_client_that_is_refused_while_it_sends_receives_the_refusal(
    folder: Path,
    spelled: Callable[[bytes], bytes],
    pause: float,
    size: int,
    limits: dict[str, str],
    refusal: str | None,
) -> None:
    def sends_all(port: int, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
            raw.sendall(request[: size // 2])
            time.sleep(pause)
            raw.sendall(request[size // 2 :])
            with raw.makefile("rb") as answer:
                head = b"".join(iter(answer.readline, b"\r\n"))
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                return head + b"\r\n" + answer.read(length)

    async def scene() -> None:
        answer = hangs if limits is FULL else says(OK)
        async with Upstream(answer) as upstream, gateway(folder, upstream, **limits) as house:
            guard = house.parts.guard
            _, held = await asyncio.open_connection("127.0.0.1", house.port)
            if refusal == "RequestLimitExceeded":
                held.write(spell(b"x" * 4_900_000))
                await until(lambda: guard.in_flight == len(upstream.requests) == 1)
            request = spelled(b'"' + b"x" * (size - 2) + b'"')
            assert code(await asyncio.to_thread(sends_all, house.port, request)) == refusal
            assert len(upstream.requests) == (refusal is None or limits is FULL)
            held.close()

    play(scene())


@pytest.mark.parametrize("spelled", [spell, in_chunks], ids=["declared", "in chunks"])
def test_a_body_whose_last_byte_is_held_back_makes_room(folder: Path, spelled: Callable[..., bytes]) -> None:
    async def scene() -> tuple[str | None, str | None]:
        async with Upstream(says(OK)) as upstream, gateway(folder, upstream, **FULL) as house:
            guard = house.parts.guard
            waiting, held = await asyncio.open_connection("127.0.0.1", house.port)
            held.write(spell(b"x" * 4_900_000)[:-1])
            await until(lambda: guard.held >= 4_000_000)
            body = b'"' + b"x" * (4 * MIB - 2) + b'"'
            served = await ask(house.port, spelled(body, "connection: close"))
            yielded = await waiting.readuntil(b"}}")
            held.close()
            return code(served), code(yielded)

    assert play(scene()) == (None, "RequestLimitExceeded")


BRIEFLY = "0.3"  # seconds for which the gateway waits for an upstream that never answers
FAILING = [
    pytest.param(says_and_resets(), f"{PATIENCE}", "InternalError", "reset", id="a reset"),
    pytest.param(hangs, BRIEFLY, "InternalError", "timeout", id="silence"),
]


@pytest.mark.parametrize(("answer", "seconds", "refusal", "kind"), FAILING)
def test_a_failing_upstream_is_an_envelope_with_a_request_id(
    folder: Path, answer: object, seconds: str, refusal: str, kind: str
) -> None:
    async def scene() -> None:
        upstream = Upstream(answer)  # type: ignore[arg-type]
        async with upstream, gateway(folder, upstream, LIMITS__UPSTREAM_SECONDS=seconds) as house:
            got = await ask(house.port, spell(b"{}", "connection: close"))
            assert code(got) == refusal
            assert len(json.loads(got.partition(b"\r\n\r\n")[2])["Response"]["RequestId"]) == 36
            line = f'camguard_upstream_errors_total{{kind="{kind}",service="aiart"}} 1.0'.encode()
            assert line in house.parts.metrics.render()

    play(scene())


def test_http_style_shows_a_failure_by_the_status(folder: Path) -> None:
    async def scene() -> tuple[bytes, bytes]:
        answers = []
        for answer, seconds in ((says_and_resets(), f"{PATIENCE}"), (hangs, BRIEFLY)):
            upstream = Upstream(answer)
            settings = {"LIMITS__UPSTREAM_SECONDS": seconds, "ENFORCEMENT__STATUS_STYLE": "http"}
            async with upstream, gateway(folder, upstream, **settings) as house:
                answers.append(await ask(house.port, spell(b"{}", "connection: close")))
        return answers[0][:13], answers[1][:13]

    assert play(scene()) == (b"HTTP/1.1 502 ", b"HTTP/1.1 504 ")


def test_clients_that_vanish_leave_nothing_behind(folder: Path) -> None:
    async def scene() -> None:
        async with Upstream(hangs) as upstream, gateway(folder, upstream) as house:
            whole = spell(b"x" * 3000, content_type="application/octet-stream")
            tasks = len(asyncio.all_tasks())
            for cut in (*range(1, len(whole), 150), *[len(whole)] * 20):
                _, writer = await asyncio.open_connection("127.0.0.1", house.port)
                writer.write(whole[:cut])
                await asyncio.sleep(0.002)
                writer.close()
            guard = house.parts.guard
            await until(lambda: guard.in_flight == 0 and len(asyncio.all_tasks()) <= tasks)
            assert guard.held == 0
            assert guard.faults == 0
            assert upstream.connections > 0

    play(scene())


@pytest.mark.heavy
def test_parallel_uploads_stay_within_the_budget(folder: Path) -> None:
    async def scene() -> None:
        budget = 64 * MIB
        upstream = Upstream(says(OK))
        async with upstream, gateway(folder, upstream, LIMITS__BUFFERED_BYTES=str(budget)) as house:
            body = b'{"x":"' + b"y" * (10 * MIB - 8) + b'"}'
            request = spell(body, "connection: close")
            peak = 0

            async def upload() -> str | None:
                return code(await ask(house.port, request))

            uploads = [asyncio.create_task(upload()) for _ in range(100)]
            while not all(each.done() for each in uploads):
                peak = max(peak, house.parts.guard.held)
                upstream.requests.clear()
                await asyncio.sleep(0.01)
            outcomes = [each.result() for each in uploads if each.exception() is None]
            assert peak <= budget
            assert {None, "RequestLimitExceeded"} >= set(outcomes)
            assert None in outcomes
            assert house.parts.guard.held == 0

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    play(scene())
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 * 1024
    )  # KiB; the clients' share too
