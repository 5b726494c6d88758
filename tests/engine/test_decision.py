"""Decisions and their reasons."""

from __future__ import annotations

from camguard.engine.call import Call
from camguard.engine.decision import DENIALS, Decision, Reason


def test_a_reason_is_written_as_it_is_named() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]


def test_a_decision_is_true_only_for_allow() -> None:
    assert [reason for reason in Reason if Decision(reason)] == [Reason.ALLOWED]


def test_the_denials_of_the_engine_stand_in_the_order_of_their_stages() -> None:
    assert list(DENIALS) == [
        Reason.EXPLICIT_DENY,
        Reason.UNDETERMINED_DENY,
        Reason.NO_ALLOW,
        Reason.LAYER_LIMIT,
        Reason.PRINCIPAL_UNKNOWN,
        Reason.ACTION_UNKNOWN,
        Reason.ACTION_INVALID,
        Reason.SERVICE_UNKNOWN,
    ]


def test_what_a_decision_and_a_call_leave_out_is_nothing() -> None:
    assert Decision(Reason.NO_ALLOW) == Decision(Reason.NO_ALLOW, (), None, None)
    assert Call("uin/1", "a:B", None, 0.0) == Call("uin/1", "a:B", None, 0.0, ("*",), *[None] * 4)
