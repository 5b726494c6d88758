"""The CPU time that requests of clients without a credential take: `python -m tests.costs`.

Each request is judged in process, by a guard whose caches are empty. Its CPU time is that of its thread, less
the time that an application takes to receive and discard the same bytes. The bound is 9 ms. The unit of the
factor is the ordinary denial, that of a caller without permission.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camguard.authn.authenticator import authenticator
from camguard.settings import IdentitySettings
from tests import stage
from tests.asgi import body_of, discard, read_body, receive_of, respond
from tests.authn import signing

BOUND = 0.009  # seconds of CPU
ORDINARY = "ordinary denial"
_FORM = signing.FORM.encode()
_MULTIPART = b"multipart/form-data; boundary=b"
_WORDS = {
    b"host": signing.HOST.encode(),
    b"content-type": b"application/json",
    b"x-tc-action": b"TextToImage",
    b"x-tc-timestamp": b"%d" % signing.NOW,
    b"x-tc-version": b"2022-12-29",
}
_KNOWN = signing.authorization("0" * 64).encode()
_UNKNOWN = signing.authorization("0" * 64, secret_id="AKIDnobody").encode()
_PLAIN = b"x-forwarded-for"
_OWN = b"198.51.100.9"


class Held:
    """Keys that do not change."""

    keys = signing.keys()


@dataclass(frozen=True)
class ClientRequest:
    """A request: method, header lines beside the usual ones or in their place, query and body.

    v1: the lines that belong to TC3 are left out.
    """

    lines: tuple[tuple[bytes, bytes], ...] = ()
    query: bytes = b""
    body: bytes = b"{}"
    client: tuple[str, int] = (_OWN.decode(), 40000)
    v1: bool = False
    method: str = "POST"

    def as_received(self) -> stage.Request:
        """Return the request as a server hands it over."""
        own = {name for name, _ in self.lines}
        usual = [line for line in _WORDS.items() if not (self.v1 and line[0].startswith(b"x-tc-"))]
        lines = (*(line for line in usual if line[0] not in own), *self.lines)
        return stage.Request(
            lines=lines, query=self.query, chunks=(self.body,), client=self.client, method=self.method
        )


def _lines(name: bytes, value: bytes, times: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((name, value),) * times


def _form(body: bytes) -> ClientRequest:
    return ClientRequest(((b"content-type", _FORM),), body=body)


def _form_v1(more: bytes, query: bytes = b"") -> ClientRequest:
    """Return a form with a v1 signature that is not good, to a host that clients sign in four ways."""
    host = signing.HOST.title().encode() + b":80"
    return ClientRequest(((b"content-type", _FORM), (b"host", host)), query, _V1 + more, v1=True)


def _signed(body: bytes, authorization: bytes = _UNKNOWN, kind: bytes = b"application/json") -> ClientRequest:
    return ClientRequest(((b"authorization", authorization), (b"content-type", kind)), body=body)


def _signed_query(query: bytes) -> ClientRequest:
    """Return a GET whose signature is not good, to a host that clients sign in four ways."""
    host = signing.HOST.title().encode() + b":80"
    lines = ((b"authorization", _UNKNOWN), (b"content-type", _FORM), (b"host", host))
    return ClientRequest(lines, query, b"", method="GET")


def _numbered(piece: bytes, count: int, between: bytes = b"&") -> bytes:
    """Return the piece so many times, with its number for each `#`."""
    return between.join(piece.replace(b"#", b"%d" % at) for at in range(count))


_V1 = b"Action=TextToImage&Version=2022-12-29&Nonce=1&Timestamp=%d&SecretId=%s&Signature=%s" % (
    signing.NOW,
    signing.SECRET_ID.encode(),
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D",
)
_PROXY = (stage.PROXY, 40000)
_ODD_ESCAPED = b"%EF%B7%BA"
_MEBIBYTE = 1 << 20

REQUESTS: Mapping[str, ClientRequest] = {
    ORDINARY: ClientRequest(((b"x-camguard-principal", b"100000000102"), (_PLAIN, _OWN)), client=_PROXY),
    "nothing signed": ClientRequest(),
    "Connection: 16 KB of names": ClientRequest(((b"connection", b"a," * 8000),)),
    "Connection: 1 KB of names": ClientRequest(((b"connection", b"a," * 511),)),
    "Connection: 128 lines": ClientRequest(_lines(b"connection", b"a," * 200, 120)),
    "header names of 256 signs": ClientRequest(tuple((b"!" * 250 + b"%d" % at, b"") for at in range(120))),
    "header names that are aliases": ClientRequest(tuple((b"x_tc_%d" % at, b"") for at in range(120))),
    "header values, 64 KB": ClientRequest(_lines(b"x-note", b"a" * 500, 110)),
    "header values of tabs": ClientRequest(_lines(b"x-note", b"\t" * 500, 110)),
    "X-Forwarded-For: commas": ClientRequest(_lines(_PLAIN, b",:" * 8000, 3)),
    "X-Forwarded-For: own address": ClientRequest(_lines(_PLAIN, (_OWN + b":1,") * 1000, 3)),
    "X-Forwarded-For: own address, short": ClientRequest(
        _lines(_PLAIN, b"::1:1," * 2700, 3), client=("::1", 40000)
    ),
    "X-Forwarded-For: through the proxy": ClientRequest(
        _lines(_PLAIN, (_OWN + b",") * 1000, 3), client=_PROXY
    ),
    "X-Forwarded-For: addresses of proxies": ClientRequest(
        _lines(_PLAIN, b"10.0.0.1," * 450, 1), client=_PROXY
    ),
    "identity header of 16 KB": ClientRequest(((b"x-camguard-principal", b"1" * 16000),), client=_PROXY),
    "Host of 16 KB": ClientRequest(((b"host", b"a." * 8000),)),
    "Host of 250 labels": ClientRequest(((b"host", b"a." * 110 + b"tencentcloudapi.com"),)),
    "Content-Type: parameters": ClientRequest(
        ((b"content-type", b"application/json" + b";charset=utf-8" * 1000),)
    ),
    "Content-Type: blanks": ClientRequest(((b"content-type", b"application/json" + b" ;" * 8000),)),
    "Authorization of 16 KB": ClientRequest(((b"authorization", _UNKNOWN[:60] + b"a" * 16000),)),
    "Authorization: 1,000 signed headers": _signed(
        b"{}", signing.authorization("0" * 64, names=";".join(f"a{at:03}" for at in range(400))).encode()
    ),
    "Authorization: blanks": ClientRequest(
        ((b"authorization", _UNKNOWN.replace(b", ", b" " * 8000 + b", ")),)
    ),
    "signed query of tildes, unknown key": _signed_query(b"A=" + b"~" * 32_000),
    "signed query of 900 tildes, unknown key": _signed_query(_numbered(b"A#=~", 900)),
    "signed query of names with tildes, unknown key": _signed_query(_numbered(b"A#~=~", 900)),
    "query: & 997 times": ClientRequest(query=b"&" * 997),
    "query: & 32,000 times": ClientRequest(query=b"&" * 32000),
    "query: names that expand": ClientRequest(query=_numbered(_ODD_ESCAPED * 3 + b"#", 900)[:32000]),
    "query: a name of escapes": ClientRequest(query=b"%41" * 10_900),
    "query: names like Action": ClientRequest(query=_numbered(b"xAction#", 990)),
    "query: names of signs": ClientRequest(query=b"?!" * 16_000),
    "query: names of many levels": ClientRequest(query=b"a." * 16_000),
    "query: encoded twice": ClientRequest(query=b"%2541" * 6_500),
    "form of a mebibyte": _form(b"A=" + b"x" * (_MEBIBYTE - 2)),
    "form of a mebibyte of escapes": _form(b"A=" + b"%41" * 349_000),
    "form of 1,000 names": _form(_numbered(b"A#=1", 990)),
    "form of &": _form(b"&" * _MEBIBYTE),
    "form of odd names": _form((b"%ff" * 300 + b"=1&") * 900),
    "form, v1, a mebibyte": _form_v1(b"&A=" + b"x" * 1_040_000),
    "form, v1, 380 KB, two spellings": _form_v1(b"&A_B=" + b"x" * 380_000),
    "form, v1, a mebibyte, two spellings": _form_v1(b"&A_B=" + b"x" * 1_040_000),
    "form, v1, a mebibyte of escapes": _form_v1(b"&A=" + b"%41" * 346_000),
    "form, v1, a mebibyte of letters": _form_v1(b"&A_B=" + b"%e4%b8%ad" * 115_000),
    "form, v1, a mebibyte of pairs": _form_v1(b"&A=" + b"%26a%3D" * 148_000),
    "form, v1, 900 parameters": _form_v1(b"&" + _numbered(b"A_#=1", 900)),
    "form, v1, 900 long values": _form_v1(b"&" + _numbered(b"A_#=" + b"x" * 1100, 900)),
    "form, v1, 900 long names": _form_v1(b"&" + _numbered(b"A#" + b"x" * 1000 + b"=1", 900)),
    "form, v1, a query beside it": _form_v1(b"", _numbered(b"B#=1", 900)),
    "JSON of a mebibyte, unknown key": _signed(b'{"Action":"' + b"a" * _MEBIBYTE + b'"}'),
    "JSON of a mebibyte, known key": _signed(b'{"Action":"' + b"a" * _MEBIBYTE + b'"}', _KNOWN),
    "JSON of depth 100,000, unknown key": _signed(b'{"Action":' + b"[" * 100_000),
    "JSON of 30,000 members, unknown key": _signed(b"{" + _numbered(b'"Action#":1', 30_000, b",") + b"}"),
    "multipart of delimiters, unknown key": _signed(b"--b\r\n" * 200_000, kind=_MULTIPART),
    "multipart of long names, unknown key": _signed(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nv\r\n' % (b"%" * 7800) * 99 + b"--b--",
        kind=_MULTIPART,
    ),
}


def guarded() -> stage.Play:
    """Return a middleware with empty caches that accepts v1 and TC3 signatures."""
    rules = IdentitySettings(mode="either", allow_v1=True)
    return stage.Play(authentication=authenticator(rules, Held()), clock=lambda: float(signing.NOW))


async def _application(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    del scope
    await read_body(receive)
    await respond(send)


def _once(request: ClientRequest) -> tuple[float, str]:
    """Return CPU seconds of one request above those of discarding it, and the detail of its refusal."""

    async def measured(app: Any, scope: Mapping[str, Any]) -> float:
        receive = receive_of(body_of(request.body))
        began = time.thread_time()
        await app(scope, receive, discard)
        return time.thread_time() - began

    async def both() -> tuple[float, str]:
        play = guarded()
        spent = await measured(play.middleware, request.as_received().scope())
        spent -= await measured(_application, request.as_received().scope())
        decision = play.records[-1].decision
        return spent, decision.detail or decision.reason.value

    return asyncio.run(both())


def cost(name: str, rounds: int = 7) -> tuple[float, str]:
    """Return the least CPU seconds of some rounds, for other programs only ever add some; and the detail."""
    spent = [_once(REQUESTS[name]) for _ in range(rounds)]
    return min(each for each, _ in spent), spent[0][1]


def main() -> int:
    """Print the table. Exit code 1 if a request costs more than the bound."""
    unit = cost(ORDINARY, 50)[0]
    over = 0
    print(f"{'request':44} {'CPU ms':>8} {'factor':>8}  refused as")
    for name in REQUESTS:
        spent, detail = cost(name)
        over += spent > BOUND
        print(f"{name:44} {spent * 1e3:8.3f} {spent / unit:8.1f}  {detail}")
    print(f"\n{over} of {len(REQUESTS)} cost more than {BOUND * 1e3:.0f} ms")
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
