"""What is judged of each request that resembles an earlier one: one rule a row, each with its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from math import inf, nextafter
from typing import Any, ClassVar

import pytest

from camguard.authn.authenticator import authenticator
from camguard.bundle import Bundle
from camguard.enforcement import late as late_module
from camguard.enforcement import notes as notes_module
from camguard.enforcement.lane import Lane, LaneFactory, Met
from camguard.request.head import HeadRules, RequestHead, read_head
from camguard.settings import EnforcementSettings, IdentitySettings
from camguard.settings.model import Settings
from tests.recognition import FIELDS, SETTINGS_TRIED, START, Ask, Step, WholeWay, World, first_difference
from tests.running import RECOGNISES
from tests.stage import (
    ALICE,
    ELSEWHERE,
    FROM_OFFICE,
    PROXY,
    SETTINGS,
    Line,
    Play,
    Request,
    limits,
    sdk,
)

KNOWN = (b"x-camguard-principal", ALICE.encode())
LINES = sdk(KNOWN, FROM_OFFICE, (b"x-note", b"1"))
BODY = b'{"A":1}'


class Watched(Lane):
    """A lane that shows what it returned last: nothing, a request, or a request with its decision."""

    last: ClassVar[str] = ""

    def recognize(self, scope: Mapping[str, Any], bundle: Bundle, now: float) -> Met | None:
        Watched.last = "failed"
        found = super().recognize(scope, bundle, now)
        Watched.last = "new" if found is None else "recognised" if found[1] is None else "decided"
        return found


def scope_of(lines: tuple[Line, ...] = LINES, **changes: Any) -> dict[str, Any]:
    """Return the scope of a request whose body is BODY, but for some changes."""
    return {**Request(lines=lines, method=changes.get("method", "POST")).scope(), **changes}


def with_length(text: bytes) -> dict[str, Any]:
    """Return the scope of a request that declares its length so."""
    return scope_of((*LINES, (b"content-length", text))) | {"headers": [*LINES, (b"content-length", text)]}


def came_of(
    settings: Settings, lane: LaneFactory, scopes: list[dict[str, Any]], body: bytes
) -> tuple[str, str]:
    """Return the detail of the last request, and all that came of it but for its id and its duration."""
    play = Play(settings, lane=lane, authentication=authenticator(IdentitySettings(mode="header"), None))
    for scope in scopes:
        reply = asyncio.run(play.serve(Request(chunks=(body,)), {**scope, "headers": list(scope["headers"])}))
    record = reply.records[0]._replace(duration=0.0)
    reached = [(scope["headers"], messages) for scope, messages in reply.reached]
    shown = repr((reply.sent, reached, record, play.guard.faults)).replace(record.request_id, "ID")
    return reply.detail, shown


def judged(settings: Settings, scopes: list[dict[str, Any]], body: bytes = BODY) -> tuple[str, str]:
    """Return the detail of the last request and what the lane returned; recognition must change nothing."""
    other, usual = (came_of(settings, lane, scopes, body) for lane in (WholeWay, Watched))
    assert usual == other
    return usual[0], Watched.last


# changes of the scope of the second request; its detail, what the lane returns
SECOND = [
    pytest.param({}, "allowed", "decided", id="the same request again"),
    pytest.param({"query_string": b"Action=PayOrders"}, "action_conflict", "new", id="a query"),
    pytest.param({"path": "/x"}, "path_not_allowed", "new", id="another path"),
    pytest.param({"raw_path": b"/x"}, "path_not_allowed", "new", id="another raw path"),
    pytest.param({"raw_path": b""}, "allowed", "decided", id="an empty raw path"),
    pytest.param({"raw_path": None}, "allowed", "decided", id="no raw path"),
    pytest.param({"root_path": "/x"}, "path_not_allowed", "new", id="a mount whose root is not the path"),
    pytest.param({"client": None}, "client_ip_invalid", "new", id="no peer"),
    pytest.param({"client": (PROXY, 0)}, "client_ip_invalid", "new", id="a peer without a port"),
    pytest.param({"client": (PROXY, 1)}, "allowed", "decided", id="a peer with the lowest port"),
    pytest.param({"client": ([PROXY], 1)}, "client_ip_invalid", "new", id="a peer whose address is no text"),
    pytest.param({"client": ("10.0.0.2", 40000)}, "allowed", "new", id="another peer"),
    pytest.param({"method": "GET"}, "body_on_get", "new", id="another method"),
    pytest.param(
        {"headers": scope_of()["headers"][::-1]}, "allowed", "new", id="the header lines in another order"
    ),
    pytest.param({"headers": []}, "host_missing", "new", id="no header lines"),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"a\tb"))), "allowed", "new", id="a tab in a value"
    ),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"a\x1fb"))),
        "header_malformed",
        "new",
        id="the last control character",
    ),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"a\x7fb"))),
        "header_malformed",
        "new",
        id="the character DEL",
    ),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b" ~\x80\xff"))),
        "allowed",
        "decided",
        id="characters next to those of control",
    ),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b""))), "allowed", "decided", id="an empty value"
    ),
    pytest.param(
        scope_of(sdk(KNOWN, (b"x-forwarded-for", ELSEWHERE.encode()), (b"x-note", b"1"))),
        "no_allow",
        "new",
        id="another client",
    ),
    pytest.param(with_length(b"+7"), "framing", "new", id="a length with a sign"),
    pytest.param(
        with_length(b"7" * 18), "body_too_large", "new", id="a length of as many digits as are read"
    ),
    pytest.param(
        with_length(b"0" * 17 + b"7"), "allowed", "decided", id="a length with as many zeros as are read"
    ),
    pytest.param(with_length(b"0" * 18 + b"7"), "framing", "new", id="a length with one zero more"),
    pytest.param(with_length(b"8"), "framing", "decided", id="a length that the body does not have"),
]


@RECOGNISES
@pytest.mark.parametrize(("changes", "detail", "found"), SECOND)
def test_t83_each_request_is_judged_as_if_no_other_had_been(
    changes: dict[str, Any], detail: str, found: str
) -> None:
    assert judged(SETTINGS, [scope_of(), {**scope_of(), **changes}]) == (detail, found)


# the field that the server leaves out, changes of the second request; its detail, what the lane returns
LEFT_OUT = [
    pytest.param("raw_path", {}, "allowed", "decided", id="no raw path"),
    pytest.param("root_path", {}, "allowed", "decided", id="no root path"),
    pytest.param("client", {}, "client_ip_invalid", "new", id="no peer"),
    pytest.param("raw_path", {"root_path": "/x"}, "path_not_allowed", "new", id="a mount without a raw path"),
    pytest.param("root_path", {"raw_path": b"/x"}, "path_not_allowed", "new", id="another raw path"),
    pytest.param("root_path", {"client": ("10.0.0.2", 40000)}, "allowed", "new", id="another peer"),
]


@RECOGNISES
@pytest.mark.parametrize(("field", "changes", "detail", "found"), LEFT_OUT)
def test_t83_a_field_that_a_server_leaves_out_hides_no_other(
    field: str, changes: dict[str, Any], detail: str, found: str
) -> None:
    second = {**scope_of(), **changes}
    del second[field]
    assert judged(SETTINGS, [scope_of(), second]) == (detail, found)


def _of_names(size: int) -> tuple[Line, ...]:
    """Return lines whose names have so many bytes together."""
    left = size - sum(len(name) for name, _ in (*LINES, (b"content-length", b"")))
    more = tuple((b"x-%02d" % at + b"n" * 86, b"") for at in range(left // 90))
    return (*LINES, *more, (b"y" * (left % 90), b""))


FORM = b"application/x-www-form-urlencoded"
PARTS = b"multipart/form-data; boundary=part"
PARTS_BODY = b'--part\r\nContent-Disposition: form-data; name="A"\r\n\r\n1\r\n--part--\r\n'
NO_LENGTH: dict[str, Any] = {"headers": [*LINES], "http_version": "2"}
CHUNKED: dict[str, Any] = {"headers": [*LINES, (b"transfer-encoding", b"chunked")]}
# scopes that are served twice, the body; the detail, what the lane returns for the second one
TWICE = [
    pytest.param(scope_of(query_string=b"A=1"), BODY, "allowed", "new", id="a query"),
    pytest.param(
        scope_of(sdk(KNOWN, (b"x-forwarded-for", b"x"))),
        BODY,
        "client_ip_invalid",
        "new",
        id="a target that is rejected",
    ),
    pytest.param(scope_of(**CHUNKED), BODY, "allowed", "new", id="a chunked body"),
    pytest.param(scope_of(**NO_LENGTH), BODY, "allowed", "new", id="a body whose length is not declared"),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, content_type=FORM), method="GET"),
        b"",
        "allowed",
        "decided",
        id="a GET, which has no body",
    ),
    pytest.param(
        scope_of(client=("::ffff:10.0.0.1", 9)), BODY, "allowed", "decided", id="a mapped address of a peer"
    ),
    pytest.param(scope_of(client=None), BODY, "allowed", "new", id="a unix socket"),
    pytest.param(scope_of(client=("", 1)), BODY, "allowed", "new", id="a peer without an address"),
    pytest.param(
        scope_of(client=(7, 1)), BODY, "client_ip_invalid", "new", id="a peer whose address is no text"
    ),
    pytest.param(
        scope_of(_of_names(4096)), BODY, "allowed", "decided", id="names of as many bytes as are kept"
    ),
    pytest.param(scope_of(_of_names(4097)), BODY, "allowed", "new", id="names of one byte more"),
    pytest.param(
        scope_of(sdk(KNOWN, FROM_OFFICE, x_tc_action=b"New")),
        BODY,
        "action_unknown",
        "recognised",
        id="an action that the catalog lacks",
    ),
    pytest.param(scope_of(), b'{"A":"}', "allowed", "decided", id="a body that is no JSON"),
    pytest.param(
        scope_of(), b'{"Region":"ap-guangzhou"}', "allowed", "decided", id="a body that names a region"
    ),
]


@RECOGNISES
@pytest.mark.parametrize(("scope", "body", "detail", "found"), TWICE)
def test_only_what_can_be_judged_by_its_head_is_recognised(
    scope: dict[str, Any], body: bytes, detail: str, found: str
) -> None:
    headers = [line for line in scope["headers"] if line[0] != b"content-length"]
    if len(headers) < len(scope["headers"]):
        headers.append((b"content-length", b"%d" % len(body)))
    settings = replace(
        SETTINGS,
        enforcement=EnforcementSettings(allow_merged_trailers=True),
        client_ip=replace(SETTINGS.client_ip, trust_unix_socket=True),
    )
    assert judged(settings, [{**scope, "headers": headers}] * 2, body) == (detail, found)


@RECOGNISES
@pytest.mark.parametrize(
    ("value", "all_"), [(3000, 60_000), (16_000, 3000)], ids=["of a value", "of all lines"]
)
def test_a_recognised_request_may_have_as_many_bytes_of_headers_as_any_other(value: int, all_: int) -> None:
    settings = limits(header_value_bytes=value, header_bytes=all_)

    def found(size: int) -> tuple[str, str]:
        return judged(settings, [scope_of(), scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"n" * size)))])

    longest, above = 0, 4000
    while above - longest > 1:
        size = (longest + above) // 2
        longest, above = (size, above) if found(size)[0] == "allowed" else (longest, size)
    assert found(above) == ("headers_too_large", "new")
    # The whole way counts each value for itself, the lane all values together: it may know less, never more.
    assert found(longest)[1] == ("new" if value == 3000 else "decided")


@RECOGNISES
@pytest.mark.parametrize(
    ("size", "detail", "found"), [(9, "allowed", "decided"), (10, "body_too_large", "new")]
)
def test_the_body_of_a_recognised_request_has_the_limit_of_any_other(
    size: int, detail: str, found: str
) -> None:
    body = BODY.ljust(size)
    first = scope_of(headers=[*LINES, (b"content-length", b"%d" % min(size, 9))])
    play = Play(limits(body_bytes=9), lane=Watched)
    for data in (body[:9], body):
        scope = {**first, "headers": [*LINES, (b"content-length", b"%d" % len(data))]}
        reply = asyncio.run(play.serve(Request(chunks=(data,)), scope))
    assert (reply.detail, Watched.last) == (detail, found)


def shown(steps: list[Step], settings: Settings = SETTINGS_TRIED[0]) -> list[str]:
    """Return what the lane returned for each request of some steps; recognition must change nothing."""
    assert first_difference(steps, settings) is None
    found = []

    async def play() -> None:
        world = World(settings, Watched)
        for step in steps:
            if isinstance(step, Ask):
                Watched.last = "not asked"
                await world.ask(step)
                found.append(Watched.last)
            else:
                world.change(*step)

    asyncio.run(play())
    return found


def signed(**odd: Any) -> Ask:
    return ask(**{"authorization": "good", "x_camguard_principal": None, **odd})


def ask(**odd: Any) -> Ask:
    return Ask(tuple((name.replace("_", "-"), value) for name, value in odd.items()))


_FIRST = nextafter(START - 180, inf) - START
TIMED, CLOSED = ("bundle", 1), ("bundle", 2)
OTHERS = [ask(x_camguard_principal=b"10000000010%d" % number) for number in (2, 3)]
# steps; what the lane returns for each request. The decision of TIMED changes after 420 s and at -180 s.
STEPS = [
    pytest.param([ask(), ask(), CLOSED, ask(), ask()], "new decided new decided", id="another bundle"),
    pytest.param(
        [ask(), ("stale", True), ask(), ("stale", False), ask()],
        "new not-asked decided",
        id="a bundle that is too old",
    ),
    pytest.param([ask(), ("bundle", None), ask()], "new not-asked", id="no bundle"),
    pytest.param(
        [TIMED, ask(), ("clock", 419.999), ask(), ("clock", 420.0), ask(), ask()],
        "new decided recognised decided",
        id="the moment at which a decision ends",
    ),
    pytest.param(
        [TIMED, ask(), ("clock", _FIRST), ask(), ("clock", -180.0), ask(), ask()],
        "new decided recognised decided",
        id="the first moment of a decision",
    ),
    pytest.param(
        [ask(), *OTHERS, ask(), ask()],
        "new new new recognised decided",
        id="a principal whose table is no longer at hand",
    ),
    pytest.param(
        [ask(expect=b"100-continue", parts="reloaded"), *[ask(expect=b"100-continue")] * 2],
        "new decided decided",
        id="a denied request that waits, after one whose body was awaited",
    ),
    pytest.param([ask(parts="late"), ask(parts="late")], "new decided", id="a body that comes late"),
    pytest.param(
        [
            ask(x_note=b"1"),
            ask(x_request_id=b"call-1"),
            ask(x_note=b"1"),
            ask(x_request_id=b"call-2"),
            ask(x_request_id=b"call 3"),
        ],
        "new new decided decided decided",
        id="as many header lines with other names",
    ),
    pytest.param(
        [ask(x_note=b"1"), ask(x_tc_region=b"ap-guangzhou")] * 2,
        "new new decided decided",
        id="as many header lines, of which others decide",
    ),
    pytest.param(
        [ask(), ask(body=b'{"Action":"PayOrders"}'), ask(body=b'{"Region":"ap-beijing"}')],
        "new decided decided",
        id="a body that names another action or region, after one that names nothing",
    ),
    pytest.param(
        [ask(content_type=PARTS, body=PARTS_BODY), ask(content_type=PARTS, body=b"A=1")],
        "new decided",
        id="a multipart body that is malformed, after one that is not",
    ),
    pytest.param(
        [signed(), signed(), signed(authorization="unknown id"), signed(authorization="bad")],
        "new recognised recognised recognised",
        id="an unknown key after a known one",
    ),
    pytest.param(
        [ask(method="GET", content_type=FORM, body=body) for body in (b"", b"", b"A=1")],
        "new decided decided",
        id="a GET with a body, after others without one",
    ),
    pytest.param(
        [ask(traceparent=value) for value in FIELDS["traceparent"].values[1:]],
        "new decided",
        id="the ids that a caller gives",
    ),
    pytest.param(
        [ask(traceparent=value, body=b"[") for value in FIELDS["traceparent"].values[1:]],
        "new decided",
        id="the ids of a request whose body is searched",
    ),
]


@RECOGNISES
@pytest.mark.parametrize("tried", range(len(SETTINGS_TRIED)))
def test_t83_usual_requests_are_answered_alike_under_all_settings(tried: int) -> None:
    unsigned_payload = {"x_tc_content_sha256": b"UNSIGNED-PAYLOAD"}
    steps: list[Step] = [
        *(ask(), ask(), signed(), signed(), ask(x_forwarded_for=ELSEWHERE.encode())),
        *(ask(x_forwarded_for=ELSEWHERE.encode()), signed(**unsigned_payload), signed(**unsigned_payload)),
        signed(**unsigned_payload, authorization="bad"),
    ]
    assert first_difference(steps, SETTINGS_TRIED[tried]) is None


@RECOGNISES
@pytest.mark.parametrize(("steps", "found"), STEPS)
def test_t83_a_decision_is_used_again_where_it_holds_and_nowhere_else(steps: list[Step], found: str) -> None:
    assert [each.replace(" ", "-") for each in shown(steps)] == found.split()


def made(steps: list[Step], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return whether the policies decided each request of some steps, or what was kept; as `shown` else."""
    calls: list[Any] = []

    def new_call(fields: Any) -> Any:
        calls.append(fields)
        return right(fields)

    right = late_module.new_call
    monkeypatch.setattr(late_module, "new_call", new_call)
    assert first_difference(steps, settings) is None
    found = []

    async def play() -> None:
        world = World(settings, Lane)
        for step in steps:
            if isinstance(step, Ask):
                calls.clear()
                await world.ask(step)
                found.append("made" if calls else "used")
            else:
                world.change(*step)

    asyncio.run(play())
    return found


