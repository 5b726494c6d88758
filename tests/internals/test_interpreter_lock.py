"""How long work of camguard keeps other threads from running."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from camguard import strict_json
from camguard.errors import CamguardError
from camguard.strict_json import read_json


def longest_wait(work: Callable[[], object]) -> float:
    """Return the longest that another thread waited for the interpreter, as a part of the work's time."""
    longest = 0.0
    done = False

    def watch() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not done:
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    interval = sys.getswitchinterval()
    other = threading.Thread(target=watch)
    sys.setswitchinterval(1e-4)
    other.start()
    begin = time.perf_counter()
    try:
        work()
    finally:
        done = True
        taken = time.perf_counter() - begin
        other.join()
        sys.setswitchinterval(interval)
    return longest / taken


def test_other_threads_go_on_while_a_long_document_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "_check", lambda *_: None)
    text = "[" + ",".join('{"a": []}' for _ in range(30_000)) + "]"
    # More than once: the machine and the collection of garbage make a thread wait, too.
    assert any(longest_wait(lambda: read_json(text, "f.json", CamguardError, "X")) < 0.6 for _ in range(9))
