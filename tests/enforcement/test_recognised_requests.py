"""What is judged of each request that resembles an earlier one: one rule a row, with and without recognition."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from camguard.authn.authenticator import authenticator
from camguard.bundle import Bundle
from camguard.enforcement import lane as lane_module
from camguard.enforcement import notes as notes_module
from camguard.enforcement.lane import Lane, Met
from camguard.request.head import READY_IDS
from camguard.settings import IdentitySettings
from camguard.settings.model import Settings
from tests.recognition import WholeWay
from tests.running import RECOGNISES
from tests.stage import ALICE, ELSEWHERE, OFFICE, PROXY, SETTINGS, Line, Play, Reply, Request, changed, limits, sdk

FROM_OFFICE = (b"x-forwarded-for", OFFICE.encode())
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


def came_of(settings: Settings, lane: type[Lane], scopes: list[dict[str, Any]], body: bytes) -> tuple[str, str]:
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
    pytest.param({"headers": scope_of()["headers"][::-1]}, "allowed", "new", id="the header lines in another order"),
    pytest.param({"headers": []}, "host_missing", "new", id="no header lines"),
    pytest.param(scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"a\tb"))), "allowed", "new", id="a tab in a value"),
    pytest.param(scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"a\x1fb"))), "header_malformed", "new", id="the last control character"),
    pytest.param(scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b"a\x7fb"))), "header_malformed", "new", id="the character DEL"),
    pytest.param(scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b" ~\x80\xff"))), "allowed", "decided",
                 id="characters next to those of control"),
    pytest.param(scope_of(sdk(KNOWN, FROM_OFFICE, (b"x-note", b""))), "allowed", "decided", id="an empty value"),
    pytest.param(scope_of(sdk(KNOWN, (b"x-forwarded-for", ELSEWHERE.encode()), (b"x-note", b"1"))), "no_allow", "new",
                 id="another client"),
    pytest.param(with_length(b"+7"), "framing", "new", id="a length with a sign"),
    pytest.param(with_length(b"7" * 18), "body_too_large", "new", id="a length of as many digits as are read"),
    pytest.param(with_length(b"0" * 17 + b"7"), "allowed", "decided", id="a length with as many zeros as are read"),
    pytest.param(with_length(b"0" * 18 + b"7"), "framing", "new", id="a length with one zero more"),
    pytest.param(with_length(b"8"), "framing", "decided", id="a length that the body does not have"),
]  # fmt: skip


@RECOGNISES
@pytest.mark.parametrize(("changes", "detail", "found"), SECOND)
def test_t83_each_request_is_judged_as_if_no_other_had_been(
    changes: dict[str, Any], detail: str, found: str
) -> None:
    assert judged(SETTINGS, [scope_of(), {**scope_of(), **changes}]) == (detail, found)
