"""Two readers, one request: another reader finds in what reaches the application what was judged.

The reader below is lenient where upstreams are: it folds names, takes the last of several, decodes what it
can. It shares no code with camguard. Whatever it finds must be what is in the record (T69, T70).
"""

from __future__ import annotations

import asyncio
import email.message
import email.parser
import email.policy
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camguard.authn.authenticator import authenticator
from camguard.authn.key_store import KeyStore
from camguard.settings import IdentitySettings
from tests.authn.signing import SECRET, SECRET_ID, authorization
from tests.stage import (
    ALICE,
    ELSEWHERE,
    OFFICE,
    PROXY,
    QUIET,
    SDK,
    SETTINGS,
    FixedCaller,
    Line,
    Play,
    Reply,
    Request,
    sdk,
)

JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"


def folded(name: str) -> str:
    """Return a name as the most lenient reader knows it."""
    plain = unicodedata.normalize("NFKC", name).casefold().strip().strip("\0")
    return plain.partition("[")[0].replace("_", "-")


def actions(scope: dict[str, Any], body: bytes) -> Iterator[str]:
    """Yield every action that somebody could read in a request."""
    kind = ""
    for name, value in scope["headers"]:
        if folded(name.decode("latin-1")) == "x-tc-action":
            yield value.decode("latin-1").strip()
        if folded(name.decode("latin-1")) == "content-type":
            kind = value.decode("latin-1").lower()
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if "json" in kind and body:
        document = json.loads(body)
        pairs += list(document.items()) if isinstance(document, dict) else []
    elif "urlencoded" in kind:
        pairs += parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    elif "multipart" in kind and body:
        parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
            b"content-type: " + dict(scope["headers"])[b"content-type"] + b"\r\n\r\n" + body
        )
        for part in parsed.iter_parts():
            assert isinstance(part, email.message.EmailMessage)
            pairs.append((str(part.get_param("name", "", "content-disposition")), part.get_content()))
    yield from (str(value) for name, value in pairs if folded(name) == "action")


def services(scope: dict[str, Any]) -> set[str]:
    hosts = [value for name, value in scope["headers"] if folded(name.decode("latin-1")) == "host"]
    return {host.decode("latin-1").lower().partition(".")[0] for host in hosts}


NAMES = [
    "x-tc-action",
    "x_tc_action",
    "X-TC-Action",
    "x-tc-action ",
    "host",
    "connection",
    "content-type",
    "x-forwarded-host",
    "x-tc-region",
]
ACTIONS = ["QueryArea", "DeleteBudget", "queryarea", "QueryArea,DeleteBudget", "QueryArea ", ""]
PARAMS = [
    "Action",
    "action",
    "ACTION",
    "Action[]",
    "%41ction",
    "%61ction",
    "Action%00",
    "+Action",
    "\uff21ction",
    "A",
]
lines = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([*ACTIONS, "x-tc-action", "application/json", "aiart.gw.example", "null"]),
    ),
    max_size=3,
)
queries = st.lists(st.tuples(st.sampled_from(PARAMS), st.sampled_from(ACTIONS[:4])), max_size=2).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8")
)
members = st.lists(
    st.tuples(
        st.sampled_from(["Action", "action", " Action", "\\u0041ction", "B", "Action\\u0000"]),
        st.sampled_from(ACTIONS),
    ),
    max_size=2,
)


def multipart(fields: list[tuple[str, str]], quote: str = '"') -> bytes:
    """Return a body with these fields. quote: what stands around a name; the .NET client writes none."""
    parts = [
        f"--b\r\nContent-Disposition: form-data; name={quote}{name}{quote}\r\n\r\n{value}\r\n"
        for name, value in fields
    ]
    return ("".join(parts) + "--b--\r\n").encode("utf-8")


bodies = st.one_of(
    members.map(lambda m: (JSON, ("{" + ",".join(f'"{n}":"{v}"' for n, v in m) + "}").encode())),
    queries.map(lambda query: (FORM, query)),
    st.builds(
        lambda m, quote: (b"multipart/form-data; boundary=b", multipart(m, quote)),
        members,
        st.sampled_from(['"', ""]),
    ),
)