def stop(name: str) -> Ask:
    body = b'{"InstanceIds":["%s"]}' % name.encode()
    return signed(host=b"cvm.tencentcloudapi.com", x_tc_action=b"StopInstances", x_tc_version=None, body=body)


LATER = signed(x_tc_timestamp=b"%d" % (START + 420))
OLDER = signed(x_tc_timestamp=b"%d" % (START - 180))
FORMS = signed(content_type=FORM, body=b"A=1")
# settings, steps; for each request whether policies decided it, or a decision that was kept
SIGNED = [
    pytest.param(0, [signed()] * 3, "made used used", id="T83 the same caller"),
    pytest.param(
        0, [signed(), signed(body=b'{"B":"\\u0041"}')], "made used", id="T83 a body that is searched"
    ),
    pytest.param(
        0,
        [signed(), ("keys", 2), signed(), signed(), ("keys", 0), signed()],
        "made made used made",
        id="T83 keys that were read anew",
    ),
    pytest.param(0, [signed(), CLOSED, signed(), signed()], "made made used", id="T83 another bundle"),
    pytest.param(
        0,
        [TIMED, signed(), ("clock", 419.999), LATER, ("clock", 420.0), LATER, LATER],
        "made used made used",
        id="T83 the moment at which a decision ends",
    ),
    pytest.param(
        0,
        [TIMED, signed(), ("clock", _FIRST), OLDER, ("clock", -180.0), OLDER, OLDER],
        "made used made used",
        id="T83 the first moment of a decision",
    ),
    pytest.param(
        0,
        [signed(), *OTHERS, signed(), signed()],
        "made used used made used",
        id="T83 a principal whose table is no longer at hand",
    ),
    pytest.param(6, [signed()] * 2, "made made", id="T83 a candidate judges each call, too"),
    pytest.param(
        0, [stop("ins-1"), stop("ins-1"), stop("ins-2")], "made made made", id="T83 resources of the body"
    ),
    pytest.param(0, [FORMS, FORMS], "made made", id="T83 a form, which may name the caller"),
    pytest.param(
        0, [("keys", 4), signed(), signed()], "made made", id="T83 a session policy without a known end"
    ),
    pytest.param(
        0, [ask(body=b"[")] * 2 + [signed()] * 2, "used used made used", id="T83 no signature before"
    ),
]


