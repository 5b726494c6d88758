"""Upstreams that are reached, or not: names, addresses, TLS, a full pool; and what they do at each stage."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from camguard.gateway import connecting
from camguard.gateway.client import HttpClient
from camguard.gateway.connecting import AddressInfo, verifying
from camguard.gateway.connection import UpstreamError
from camguard.gateway.request_writer import Body, Headers, Origin
from tests.gateway.stage import (
    OK,
    Answer,
    Reader,
    Upstream,
    Writer,
    hangs,
    play,
    reset,
    says,
    says_and_closes,
    says_and_resets,
    settled,
    until,
)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def client(seconds: float = 30, connections: int = 10) -> AsyncIterator[HttpClient]:
    made = HttpClient(seconds=seconds, connections=connections)
    try:
        yield made
    finally:
        await made.close()


async def fetch(made: HttpClient, url: str, body: Body = b"{}", headers: Headers = ()) -> bytes:
    reply = await made.send(Origin.of(url), "POST", b"", headers, body)
    try:
        return b"".join([chunk async for chunk in reply.chunks()])
    finally:
        reply.close()


async def failure(made: HttpClient, url: str, body: Body = b"{}", headers: Headers = ()) -> str:
    """Return the kind of the error that a request ends with."""
    with pytest.raises(UpstreamError) as caught:
        await fetch(made, url, body, headers)
    return caught.value.kind


# Names and addresses


def test_a_name_that_is_not_found_is_a_failed_connection_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def not_found(_origin: Origin) -> Sequence[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scene() -> None:
        monkeypatch.setattr(connecting, "resolve", not_found)
        async with client() as made:
            for _ in range(3):
                assert await failure(made, "http://name.invalid") == "connect"

    play(scene())
    (logged,) = [record.getMessage() for record in caplog.records]
    assert logged.startswith("an upstream cannot be connected to: upstream=http://name.invalid error=")
    assert "Name or service not known" in logged


def test_requests_that_begin_together_resolve_a_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def scene() -> None:
        async with Upstream(says(OK)) as upstream, client() as made:

            async def resolve(_origin: Origin) -> Sequence[AddressInfo]:
                nonlocal asked
                asked += 1
                await asyncio.sleep(0.02)
                return [info_of(upstream.port)]

            monkeypatch.setattr(connecting, "resolve", resolve)
            url = f"http://upstream.invalid:{upstream.port}"
            assert await asyncio.gather(*(fetch(made, url) for _ in range(5))) == [b"{}"] * 5
            assert upstream.requests[0].startswith(
                b"POST / HTTP/1.1\r\nhost: upstream.invalid:%d\r\n" % upstream.port
            )

    play(scene())
    assert asked == 1


def info_of(port: int) -> AddressInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))


@pytest.mark.parametrize("silent", [False, True], ids=["that refuses", "that does not answer"])
def test_an_address_is_passed_over(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            full: list[socket.socket] = []
            if silent:  # the kernel answers no further connection of a listener whose queue is full
                other.listen(0)
                full += [socket.socket() for _ in range(4)]
                for each in full:
                    each.settimeout(0)
                    each.connect_ex(other.getsockname())
            async with Upstream(says(OK)) as upstream:
                infos = [info_of(other.getsockname()[1]), info_of(upstream.port)]

                async def resolve(_origin: Origin) -> Sequence[AddressInfo]:
                    return infos

                monkeypatch.setattr(connecting, "resolve", resolve)
                for _ in range(2):  # each time another address is the first one
                    async with client(seconds=30) as made, asyncio.timeout(20):
                        assert await fetch(made, "http://upstream.invalid") == b"{}"
            for each in full:
                each.close()

    play(scene())


def test_an_ipv6_upstream_is_reached() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")

    async def scene() -> None:
        async def answers(reader: Reader, writer: Writer) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(OK)
            writer.close()

        server = await asyncio.start_server(answers, "::1", 0)
        async with server, client() as made:
            assert await fetch(made, f"http://[::1]:{server.sockets[0].getsockname()[1]}") == b"{}"

    play(scene())


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of `localhost` with its key beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "certificate.pem"


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the client trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    verifying.cache_clear()
    yield certificate
    verifying.cache_clear()


@asynccontextmanager
async def tls_upstream(
    certificate: Path, answer: Answer, names: list[str | None] | None = None
) -> AsyncIterator[Upstream]:
    """Run an upstream under TLS. names: takes the names by which clients ask for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if names is not None:
        context.sni_callback = lambda _sock, name, _context: names.append(name)
    async with Upstream(answer, tls=context) as upstream:
        yield upstream


def test_a_certificate_is_verified_and_the_connection_is_used_again(trusted: Path) -> None:
    async def scene() -> None:
        names: list[str | None] = []
        protocols = []

        async def answers(up: Upstream, head: bytes, reader: Reader, writer: Writer) -> None:
            protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            await says(OK)(up, head, reader, writer)

        async with tls_upstream(trusted, answers, names) as upstream, client() as made:
            for _ in range(3):
                assert await fetch(made, f"https://localhost:{upstream.port}") == b"{}"
            assert upstream.connections == 1
            assert names == ["localhost"]
            assert protocols == ["http/1.1"] * 3

    play(scene())


