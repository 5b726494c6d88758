"""What the middleware does next: which answer a refused request gets, and whether its connection ends."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.enforcement.outcome import SHADOWED, awaits_continue, place_of, refusal_of
from camguard.engine.decision import Reason
from camguard.request.head import HeadRules, RequestHead, read_head
from camguard.request.rejection import REJECTIONS
from camguard.telemetry.record import Record
from tests.stage import ELSEWHERE, SETTINGS, Request, reply_to, sdk

CLOSE = (b"connection", b"close")
DENIED = reply_to(lines=sdk((b"x-forwarded-for", ELSEWHERE.encode()))).records[0]


def record(detail: str | None = None, **fields: Any) -> Record:
    """Return the record of a denied call, or of a request rejected with a detail."""
    return DENIED._replace(decision=DENIED.decision if detail is None else REJECTIONS[detail], **fields)


# record, whether its body stays unread behind `Expect`, whether the connection ends
CLOSINGS = [
    pytest.param(record(), False, 0, id="a denied call whose body was read"),
    pytest.param(record(), True, 1, id="a denied call whose client waits for 100 Continue"),
    pytest.param(record("framing"), False, 1, id="a request whose framing cannot be trusted"),
    pytest.param(record("framing"), True, 1, id="both, and the header stands once"),
]


@pytest.mark.parametrize(("record_", "closes", "count"), CLOSINGS)
@pytest.mark.parametrize("style", ["sdk", "http"])
def test_the_connection_of_a_refused_request(
    record_: Record, style: Any, count: int, *, closes: bool
) -> None:
    assert refusal_of(record_, style, closes=closes).headers.count(CLOSE) == count


# record, what the body of its answer names
NAMES = [
    pytest.param(record(), b"(partners:QueryArea)", id="an action of the catalog"),
    pytest.param(
        record(entry=None, action="NoSuchAction"), b"(partners:NoSuchAction)", id="an action outside it"
    ),
    pytest.param(record(resources=("qcs::a", "qcs::b")), b"resource (qcs::a)", id="the first resource"),
    pytest.param(record(resources=()), b"resource (*)", id="no resource"),
    pytest.param(record(entry=None, service=None), b"InternalError", id="a denial without a service"),
    pytest.param(record(entry=None, action=None), b"InternalError", id="a denial without an action"),
]


@pytest.mark.parametrize(("record_", "text"), NAMES)
def test_a_refusal_names(record_: Record, text: bytes) -> None:
    body = refusal_of(record_, "sdk", closes=False).body
    assert text in body
    assert record_.request_id.encode() in body


EXPECT = (b"expect", b"100-continue")
HEADS = [
    pytest.param([EXPECT], True, id="an unread head with Expect"),
    pytest.param([(b"host", b"x")], False, id="an unread head without Expect"),
    pytest.param([b"expect"], True, id="a head whose lines are no pairs"),
    pytest.param(None, True, id="a head without a list of lines"),
]


@pytest.mark.parametrize(("lines", "waits"), HEADS)
def test_a_head_that_was_not_read_counts_as_waiting_where_that_is_not_clear(
    lines: Any, *, waits: bool
) -> None:
    assert awaits_continue({"headers": lines}, None) is waits
    assert awaits_continue({}, None) is True


@pytest.mark.parametrize("waits", [True, False], ids=["with Expect", "without Expect"])
def test_a_head_that_was_read_shows_whether_its_client_waits(*, waits: bool) -> None:
    head = read_head(Request(lines=sdk(*([EXPECT] if waits else []))).scope(), HeadRules(SETTINGS))
    assert isinstance(head, RequestHead)
    assert awaits_continue({}, head) is waits


def test_shadow_mode_passes_decisions_of_the_engine_only() -> None:
    rejected = {row.reason for row in REJECTIONS.values()}
    assert SHADOWED & rejected == {Reason.ACTION_UNKNOWN}, "the catalog lacks it, in request and engine alike"
    assert Reason.ALLOWED not in SHADOWED


def test_t113_the_place_of_an_error_is_shown_and_its_message_is_not() -> None:
    def raises() -> None:
        raise ValueError("secret")

    with pytest.raises(ValueError, match="secret") as caught:
        raises()
    assert "test_outcome.py:" in place_of(caught.value)
    assert "secret" not in place_of(caught.value)
    assert place_of(ValueError("secret")) == "nowhere"
