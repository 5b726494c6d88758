"""Fail closed, whatever fails where: an error is put into each stage of the guard (T65, T66, T67, T113)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from camguard.enforcement import early
from camguard.enforcement import guard as guard_module
from camguard.enforcement import lane as lane_module
from camguard.enforcement.lane import Lane
from camguard.request import body as body_module
from camguard.request import client_address
from camguard.request.head import RequestHead
from camguard.request.rejection import rejection
from tests.enforcement.test_guard import BrokenBundle, BrokenStore
from tests.stage import (
    BUNDLE,
    FROM_OFFICE,
    NOW,
    Broken,
    FixedPolicies,
    Play,
    Request,
    bundle,
    enforcement,
    sdk,
)


def in_head(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    del play
    patch.setattr(early, "read_head", Broken(error))


def in_client_address(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    del play
    patch.setattr(client_address, "socket_place", Broken(error))


def in_targets(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(play.guard._early, "under", Broken(error))


def in_body(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(play.guard.bodies, "take", Broken(error))


def in_search_of_the_body(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    del play
    for module in (guard_module, lane_module):
        patch.setattr(module, "is_plain", Broken(error))


def in_claim(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(type(play.authentication), "claim", Broken(error))


def in_unsigned_caller(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(type(play.authentication), "unsigned", Broken(error))


def in_signed_caller(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(type(play.authentication), "caller", Broken(error))


def in_clock(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(play.guard, "_clock", Broken(error))


def in_policies(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(play.guard, "_policies", BrokenStore(error))


def in_evaluation(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(play.guard, "_policies", FixedPolicies(BrokenBundle(error)))  # type: ignore[arg-type]


def in_hand_over(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    del play
    patch.setattr(body_module, "HeldBody", Broken(error))


STAGES = (
    *(
        in_clock,
        in_policies,
        in_targets,
        in_head,
        in_client_address,
        in_body,
        in_search_of_the_body,
        in_unsigned_caller,
    ),
    *(in_claim, in_signed_caller, in_evaluation, in_hand_over),
)
SIGNED = (b"authorization", b"TC3-HMAC-SHA256 ...")
# Header lines without which a request does not reach a stage.
LINES_OF: dict[Any, tuple[tuple[bytes, bytes], ...]] = {
    in_claim: (FROM_OFFICE, SIGNED),
    in_signed_caller: (FROM_OFFICE, SIGNED),
}


def lines_to(stage: Any) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header lines of a request that reaches a stage and, if nothing fails there, passes."""
    return sdk(*LINES_OF.get(stage, (FROM_OFFICE,)))


Break = Callable[[Play, BaseException, pytest.MonkeyPatch], None]


