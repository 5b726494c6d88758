"""A thread that calls at intervals."""

from __future__ import annotations

import logging
import threading

import pytest

from camguard.polling import Ticker
from tests.running import PATIENCE


def test_it_goes_on_after_an_error_until_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    enough = threading.Event()

    def do() -> None:
        calls.append(1)
        if len(calls) == 3:
            enough.set()
        if len(calls) == 1:
            raise ValueError("once")

    ticker = Ticker(do, 0.001, "test")
    with caplog.at_level(logging.ERROR):
        ticker.start()
        ticker.start()
        assert enough.wait(PATIENCE)
        ticker.stop(PATIENCE)
    after = len(calls)
    assert "polling goes on" in caplog.text
    assert len(calls) == after
