"""A caller with a good key, who means something else than what he signs: two readers must not disagree.

Everything here is signed as it is sent, so that it is refused for what it says or not at all. The reader
below is as lenient as any upstream and shares no code with camguard: of a request that reached the
application, the actions, services and principals that anybody could find in it are the ones that were judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from camguard.authn.authenticator import authenticator
from camguard.authn.credentials import parse_keys
from camguard.settings import IdentitySettings
from tests.authn.signing import FORM, HOST, JSON, NOW, SECRET, SECRET_ID, authorization, tc3, v1
from tests.enforcement.test_second_reader import actions, folded, multipart, services
from tests.stage import ALICE, OFFICE, PROXY, Line, Play

OTHER_ID, OTHER = "AKIDotherOTHERotherOTHERother0000000", "uin/100000000102"
OWNERS = {SECRET_ID: ALICE, OTHER_ID: OTHER}
_CREDENTIAL = re.compile(r"(?i)credential\s*=\s*([^/,\s]+)(?:/([^/]*)/([^/]*))?")
# Where applications look for whom a proxy has let in.
SAID = {"x-camguard-principal", "x-remote-user", "remote-user", "x-forwarded-user", "x-auth-request-user"}


class Held:
    """Two keys."""

    keys = parse_keys(
        b"{%s}"
        % b",".join(
            f'"{each}":{{"secret_key":"{SECRET}","principal":"{owner}"}}'.encode()
            for each, owner in OWNERS.items()
        ),
        "keys.json",
    )


AUTHENTICATION = authenticator(IdentitySettings(mode="either", allow_v1=True), Held())


def principals(scope: dict[str, Any], body: bytes) -> Iterator[str]:
    """Yield everybody whom somebody could take for the caller."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    for name, value in (
        (folded(name.decode("latin-1")), value.decode("latin-1")) for name, value in scope["headers"]
    ):
        if name in SAID:
            yield f"claimed by {name}: {value}"
        if name == "authorization":
            yield from (OWNERS.get(found[1], "nobody") for found in _CREDENTIAL.finditer(value))
        if name == "content-type" and "urlencoded" in value.lower():
            pairs += parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    yield from (OWNERS.get(value, "nobody") for name, value in pairs if folded(name) == "secretid")


def products(scope: dict[str, Any]) -> set[str]:
    """Return every service that host, credential or a header could name."""
    found = services(scope)
    for name, value in scope["headers"]:
        if folded(name.decode("latin-1")) in {"x-tc-service", "x-forwarded-host", "x-original-host"}:
            found.add(value.decode("latin-1").partition(".")[0])
        if name == b"authorization":
            # Some readers fold the letter case of the scope, as they fold that of the host (T134).
            found |= {each[3].lower() for each in _CREDENTIAL.finditer(value.decode("latin-1")) if each[3]}
    return found


# What readers take for no region: nothing, and the words for nothing of several languages (T122, T133).
NOWHERE = {"", "null", "none", "nil", "undefined"}


def regions(scope: dict[str, Any], body: bytes) -> set[str]:
    """Return every region that somebody could find beside the action, in whatever carries the action."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    lines = [(folded(name.decode("latin-1")), value.decode("latin-1")) for name, value in scope["headers"]]
    if any(name == "content-type" and "urlencoded" in value.lower() for name, value in lines):
        pairs += parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    names = {folded(name) for name, _ in pairs}
    found = {value for name, value in lines if name == "x-tc-region"}
    if "action" in names:
        found |= {value for name, value in pairs if folded(name) == "region"}
    return {value.strip() for value in found if value.strip().lower() not in NOWHERE}


def signature_of(scope: dict[str, Any], body: bytes) -> str:
    """Return the one signature in a request as a lenient reader trims it."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1")) + parse_qsl(body.decode("latin-1"))
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value.decode("latin-1").rpartition("=")[2].strip())
    return str(next(value.strip() for name, value in pairs if name == "Signature"))


