"""Requests that the vendor's clients write in a way of their own, and what only resembles them.

Each request is signed by the second signer and goes through the whole middleware, once under
`bind_signatures` and once without. What is accepted must reach the application byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from camguard.authn.authenticator import authenticator
from camguard.settings import IdentitySettings
from tests.authn.signing import FORM, HOST, JSON, NOW, SECRET_ID, authorization, keys, tc3, v1
from tests.stage import OFFICE, Play, Reply

BLANK = "SHA256 "
UTF8 = "application/json; charset=utf-8"
BOUNDED = "multipart/form-data; boundary=b"


class Held:
    """One key, of a permanent credential."""

    keys = keys()


class Call(NamedTuple):
    """One request as a client sends it. lines: all headers but the one that names the peer's client."""

    lines: tuple[tuple[str, str], ...]
    method: str = "POST"
    query: str = ""
    body: bytes = b""


def replies(call: Call, times: int = 1) -> list[Reply]:
    """Return what comes of a call that is sent so often, with and without `bind_signatures`."""
    found = []
    for bound in (False, True):
        settings = IdentitySettings(mode="signature", allow_v1=True, bind_signatures=bound)
        play = Play(authentication=authenticator(settings, Held()), clock=lambda: NOW)
        request: dict[str, Any] = {
            "lines": tuple((name.lower().encode(), value.encode()) for name, value in call.lines),
            "method": call.method,
            "query": call.query.encode(),
            "chunks": (call.body,),
            "client": (OFFICE, 1),
        }
        found += [play.reply_to(**request) for _ in range(times)]
    return found


def detail(call: Call) -> str:
    """Return what a call comes to: the same with and without `bind_signatures`."""
    one, other = replies(call)
    assert one.detail == other.detail
    if one.passed:
        scope, _ = one.reached[0]
        lines = {(name.lower().encode(), value.encode()) for name, value in call.lines}
        assert lines <= set(scope["headers"])
        assert (scope["query_string"], one.taken) == (call.query.encode(), call.body)
    return one.detail


def signed(
    *,
    method: str = "POST",
    query: str = "",
    signed_query: str | None = None,
    kind: str = UTF8,
    signed_kind: str | None = None,
    body: bytes = b"{}",
    scope: str = "aiart",
    auth: tuple[str, str] = ("", ""),
    more: Iterable[tuple[str, str]] = (),
) -> Call:
    """Return a call signed with TC3. auth: a text of the header, and what stands in its place."""
    body = b"" if method == "GET" else body
    lines = (("content-type", signed_kind or kind), ("host", HOST))
    covered = query if signed_query is None else signed_query
    signature = tc3(method=method, query=covered, signed=lines, payload=body, service=scope)
    return Call(
        (
            ("Host", HOST),
            ("Content-Type", kind),
            ("X-TC-Action", "TextToImage"),
            ("X-TC-Version", "2022-12-29"),
            ("X-TC-Timestamp", str(NOW)),
            ("Authorization", authorization(signature, service=scope).replace(*auth)),
            *more,
        ),
        method,
        query,
        body,
    )


def form(*params: tuple[str, str], after: str = "", raw: str = "", get: bool = False) -> Call:
    """Return a call signed with v1. after: behind the signature. raw: a parameter as it is sent instead."""
    method = "GET" if get else "POST"
    common = (("Action", "TextToImage"), ("Nonce", "1"), ("SecretId", SECRET_ID), ("Timestamp", str(NOW)))
    every = (*common, ("Version", "2022-12-29"), *params)
    signature = v1(method, every, digest="sha1")
    sent = [f"{name}={quote(value, safe='')}" for name, value in every if name != raw[1:].partition("=")[0]]
    text = "&".join([*sent, f"Signature={quote(signature + after, safe='')}"]) + raw
    lines = (("Host", HOST), ("Content-Type", FORM))
    return Call(lines, "GET", text) if get else Call(lines, body=text.encode())