def test_a_certificate_of_an_unknown_authority_ends_the_connection_before_the_request(
    certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with tls_upstream(certificate, says(OK)) as upstream, client() as made:
            assert await failure(made, f"https://localhost:{upstream.port}") == "connect"
            assert upstream.requests == []

    play(scene())
    assert "certificate verify failed" in caplog.text


def test_a_certificate_of_another_host_ends_the_connection_before_the_request(
    trusted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with tls_upstream(trusted, says(OK)) as upstream, client() as made:
            assert await failure(made, f"https://127.0.0.1:{upstream.port}") == "connect"
            assert upstream.requests == []

    play(scene())
    assert "certificate is not valid for '127.0.0.1'" in caplog.text


def test_an_upstream_that_speaks_no_tls_is_a_failed_connection(trusted: Path) -> None:
    del trusted

    async def scene() -> None:
        async with Upstream(says(OK)) as upstream, client(seconds=1) as made:
            assert await failure(made, f"https://localhost:{upstream.port}") in ("connect", "timeout")
            assert upstream.requests == []

    play(scene())


ENDS = [
    pytest.param(says_and_closes(HEAD + b"\r\n{}"), "", id="in order"),
    pytest.param(says_and_resets(HEAD + b"\r\n{}"), "truncated", id="by a reset"),
]


@pytest.mark.parametrize(("answer", "kind"), ENDS)
def test_a_reply_that_the_connection_ends_is_complete_only_if_it_ends(
    answer: Answer, kind: str, trusted: Path
) -> None:
    async def scene() -> None:
        async with tls_upstream(trusted, answer) as upstream, Upstream(answer) as plain, client() as made:
            for url in (f"https://localhost:{upstream.port}", plain.url):
                if kind:
                    assert await failure(made, url) == kind
                else:
                    assert await fetch(made, url) == b"{}"

    play(scene())


def test_a_reply_under_tls_that_anybody_on_the_way_could_have_cut_is_truncated(trusted: Path) -> None:
    """The TCP connection ends in order, and TLS does not say that it ends."""

    async def cuts(_up: Upstream, _head: bytes, reader: Reader, writer: Writer) -> None:
        writer.write(HEAD + b"\r\n{}")
        await settled()
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)
        await reader.read()

    async def scene() -> None:
        async with tls_upstream(trusted, cuts) as upstream, client() as made:
            assert await failure(made, f"https://localhost:{upstream.port}") == "truncated"

    play(scene())


# The pool


def test_no_more_requests_are_under_way_than_the_pool_allows_and_the_others_wait_their_turn() -> None:
    async def scene() -> None:
        under_way = most = 0
        order: list[bytes] = []

        async def slow(_up: Upstream, head: bytes, _reader: Reader, writer: Writer) -> None:
            nonlocal under_way, most
            order.append(head.partition(b"x-number: ")[2][:1])
            under_way += 1
            most = max(most, under_way)
            await until(lambda: len(order) > 1)
            await asyncio.sleep(0.02)
            under_way -= 1
            writer.write(OK)

        async with Upstream(slow) as upstream, client(connections=2) as made:
            numbers = [b"%d" % number for number in range(8)]
            calls = (fetch(made, upstream.url, headers=[(b"x-number", number)]) for number in numbers)
            assert await asyncio.gather(*calls) == [b"{}"] * 8
            assert (most, upstream.connections) == (2, 2)
            assert sorted(order[:2]) == numbers[:2]
            assert sorted(order) == numbers

    play(scene())


def test_a_request_that_waits_for_a_connection_too_long_is_never_sent() -> None:
    async def scene() -> None:
        async def lasts(_up: Upstream, _head: bytes, _reader: Reader, writer: Writer) -> None:
            writer.write(HEAD + b"content-length: 1000\r\n\r\n")
            for _ in range(999):
                writer.write(b"x")
                await asyncio.sleep(0 if given_up.is_set() else 0.05)
            writer.write(b"x")

        given_up = asyncio.Event()
        async with Upstream(lasts) as upstream, client(seconds=3, connections=1) as made:
            first = asyncio.ensure_future(fetch(made, upstream.url))
            await until(lambda: upstream.requests)
            assert await failure(made, upstream.url) == "timeout"
            given_up.set()
            assert await first == b"x" * 1000
            assert len(upstream.requests) == 1
            upstream.answer = says(OK)
            assert await fetch(made, upstream.url) == b"{}", "both requests have left the pool"

    play(scene())


def test_a_request_that_is_given_up_gives_its_place_to_the_next_one() -> None:
    async def scene() -> None:
        async with Upstream(hangs) as upstream, client(connections=1) as made:
            tasks = [asyncio.ensure_future(fetch(made, upstream.url)) for _ in range(3)]
            await until(lambda: upstream.requests)
            upstream.answer = says(OK)
            tasks[1].cancel()  # it waits
            tasks[0].cancel()  # it is under way
            assert await tasks[2] == b"{}"
            await upstream.ended.wait()

    play(scene())


# What an upstream does at each stage


@pytest.mark.parametrize("greeting", [b"", b"220 ready\r\n"], ids=["resets", "greets"])
def test_an_upstream_that_begins_before_the_request_is_an_error(greeting: bytes) -> None:
    async def scene() -> None:
        async def begins(reader: Reader, writer: Writer) -> None:
            if greeting:
                writer.write(greeting)
                await reader.read(1)
            reset(writer)

        server = await asyncio.start_server(begins, "127.0.0.1", 0)
        async with server, client() as made:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            assert await failure(made, url) in ("reset", "protocol")

    play(scene())


STAGES = [
    pytest.param(b"", "reset", id="before the head"),
    pytest.param(HEAD[:9], "reset", id="within the status line"),
    pytest.param(HEAD, "reset", id="within the head"),
    pytest.param(HEAD + b"content-length: 9\r\n\r\n", "truncated", id="before the body"),
    pytest.param(HEAD + b"content-length: 9\r\n\r\n{", "truncated", id="within the body"),
    pytest.param(CHUNKED, "truncated", id="before the first chunk"),
    pytest.param(CHUNKED + b"5", "truncated", id="within a chunk's size"),
    pytest.param(CHUNKED + b"5\r\n{}", "truncated", id="within a chunk"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n", "truncated", id="before the end of the last chunk"),
]


@pytest.mark.parametrize(("said", "kind"), STAGES)
@pytest.mark.parametrize("ends", [says_and_closes, says_and_resets], ids=["closes", "resets"])
def test_an_end_at_any_stage_is_an_error_and_the_next_request_is_fine(
    said: bytes, kind: str, ends: Callable[[bytes], Answer]
) -> None:
    async def scene() -> None:
        async with Upstream(ends(said)) as upstream, client() as made:
            assert await failure(made, upstream.url) == kind
            assert len(upstream.requests) == 1
            upstream.answer = says(OK)
            assert await fetch(made, upstream.url) == b"{}"

    play(scene())


def test_an_upstream_that_ends_within_an_upload_is_a_reset_and_the_request_is_not_repeated() -> None:
    async def scene() -> None:
        async def ends(_up: Upstream, _head: bytes, reader: Reader, writer: Writer) -> None:
            await reader.readexactly(1000)
            reset(writer)

        async with Upstream(ends, reads_bodies=False) as upstream, client() as made:
            assert await failure(made, upstream.url, body=b"x" * (20 << 20)) == "reset"
            assert (upstream.connections, len(upstream.requests)) == (1, 1)

    play(scene())


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("sent", [b"abc", b"abcde"], ids=["short of it", "beyond it"])
def test_a_body_that_is_not_as_long_as_declared_ends_the_connection(sent: bytes) -> None:
    async def scene() -> None:
        async with Upstream(says(OK)) as upstream, client() as made:
            headers = [(b"content-length", b"4")]
            assert await failure(made, upstream.url, parts(sent[:2], sent[2:]), headers) == "reset"
            await upstream.ended.wait()
            assert upstream.requests == []

    play(scene())


SLOW = [
    pytest.param(
        [OK[at : at + 9] for at in range(0, len(OK), 9)], 0.01, 30, "", id="in small parts, in time"
    ),
    pytest.param(
        [*(HEAD[at : at + 1] for at in range(8))], 0.1, 0.6, "timeout", id="a head that takes too long"
    ),
    pytest.param(
        [HEAD + b"content-length: 8\r\n\r\n", *[b"x"] * 8],
        0.4,
        3,
        "",
        id="a body of short silences may take long",
    ),
    pytest.param(
        [HEAD + b"content-length: 8\r\n\r\n", b"x" * 7], 0.1, 0.6, "timeout", id="a body that falls silent"
    ),
]


@pytest.mark.parametrize(("said", "pause", "seconds", "kind"), SLOW)
def test_a_slow_upstream(said: list[bytes], pause: float, seconds: float, kind: str) -> None:
    async def scene() -> None:
        async def slowly(_up: Upstream, _head: bytes, reader: Reader, writer: Writer) -> None:
            for part in said:
                writer.write(part)
                await asyncio.sleep(pause)
            await reader.read()

        async with Upstream(slowly) as upstream, client(seconds=seconds) as made:
            if kind:
                assert await failure(made, upstream.url) == kind
            else:
                assert await fetch(made, upstream.url) in (b"{}", b"x" * 8)

    play(scene())


@pytest.mark.parametrize(
    "reply",
    [HEAD + b"content-length: 9\r\n\r\n", HEAD + b"\r\n", CHUNKED[:-2] + b"\r\n"],
    ids=["length", "none", "chunks"],
)
def test_the_reply_to_a_head_has_no_body_and_the_next_one_has(reply: bytes) -> None:
    async def scene() -> None:
        async with Upstream(says(reply)) as upstream, client(connections=1) as made:
            for _ in range(2):
                upstream.answer = says(reply)
                head = await made.send(Origin.of(upstream.url), "HEAD", b"", (), None)
                assert (head.status, head.whole()) == (200, b"")
                upstream.answer = says(OK)
                assert await fetch(made, upstream.url) == b"{}"

    play(scene())
