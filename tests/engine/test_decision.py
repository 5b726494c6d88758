"""Decisions and their reasons."""

from __future__ import annotations

from camguard.engine.decision import Decision, Reason


def test_a_reason_is_written_as_it_is_named() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]


def test_a_decision_is_true_only_for_allow() -> None:
    assert [reason for reason in Reason if Decision(reason)] == [Reason.ALLOWED]
