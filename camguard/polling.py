"""A thread that calls a function at intervals, for what must not wait for a slow poll of something else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_LOGGER = logging.getLogger(__name__)


class Ticker:
    """Calls `do` every `seconds` in a daemon thread, from `start` to `stop`. An exception is logged."""

    def __init__(self, do: Callable[[], object], seconds: float, name: str) -> None:
        self._do = do
        self._seconds = seconds
        self._name = name
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to call. A ticker that runs already goes on."""
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop. Wait at most `seconds` for a call that runs."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(seconds)
            self._thread = None

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._do()
            except Exception:
                _LOGGER.exception("a poll failed; polling goes on")
