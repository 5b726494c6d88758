"""Every kind of exception in every stage, before the decision and after it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Literal, get_args

import pytest

from tests.faults.report import Report, resident
from tests.internals.test_guard import STAGES, lines_to
from tests.stage import ELSEWHERE, OFFICE, Broken, FixedCaller, Play, Reply, enforcement, sdk

Mode = Literal["enforce", "shadow"]
ORDINARY = (Exception, ValueError, MemoryError, RecursionError, KeyError)
ENDING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)


def inject_exceptions(report: Report, *, quick: bool) -> None:
    """Exceptions in each stage."""
    before = resident()
    logging.getLogger("camguard").setLevel(logging.CRITICAL)
    try:
        for _ in range(1 if quick else 20):
            _before(report)
            _after(report)
    finally:
        logging.getLogger("camguard").setLevel(logging.NOTSET)
    report.memory(before, resident())


def _call(play: Play, address: str = OFFICE) -> Reply:
    return play.reply_to(lines=sdk((b"x-forwarded-for", address.encode())))


def _before(report: Report) -> None:
    """Before the decision: nothing reaches the application."""
    sent = reached = unanswered = 0
    for stage in STAGES:
        for mode in get_args(Mode):
            for error in (*ORDINARY, *ENDING):
                play = Play(enforcement(mode=mode), authentication=FixedCaller(body=True))
                with pytest.MonkeyPatch.context() as patch, contextlib.suppress(*ENDING):
                    stage(play, error("secret"), patch)
                    reply = play.reply_to(lines=lines_to(stage))
                    unanswered += reply.error["Code"] != "InternalError"
                sent += 1
                reached += len(play.reached)
    report.says(stages=len(STAGES), sent=sent, failed=unanswered, misjudged=reached)
    report.holds("raised before the decision, the application is not called", true=reached == 0)
    report.holds("every exception that is not an ending is answered", true=unanswered == 0)


def _cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for error in ORDINARY:
        yield "metrics", {"observers": (Broken(error("secret")),)}
        yield "decision log", {"conclusions": (Broken(error("secret")),)}


def _after(report: Report) -> None:
    """After the decision: it stands, and its answer arrives."""
    sent = changed = lost = 0
    for _, parts in _cases():
        for address, passes in ((OFFICE, True), (ELSEWHERE, False)):
            play = Play(**parts)
            reply = _call(play, address)
            sent += 1
            changed += bool(reply.reached) != passes
            lost += not reply.sent or reply.sent[-1]["type"] != "http.response.body"
    report.says(observers_that_raise=sent, failed=lost, misjudged=changed)
    report.holds(
        "raised after it, no denial becomes an allow and no reply is lost", true=not changed and not lost
    )