def multipart(disposition: str, kind: str = BOUNDED, **how: Any) -> Call:
    """Return a call whose one part has this disposition, as the .NET client writes the rest."""
    lines = (
        "--b",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Disposition: form-data; {disposition}",
    )
    return signed(kind=kind, body="\r\n".join((*lines, "", "x", "--b--", "")).encode(), **how)


def region(value: str) -> tuple[tuple[str, str], ...]:
    return (("X-TC-Region", value),)


CALLS = [
    pytest.param(signed(auth=(BLANK, "SHA256  ")), "allowed", id="T121 two blanks after the scheme"),
    pytest.param(
        signed(method="GET", kind=FORM, query="LogoAdd=0", auth=(BLANK, "SHA256  ")),
        "allowed",
        id="T121 two blanks in a GET",
    ),
    pytest.param(signed(auth=(BLANK, "SHA256" + " " * 8)), "allowed", id="T121 eight blanks"),
    pytest.param(signed(auth=(", ", ",")), "allowed", id="T121 no blank behind the commas"),
    pytest.param(signed(auth=(BLANK, "SHA256" + " " * 9)), "auth_malformed", id="T121 nine blanks"),
    pytest.param(signed(auth=(BLANK, "SHA256\t")), "header_malformed", id="T121 a tab"),
    pytest.param(
        signed(auth=(BLANK, "SHA256 \n ")), "header_malformed", id="T121 a line break in the middle"
    ),
    pytest.param(signed(auth=("/aiart/", "/aiart/ ")), "auth_malformed", id="T121 a blank in the scope"),
    pytest.param(
        signed(auth=("Credential=", f"Credential={SECRET_ID}, Credential=")),
        "auth_malformed",
        id="T121 another credential",
    ),
    pytest.param(signed(more=region("")), "allowed", id="T122 an empty region"),
    pytest.param(signed(more=(("X-TC-Token", ""),)), "allowed", id="T122 an empty token"),
    pytest.param(signed(more=(("X-TC-Language", ""),)), "allowed", id="T122 an empty language"),
    pytest.param(signed(more=region("") * 2), "header_duplicate", id="T122 an empty region twice"),
    pytest.param(
        signed(more=(*region(""), ("x_tc_region", "ap-a"))),
        "header_alias",
        id="T122 a region beside its twin",
    ),
    pytest.param(form(("Region", "")), "allowed", id="T122 an empty region of v1"),
    pytest.param(form(("Region", ""), get=True), "allowed", id="T122 an empty region of v1 in a query"),
    pytest.param(form(("Region", ""), raw="&Region"), "allowed", id="T133 a region of v1 without `=`"),
    pytest.param(form(("Token", ""), ("Language", "")), "allowed", id="T122 an empty token of v1"),
    pytest.param(form(raw="&Region="), "signature_invalid", id="T122 an empty region that was not signed"),
    pytest.param(form(("Region", ""), raw="&Region=ap-a"), "signature_invalid", id="T122 a region filled in"),
    pytest.param(form(("Region", "ap-a"), raw="&Region"), "signature_invalid", id="T122 a region emptied"),
    pytest.param(signed(more=region("null")), "allowed", id="T133 the text null"),
    pytest.param(
        signed(method="GET", kind=FORM, query="LogoAdd=0", more=region("null")),
        "allowed",
        id="T133 the text null in a GET",
    ),
    pytest.param(signed(more=region("NULL")), "region_invalid", id="T133 in capitals"),
    pytest.param(form(("Region", "null")), "region_invalid", id="T133 null in a form"),
    pytest.param(form(("Region", "null"), get=True), "region_invalid", id="T133 null in a query"),
    pytest.param(form(after="\n"), "allowed", id="T124 a line break behind the signature"),
    pytest.param(form(after="\n", get=True), "allowed", id="T124 a line break in a query"),
    pytest.param(form(after="\n\n"), "auth_malformed", id="T124 two line breaks"),
    pytest.param(form(after="\r\n"), "auth_malformed", id="T124 CR and LF"),
    pytest.param(form(after=" "), "auth_malformed", id="T124 a blank"),
    pytest.param(
        form(after="\n", raw="&A=1"), "signature_invalid", id="T124 a parameter that was not signed"
    ),
    pytest.param(
        multipart("name=Prompt", 'multipart/form-data; boundary="b"'),
        "allowed",
        id="T125 as the .NET client writes it",
    ),
    pytest.param(multipart("name=P; filename=x; filename*=utf-8''x"), "allowed", id="T125 a file of .NET"),
    pytest.param(multipart("name*=utf-8''Action"), "body_malformed", id="T125 an extended name"),
    pytest.param(multipart("name*0=Act; name*1=ion"), "body_malformed", id="T125 a name in two pieces"),
    pytest.param(multipart("name=P; name*0=Action"), "body_malformed", id="T125 a piece beside the name"),
    pytest.param(multipart("name=P; name=Q"), "body_malformed", id="T125 two names"),
    pytest.param(multipart("name=P; Name=Action"), "body_malformed", id="T125 two names in two cases"),
    pytest.param(multipart("filename=x"), "body_malformed", id="T125 no name"),
    pytest.param(multipart("name=P; filename=x; filename=y"), "body_malformed", id="T125 two files"),
    pytest.param(multipart("name=Action"), "action_conflict", id="T125 an action without quotes"),
    pytest.param(
        multipart('name="P"', signed_kind="multipart/form-data"), "allowed", id="T134 as Ruby signs it"
    ),
    pytest.param(
        multipart('name="P"', "multipart/form-data; boundary=x", signed_kind="multipart/form-data"),
        "body_malformed",
        id="T134 another boundary than the body's",
    ),
    pytest.param(
        multipart('name="P"', "multipart/form-data", signed_kind="multipart/form-data"),
        "content_type",
        id="T134 no boundary",
    ),
    pytest.param(
        multipart('name="P"', f"{BOUNDED}; charset=utf-8", signed_kind="multipart/form-data"),
        "signature_invalid",
        id="T134 more than a boundary",
    ),
    pytest.param(
        signed(kind=JSON, signed_kind="multipart/form-data"), "signature_invalid", id="T134 another type"
    ),
    pytest.param(signed(scope="AIART"), "allowed", id="T134 a scope in capitals"),
    pytest.param(signed(scope="PARTNERS"), "service_conflict", id="T134 another service in capitals"),
    pytest.param(
        signed(auth=("/aiart/", "/AIART/")), "signature_invalid", id="T134 capitals that were not signed"
    ),
    pytest.param(
        signed(method="GET", kind=FORM, query="P=~a~", signed_query="P=%7Ea%7E"),
        "allowed",
        id="T134 a tilde signed as an escape",
    ),
    pytest.param(
        signed(method="GET", kind=FORM, query="P=~", signed_query="P=%257E"),
        "signature_invalid",
        id="T134 a tilde signed as an escaped escape",
    ),
    pytest.param(
        signed(query="P=~", signed_query="P=%7E"), "signature_invalid", id="T134 a tilde in a POST's query"
    ),
]


@pytest.mark.parametrize(("call", "expected"), CALLS)
def test_a_request_as_a_client_of_the_vendor_writes_it(call: Call, expected: str) -> None:
    assert detail(call) == expected


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(signed(auth=(BLANK, "SHA256  ")), id="T135 .NET"),
        pytest.param(signed(method="GET", kind=FORM, query="P=~", signed_query="P=%7E"), id="T135 a GET"),
        pytest.param(multipart('name="P"', signed_kind="multipart/form-data"), id="T135 multipart"),
        pytest.param(form(after="\n"), id="T135 v1"),
    ],
)
def test_the_same_request_passes_as_often_as_it_comes(call: Call) -> None:
    assert {reply.detail for reply in replies(call, times=4)} == {"allowed"}
