"""The answers to proxies: their status, what each header holds, and how much is kept for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from camguard.authorizer.answers import allowed, refused, unread
from camguard.engine.decision import Decision, Reason
from camguard.request.rejection import BODY_NOT_SHOWN, REJECTIONS, Refusal
from camguard.telemetry.record import Record
from tests.authorizer.asking import Stage, asked, asked_by
from tests.stage import ELSEWHERE, PROXY, enforcement

ID = b"x-camguard-request-id"
JSON = (b"content-type", b"application/json")
STAGE = Stage()
UNDECIDED = {"policy_unavailable", "overloaded", "internal_error", "upstream_error"}
STATUSES = [
    pytest.param(detail, 503 if detail in UNDECIDED else 403, id=f"T140 the status for {detail}")
    for detail in REJECTIONS
]


def record_of(detail: str) -> Record:
    """Return the record of a request that is refused unread."""
    return STAGE.guard.refuse(REJECTIONS[detail], PROXY)


@pytest.mark.parametrize(("detail", "status"), STATUSES)
def test_503_says_that_nothing_could_be_decided_and_403_refuses(detail: str, status: int) -> None:
    answer = unread(record_of(detail), STAGE.guard.answers, in_header=False)
    assert answer.status == status
    assert (b"x-camguard-decision", b"deny") in answer.headers


NAMED = [
    pytest.param(True, id="T140 a refusal that names the request"),
    pytest.param(False, id="T140 a refusal that names the request to the proxy alone"),
]


@pytest.mark.parametrize("names_request", NAMED)
@pytest.mark.parametrize("in_header", [False, True], ids=["in its body", "in its body and in a header"])
def test_a_refusal_has_each_header_once(names_request: bool, in_header: bool) -> None:
    """No header ends the connection of the proxy. The answer names the request id under every setting."""
    record = record_of("front_header_invalid")
    answers = STAGE.guard.answers._replace(names_request=names_request)
    answer = unread(record, answers, in_header=in_header)
    envelope = [(b"x-camguard-error", answer.body)] if in_header else []
    assert sorted(answer.headers) == sorted([
        (b"x-camguard-decision", b"deny"),
        (b"x-camguard-reason", b"malformed"),
        (b"x-camguard-revision", b"r" * 12),
        (b"cache-control", b"no-store"),
        (ID, record.request_id.encode()),
        JSON,
        (b"content-length", b"%d" % len(answer.body)),
        *envelope,
    ])  # fmt: skip
    assert record.request_id.encode() in answer.body


@pytest.mark.parametrize("part", BODY_NOT_SHOWN)
def test_a_refusal_for_a_body_that_is_not_shown_names_the_part(part: Any) -> None:
    """T141: one header holds the word of the part."""
    record = STAGE.guard.refuse(BODY_NOT_SHOWN[part], PROXY)
    answer = unread(record, STAGE.guard.answers, in_header=False)
    missing = [value for name, value in answer.headers if name == b"x-camguard-missing"]
    assert missing == [part.encode()]


def test_an_allow_has_each_header_once() -> None:
    record = asked(STAGE, "nginx").record
    answer = allowed(record)
    assert sorted(answer.headers) == sorted([
        (b"x-camguard-decision", b"allow"),
        (b"x-camguard-reason", b"allowed"),
        (b"x-camguard-revision", b"r" * 12),
        (b"cache-control", b"no-store"),
        (b"content-length", b"0"),
        (ID, record.request_id.encode()),
    ])  # fmt: skip
    assert (answer.status, answer.body) == (200, b"")


def test_an_allow_in_shadow_mode_has_one_line_more() -> None:
    stage = Stage(replace(asked_by(), enforcement=enforcement(mode="shadow").enforcement))
    record = asked(stage, "nginx", address=ELSEWHERE).record
    names = [name for name, _ in allowed(record).headers]
    assert names.count(b"x-camguard-shadow") == 1
    assert len(names) == len(set(names)) == 7


def refusal(record: Record) -> Any:
    return refused(record, Refusal(403, (), b""), in_header=False)


KEPT: list[Any] = [
    pytest.param(allowed, Reason.ALLOWED, id="T101 lines of allows"),
    pytest.param(refusal, Reason.NO_ALLOW, id="T101 lines of refusals"),
]


@pytest.mark.parametrize(("answer", "reason"), KEPT)
def test_answers_keep_the_lines_of_sixteen_revisions_with_every_reason(
    answer: Callable[[Record], Any], reason: Reason
) -> None:
    """Lines that are kept are the same object again; with one more than that, all are forgotten at once."""
    record = asked(STAGE, "nginx").record._replace(decision=Decision(reason))

    def revision_line(revision: str) -> tuple[bytes, bytes]:
        lines: list[tuple[bytes, bytes]] = answer(record._replace(revision=revision)).headers
        return next(line for line in lines if line[0] == b"x-camguard-revision")

    forgotten, kept = [], revision_line("the first one")
    for at in range(3 * 16 * len(Reason)):
        revision_line(f"another one {at}")
        again = revision_line("the first one")
        if again is not kept:
            forgotten.append(at)
            kept = again
    distances = {late - early for early, late in pairwise(forgotten)}
    assert distances == {16 * len(Reason) - 1}, "the first one takes a place, too"