def test_whatever_reaches_the_application_names_one_action() -> None:
    """Half of what is drawn is usual, so that strange things arrive one at a time and some requests pass."""
    passed = []

    @settings(QUIET, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
    @given(
        head=st.one_of(st.just("QueryArea"), st.sampled_from([*ACTIONS, None])),
        more=st.one_of(st.just([]), lines),
        query=st.one_of(st.just(b""), queries),
        content=st.one_of(st.just((JSON, b"{}")), bodies),
        method=st.sampled_from(["POST", "POST", "GET"]),
    )
    def agree(
        head: str | None,
        more: list[tuple[str, str]],
        query: bytes,
        content: tuple[bytes, bytes],
        method: str,
    ) -> None:
        extra: list[Line] = [(name.encode(), value.encode()) for name, value in more]
        if head is not None:
            extra.insert(0, (b"x-tc-action", head.encode()))
        kind, body = content
        request = sdk(
            *extra, (b"x-forwarded-for", OFFICE.encode()), without=[b"x-tc-action"], content_type=kind
        )
        reply = Play().reply_to(
            lines=request, method=method, query=query, chunks=(b"" if method == "GET" else body,)
        )
        if not reply.passed:
            return
        passed.append(reply)
        scope, _ = reply.reached[0]
        assert set(actions(scope, reply.taken)) == {reply.records[0].action}
        assert services(scope) == {reply.records[0].service} == {scope["camguard.service"]}
        assert scope["query_string"] == query

    agree()
    assert len(passed) > 40


UNTRUSTED = [
    (b"x-forwarded-for", OFFICE.encode()),
    (b"forwarded", b"for=203.0.113.7"),
    (b"x-real-ip", OFFICE.encode()),
    (b"true-client-ip", OFFICE.encode()),
    (b"x-forwarded-host", b"aiart.gw.example"),
    (b"x-original-url", b"/?Action=DeleteBudget"),
    (b"x-http-method-override", b"GET"),
    (b"x-remote-user", b"root"),
    (b"x-tc-service", b"aiart"),
    (b"x-camguard-decision", b"allow"),
    (b"te", b"trailers"),
]


@QUIET
@given(
    spoofed=st.lists(st.sampled_from(UNTRUSTED), max_size=6),
    client=st.sampled_from([OFFICE, ELSEWHERE, "127.0.0.1", "::1", "2001:db8::5"]),
    action=st.sampled_from([b"QueryArea", b"PayOrders", b"QueryUser", b"Nothing"]),
)
def test_stripping_untrusted_headers_changes_no_decision_of_an_untrusted_peer(
    spoofed: list[Line], client: str, action: bytes
) -> None:
    def reply_with(*extra: Line) -> Reply:
        return Play().reply_to(lines=sdk(*extra, x_tc_action=action), client=(client, 1))

    with_, without = reply_with(*spoofed), reply_with()
    assert with_.records[0].decision == without.records[0].decision
    assert with_.records[0].source_ip == without.records[0].source_ip
    if with_.passed:
        assert with_.carried == without.carried


@QUIET
@given(
    spoofed=st.lists(st.sampled_from(UNTRUSTED[1:]), max_size=6), client=st.sampled_from([OFFICE, ELSEWHERE])
)
def test_a_trusted_proxy_relays_them_in_vain(spoofed: list[Line], client: str) -> None:
    forwarded = (b"x-forwarded-for", client.encode())
    with_ = Play().reply_to(lines=sdk(*spoofed, forwarded))
    without = Play().reply_to(lines=sdk(forwarded))
    assert with_.records[0].decision == without.records[0].decision


# client of the socket, identity lines, detail
IDENTITIES = [
    pytest.param(PROXY, [b"100000000101"], "allowed", id="the proxy names the caller"),
    pytest.param(OFFICE, [b"100000000101"], "identity_header_untrusted", id="T69 the client names itself"),
    pytest.param(PROXY, [], "principal_missing", id="THREATS 3.4.5 no caller is named"),
    pytest.param(
        PROXY,
        [b"100000000101", b"100000000101"],
        "header_duplicate",
        id="T70 both client and proxy name a caller",
    ),
    pytest.param(PROXY, [b"100000000101,100000000102"], "identity_header_invalid", id="T72 a list"),
    pytest.param(PROXY, [b"*"], "identity_header_invalid", id="T72 a wildcard"),
    pytest.param(PROXY, [b""], "identity_header_invalid", id="T72 empty"),
    pytest.param(PROXY, [b"999999999999"], "principal_unknown", id="an unknown principal"),
]


@pytest.mark.parametrize(("client", "identities", "detail"), IDENTITIES)
def test_identity_headers(client: str, identities: list[bytes], detail: str) -> None:
    authentication = authenticator(IdentitySettings(mode="header"), None)
    extra = [(b"x-camguard-principal", each) for each in identities]
    forwarded = [(b"x-forwarded-for", OFFICE.encode())] if client == PROXY else []
    reply = Play(authentication=authentication).reply_to(lines=sdk(*extra, *forwarded), client=(client, 1))
    assert reply.detail == detail
    assert reply.passed == (detail == "allowed")
    if reply.passed:
        assert reply.records[0].principal == ALICE
        assert b"x-camguard-principal" not in dict(reply.reached[0][0]["headers"])


def test_t41_the_product_that_was_signed_is_the_one_of_the_host(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({SECRET_ID: {"secret_key": SECRET, "principal": ALICE}}))
    file.chmod(0o600)
    authentication = authenticator(IdentitySettings(mode="signature"), KeyStore(file))
    auth = authorization("0" * 64, date="2026-03-10", service="aiart")
    lines = sdk((b"authorization", auth.encode()), (b"x-forwarded-for", OFFICE.encode()))
    reply = Play(authentication=authentication).reply_to(lines=lines)
    assert (reply.detail, reply.passed) == ("service_conflict", False)


def test_what_goes_on_is_judged_the_same_again() -> None:
    """Normalising twice changes nothing: a second guard behind the first sees the same call."""
    first = Play().reply_to(
        lines=sdk((b"x-forwarded-for", OFFICE.encode()), (b"connection", b"x-note"), (b"x-note", b"1"))
    )
    scope = {**first.reached[0][0], "client": (OFFICE, 1)}
    second = Play(authentication=FixedCaller())
    request = Request(chunks=(first.taken,))
    reply = asyncio.run(second.serve(request, scope))
    assert reply.carried == first.carried
    assert reply.records[0][4:12] == first.records[0][4:12]


def test_the_stage_is_set_as_clients_send() -> None:
    assert {name for name, _ in SDK} >= {b"host", b"x-tc-action", b"content-type"}
    assert SETTINGS.client_ip.trusted_proxies.cidrs() == ("10.0.0.0/24",)
