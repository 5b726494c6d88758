"""One table of requests, under every server: mounted, and around and behind Starlette's own middlewares."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import NamedTuple

from tests.authn import signing
from tests.servers.serving import Lines, Running, ask_http1, ask_http2, content_of, spell
from tests.tables import check_each

ALICE = "100000000101"
HOST, JSON = "aiart.tencentcloudapi.com", "application/json"
DENIED = "AuthFailure.UnauthorizedOperation"
MIDDLEWARES = ("gzip", "cors", "trusted-host", "sessions", "base-http")
LARGE = b'{"Prompt":"' + b"x" * 200_000 + b'"}'


class Case(NamedTuple):
    """One request. body: in parts, with pauses between them. want: size of the allowed body, or a code."""

    want: int | str
    path: str = "/"
    method: str = "POST"
    body: tuple[bytes, ...] = (b"{}",)
    lines: Lines = ()
    signed: bool = False
    source: str = "10.1.2.3"


AROUND = tuple(f"/{side}/{name}/" for side in ("outside", "inside") for name in MIDDLEWARES)
CASES = {
    "named by a proxy": Case(2),
    "a body that comes late (T127)": Case(2, body=(b"", b"{}")),
    "a body in parts (T127)": Case(8, body=(b'{"a"', b":", b" 1}")),
    "a large body": Case(len(LARGE), body=(LARGE,)),
    "a large body in parts": Case(len(LARGE), body=(LARGE[:70_000], LARGE[70_000:])),
    "a GET": Case(0, method="GET", body=(b"",)),
    "signed": Case(2, signed=True),
    "signed, with a body that comes late": Case(2, body=(b"", b"{}"), signed=True),
    "signed for another body": Case("AuthFailure.SignatureFailure", body=(b"{}", b" "), signed=True),
    "denied": Case(DENIED, source="198.51.100.9"),
    "denied, with a body that comes late": Case(DENIED, body=(b"", b"{}"), source="198.51.100.9"),
    "a body that is no JSON": Case("InvalidParameter", body=(b"\xff",)),
    "a second action": Case("InvalidRequest", lines=(("x-tc-action", "SetPayMode"),)),
    "mounted (T128)": Case(2, path="/mounted/"),
    "mounted and signed (T128)": Case(2, path="/mounted/", signed=True),
    "mounted and denied (T128)": Case(DENIED, path="/mounted/", source="198.51.100.9"),
    "below a mount (T128)": Case("UnsupportedProtocol", path="/mounted/x"),
    "two slashes behind a mount (T128)": Case("UnsupportedProtocol", path="/mounted//"),
    "an escaped slash behind a mount (T128)": Case("UnsupportedProtocol", path="/mounted/%2F"),
    "an escaped mount (T128)": Case("UnsupportedProtocol", path="/%6Dounted/"),
    **{f"allowed at {path}": Case(2, path=path) for path in AROUND},
    **{f"signed at {path}": Case(2, path=path, signed=True) for path in AROUND},
    **{f"late at {path}": Case(8, path=path, body=(b'{"a"', b": 1}")) for path in AROUND},
    **{f"denied at {path}": Case(DENIED, path=path, source="198.51.100.9") for path in AROUND},
}


def lines_of(case: Case, folder: Path) -> Lines:
    """Return the lines of a request. A signed one covers the two bytes `{}`."""
    lines: Lines = (
        ("host", HOST),
        ("content-type", JSON),
        ("x-tc-action", "TextToImage"),
        ("x-tc-version", "2022-12-29"),
        ("x-forwarded-for", case.source),
        ("accept-encoding", "gzip"),
        ("origin", "https://app.example"),
        *case.lines,
    )
    if not case.signed:
        return (*lines, ("x-camguard-principal", ALICE))
    keys = json.loads((folder / "keys.json").read_text())
    secret_id, key = next((name, row) for name, row in keys.items() if row["principal"] == f"uin/{ALICE}")
    now = int(time.time())
    signature = signing.tc3(
        signed=(("content-type", JSON), ("host", HOST)),
        payload=b"{}",
        timestamp=now,
        secret=key["secret_key"],
    )
    date = time.strftime("%Y-%m-%d", time.gmtime(now))
    written = signing.authorization(signature, secret_id=secret_id, date=date)
    return (*lines, ("x-tc-timestamp", str(now)), ("authorization", written))


def expected(case: Case) -> object:
    return {"principal": f"uin/{ALICE}", "size": case.want} if isinstance(case.want, int) else case.want


def test_every_server_and_every_version_of_http_gives_the_same_answer(server: Running, folder: Path) -> None:
    check_each(CASES, lambda case: the_answer_is_as_expected(server, folder, case))


def the_answer_is_as_expected(server: Running, folder: Path, case: Case) -> None:
    body = b"".join(case.body)
    lines = lines_of(case, folder)
    if case.method == "POST":
        lines = (*lines, ("content-length", str(len(body))))
    if "1.1" in server.versions:
        first, *later = case.body
        head = spell(*lines, path=case.path, method=case.method)
        assert content_of(ask_http1(server.port, head + first, *later, pause=0.03)) == expected(case)
    if "2" in server.versions and not (server.name == "uvicorn, zttp" and case.method == "GET"):
        # That server never ends the body of a GET over HTTP/2.
        assert content_of(ask_http2(server.port, case.method, case.path, lines, body)) == expected(case)