ACTION = "TextToImage"
NAMES = [
    "Action",
    "action",
    "Action[]",
    "%41ction",
    "SecretId",
    "secretid",
    "Signature",
    "B",
    "Secret_Id",
    "\uff21ction",
    "Region",
    "region",
]
VALUES = [ACTION, "QueryArea", "TextToImageLite", SECRET_ID, OTHER_ID, "x", "", "~", "null"]
pairs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=2)
LINES: list[Line] = [
    (b"x-tc-action", b"QueryArea"),
    (b"x_tc_action", b"QueryArea"),
    (b"x-camguard-principal", b"100000000102"),
    (b"x-camguard-principal", b"100000000101"),
    (b"x_camguard_principal", b"100000000102"),
    (b"x-remote-user", b"root"),
    (b"host", b"partners.tencentcloudapi.com"),
    (b"x-forwarded-host", b"partners.tencentcloudapi.com"),
    (b"x-tc-service", b"partners"),
    (b"authorization", f"TC3-HMAC-SHA256 Credential={OTHER_ID}/2023-11-14/aiart/tc3_request".encode()),
    (b"proxy-authorization", f"Credential={OTHER_ID}".encode()),
    (b"connection", b"x-tc-action"),
    (b"connection", b"x-note"),
    (b"x-note", b"1"),
    (b"content-type", b"text/plain"),
    (b"x-tc-timestamp", b"1"),
    (b"x-tc-region", b""),
    (b"x-tc-region", b"null"),
    (b"x-tc-region", b"ap-guangzhou"),
    (b"x_tc_region", b"ap-guangzhou"),
]
# How clients write what they sign: blanks in the header, letters of the scope, the boundary, a tilde, a line
# break behind a signature of v1.
HABITS = ("", "blanks", "commas", "capitals", "boundary", "tilde", "line break")
usually_nothing: st.SearchStrategy[list[Line]] = st.one_of(
    st.builds(list[Line]), st.builds(list[Line]), st.lists(st.sampled_from(LINES), max_size=2)
)


def joined(found: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in found)


def tc3_call(
    kind: str, fields: list[tuple[str, str]], query: str, key: str, service: str, habit: str
) -> tuple[str, bytes, list[Line]]:
    """Return method, body and lines of a call signed with TC3. habit: one of HABITS."""
    content_type, body, method = {
        "json": (JSON, "{" + ",".join(f'"{name}":"{value}"' for name, value in fields) + "}", "POST"),
        "form": (FORM, joined(fields), "POST"),
        "multipart": ("multipart/form-data; boundary=b", multipart(fields).decode(), "POST"),
        "get": (FORM, "", "GET"),
    }[kind]
    service = service.upper() if habit == "capitals" else service
    signed_type = content_type.partition(";")[0] if habit == "boundary" else content_type
    signed = (("content-type", signed_type), ("host", HOST))
    covered = query.replace("~", "%7E") if habit == "tilde" else query
    signature = tc3(method=method, query=covered, signed=signed, payload=body.encode(), service=service)
    auth = authorization(signature, secret_id=key, service=service)
    auth = auth.replace("SHA256 ", "SHA256    ") if habit == "blanks" else auth
    auth = auth.replace(", ", " ,   ") if habit == "commas" else auth
    lines = {
        "host": HOST,
        "content-type": content_type,
        "x-tc-action": ACTION,
        "x-tc-timestamp": str(NOW),
        "authorization": auth,
    }
    return method, body.encode(), [(name.encode(), value.encode()) for name, value in lines.items()]


def v1_call(
    fields: list[tuple[str, str]], key: str, habit: str, *, get: bool
) -> tuple[str, bytes, str, list[Line]]:
    """Return method, body, query and lines of a call signed with version 1. habit: one of HABITS."""
    method = "GET" if get else "POST"
    params = [("Action", ACTION), ("SecretId", key), ("Timestamp", str(NOW)), ("Nonce", "1"), *fields]
    signature = v1(method, params, digest="sha1").replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    form = joined([*params, ("Signature", signature + ("%0A" if habit == "line break" else ""))])
    lines = [(b"host", HOST.encode()), (b"content-type", FORM.encode())]
    return method, b"" if get else form.encode(), form if get else "", lines