@RECOGNISES
@pytest.mark.parametrize(("tried", "steps", "found"), SIGNED)
def test_t83_the_decision_on_a_signed_call_is_used_again_for_its_caller_only(
    tried: int, steps: list[Step], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(steps, SETTINGS_TRIED[tried], monkeypatch) == found.split()


# the bounds that are lowered; what the lane returns for the requests of BOUNDED
BOUNDED: list[Step] = [
    ask(),
    ask(x_note=b"1"),
    ask(x_request_id=b"1"),
    ask(x_note=b"1"),
    ask(x_request_id=b"1"),
    ask(),
]
BOUNDS = [
    pytest.param({}, "new new new decided decided decided", id="T101 the bounds as they are"),
    pytest.param({"_KNOWN": 2}, "new new new new decided new", id="T101 two combinations"),
    pytest.param({"_KNOWN": 3}, "new new new decided decided decided", id="T101 three combinations"),
    pytest.param({"_PLANS": 1}, "new new new new new decided", id="T101 one plan, and the last ones"),
    pytest.param({"_PLANS": 3}, "new new new decided decided decided", id="T101 three plans"),
    pytest.param({"_QUICK": 1}, "new new new decided decided decided", id="T101 few compiled plans"),
]


@RECOGNISES
@pytest.mark.parametrize(("bounds", "found"), BOUNDS)
def test_t101_what_is_kept_is_bounded(
    bounds: dict[str, int], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bounds.items():
        monkeypatch.setattr(notes_module, name, value)
    assert shown(BOUNDED) == found.split()


@RECOGNISES
@pytest.mark.parametrize(
    ("less", "found"), [(0, "decided"), (1, "new")], ids=["as many bytes", "one byte more"]
)
def test_t101_a_key_may_have_so_many_bytes(less: int, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = read_head(scope_of(), HeadRules(SETTINGS))
    assert isinstance(head, RequestHead)
    values = head.layout.decisive(tuple(value for _, value in head.lines))
    monkeypatch.setattr(notes_module, "_KEY_BYTES", len(PROXY) + len(b"\n".join(values)) - less)
    assert judged(SETTINGS, [scope_of()] * 2) == ("allowed", found)