def in_recognition(play: Play, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    del play
    patch.setattr(Lane, "recognize", Broken(error))


RECOGNISED = (in_clock, in_policies, in_recognition, in_body, in_search_of_the_body, in_hand_over)


@pytest.mark.parametrize("stage", RECOGNISED)
def test_t66_an_exception_while_a_recognised_request_is_judged_is_a_refusal(
    stage: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play()
    lines = sdk(FROM_OFFICE)
    assert play.reply_to(lines=lines).passed
    with monkeypatch.context() as patch:
        stage(play, ValueError("secret"), patch)
        reply = play.reply_to(lines=lines)
    assert reply.reached == []
    assert [record.decision for record in reply.records] == [rejection("internal_error")]
    judged = stage not in {in_clock, in_policies}
    assert reply.records[0].action == ("QueryArea" if judged else None)
    assert reply.records[0].time == (NOW if judged else 0.0)
    assert (play.guard.faults, play.guard.in_flight, play.guard.held) == (1, 0, 0)
    assert play.reply_to(lines=lines).passed


def test_a_fault_while_a_request_is_noted_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play()
    with monkeypatch.context() as patch:
        patch.setattr(Lane, "note", Broken(ValueError("secret")))
        assert play.reply_to(lines=sdk(FROM_OFFICE)).passed
    assert play.guard.faults == 1


@pytest.mark.parametrize("style", ["sdk", "http"])
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize(
    "error", [ValueError("secret"), MemoryError(), RecursionError(), AssertionError()], ids=repr
)
@pytest.mark.parametrize("stage", STAGES)
def test_t66_an_exception_before_the_decision_is_a_refusal(
    stage: Break, error: Exception, mode: Any, style: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    play = Play(enforcement(mode=mode, status_style=style))
    with monkeypatch.context() as patch:
        stage(play, error, patch)
        reply = play.reply_to(lines=lines_to(stage))
    assert reply.reached == []
    assert reply.records[0].decision is rejection("internal_error")
    assert reply.status == (200 if style == "sdk" else 500)
    assert reply.error["Code"] == "InternalError"
    assert play.guard.faults == 1
    assert b"secret" not in reply.body  # T67, T113
    assert "secret" not in caplog.text
    assert type(error).__name__ in caplog.text
    assert play.reply_to(lines=sdk(FROM_OFFICE)).passed


async def ended_by(play: Play, stage: Break) -> BaseException | None:
    try:
        await play.serve(Request(lines=lines_to(stage)))
    except BaseException as error:  # noqa: BLE001 - asyncio would end the test for KeyboardInterrupt
        return error
    return None


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()], ids=repr)
@pytest.mark.parametrize("stage", STAGES)
def test_t65_what_ends_the_task_ends_it_and_reaches_nothing(
    stage: Break, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play()
    with monkeypatch.context() as patch:
        stage(play, error, patch)
        assert asyncio.run(ended_by(play, stage)) is error
    assert (play.reached, play.records) == ([], [])
    assert (play.guard.in_flight, play.guard.held) == (0, 0)
    assert play.reply_to(lines=sdk(FROM_OFFICE)).passed


# --- a body that passes through unread ---------------------------------------------------------------------

OCTETS = sdk(FROM_OFFICE, content_type=b"application/octet-stream")
SIGNED_OCTETS = sdk(FROM_OFFICE, SIGNED, content_type=b"application/octet-stream")
CLOSED = FixedPolicies(bundle({}))


def taken_to(lines: tuple[tuple[bytes, bytes], ...], mode: Any = "enforce") -> tuple[Play, RequestHead]:
    """Return a stage and the head of a request to it."""
    play = Play(enforcement(mode=mode))
    scope = Request(lines=lines).scope()
    head = play.guard._early.judge(scope, None, None, BUNDLE, NOW, 0.0, 1).head
    assert head is not None
    return play, head


# the header lines, the mode, the bundle that is in force at the end of the body, whether the call goes on
STILL = [
    pytest.param(OCTETS, "enforce", FixedPolicies(), True, id="the same bundle, decided early"),
    pytest.param(OCTETS, "enforce", CLOSED, False, id="T107 a bundle that denies, decided early"),
    pytest.param(OCTETS, "shadow", CLOSED, True, id="T107 a bundle that denies, in shadow mode"),
    pytest.param(OCTETS, "shadow", FixedPolicies(None), False, id="T107 no bundle, in shadow mode, too"),
    pytest.param(SIGNED_OCTETS, "enforce", FixedPolicies(), True, id="the same bundle, decided late"),
    pytest.param(SIGNED_OCTETS, "enforce", CLOSED, False, id="T107 a bundle that denies, decided late"),
    pytest.param(SIGNED_OCTETS, "shadow", CLOSED, True, id="T107 a caller who is denied, in shadow mode"),
]


@pytest.mark.parametrize(("lines", "mode", "policies", "passes"), STILL)
def test_a_call_whose_body_passed_through_is_judged_again_at_its_end(
    lines: tuple[tuple[bytes, bytes], ...], mode: str, policies: FixedPolicies, *, passes: bool
) -> None:
    play, head = taken_to(lines, mode)
    play.guard._policies = policies
    assert play.guard._still_passes(head) is passes
    assert [body for _, _, body, _, _ in play.authentication.requests] == [None] * len(
        play.authentication.requests
    )
    assert play.guard.faults == 0


@pytest.mark.parametrize("stage", [in_clock, in_policies, in_targets, in_evaluation])
def test_t66_an_exception_at_the_end_of_such_a_body_ends_the_call(
    stage: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, head = taken_to(OCTETS, "shadow")
    stage(play, ValueError("secret"), monkeypatch)
    assert play.guard._still_passes(head) is False
    assert play.guard.faults == 1