def test_what_reaches_the_application_names_one_call() -> None:
    passed: list[str] = []
    habits: set[str] = set()

    @settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        kind=st.sampled_from(["json", "json", "form", "multipart", "get", "v1 form", "v1 get"]),
        fields=pairs,
        in_query=st.one_of(st.just([]), pairs),
        extra=usually_nothing,
        key=st.sampled_from([SECRET_ID, SECRET_ID, OTHER_ID]),
        service=st.sampled_from(["aiart", "aiart", "aiart", "partners"]),
        peer=st.sampled_from([OFFICE, PROXY]),
        habit=st.sampled_from(HABITS),
    )
    @example("v1 form", [("secretid", OTHER_ID)], [], [], SECRET_ID, "aiart", OFFICE, "")
    @example("v1 get", [("SECRETID", OTHER_ID)], [], [], SECRET_ID, "aiart", OFFICE, "")
    @example("v1 get", [("Region", "")], [], [], SECRET_ID, "aiart", OFFICE, "line break")
    @example("v1 form", [("Region", "null")], [], [], SECRET_ID, "aiart", OFFICE, "")
    @example("json", [], [], [(b"x-tc-region", b"null")], SECRET_ID, "aiart", OFFICE, "blanks")
    @example("json", [], [("Region", "null")], [(b"x-tc-region", b"")], SECRET_ID, "aiart", OFFICE, "commas")
    @example("multipart", [("B", "x")], [], [], SECRET_ID, "aiart", OFFICE, "boundary")
    @example("get", [], [("B", "~")], [], SECRET_ID, "aiart", OFFICE, "tilde")
    @example("form", [("B", "~")], [], [], SECRET_ID, "aiart", OFFICE, "capitals")
    def agree(
        kind: str,
        fields: list[tuple[str, str]],
        in_query: list[tuple[str, str]],
        extra: list[Line],
        key: str,
        service: str,
        peer: str,
        habit: str,
    ) -> None:
        query = joined(in_query)
        if kind.startswith("v1"):
            method, body, query, lines = v1_call(fields, key, habit, get=kind == "v1 get")
        else:
            method, body, lines = tc3_call(kind, fields, query, key, service, habit)
        forwarded = [(b"x-forwarded-for", OFFICE.encode())]
        reply = Play(authentication=AUTHENTICATION, clock=lambda: NOW).reply_to(
            lines=(*lines, *extra, *forwarded),
            method=method,
            query=query.encode(),
            chunks=(body,),
            client=(peer, 1),
        )
        if not reply.passed:
            return
        record, (scope, _) = reply.records[0], reply.reached[0]
        passed.append(kind)
        habits.add(habit)
        assert set(actions(scope, reply.taken)) == {record.action}
        assert products(scope) == {record.service} == {scope["camguard.service"]}
        assert set(principals(scope, reply.taken)) == {record.principal}
        assert (reply.taken, scope["query_string"]) == (body, query.encode())
        assert len(regions(scope, reply.taken)) < 2
        assert re.fullmatch(r"[0-9a-f]{64}|[A-Za-z0-9+/]{27}=", signature_of(scope, reply.taken))

    agree()
    assert {"json", "form", "multipart", "get", "v1 form", "v1 get"} == set(passed)
    assert habits == set(HABITS)


def test_the_second_reader_is_lenient() -> None:
    """It finds what camguard refuses; else it would agree with anything."""
    scope = {
        "query_string": b"secretid=" + OTHER_ID.encode(),
        "headers": [
            (b"Authorization", f"x credential = {SECRET_ID}/d/partners".encode()),
            (b"x_camguard_principal", b"1"),
            (b"host", b"aiart.x"),
        ],
    }
    assert set(principals(scope, b"")) == {ALICE, OTHER, "claimed by x-camguard-principal: 1"}
    assert products({**scope, "headers": [*scope["headers"], (b"X-TC-Service", b"cvm")]}) == {"aiart", "cvm"}
