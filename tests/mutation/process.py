"""Processes that judge mutants: forked, and limited in time and memory."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.mutation.subjects import PASSED_OVER

_MEMORY = 2 << 30  # bytes
_PROCESSOR = 600  # seconds, for what forks further processes: `allow` limits one process only

# The same examples for every mutant; no limit of time but `allow`; and a failing example is not made smaller.
settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
settings.load_profile("mutation")


def in_fork(run: Callable[[], str]) -> str | None:
    """Return what `run` returns in a forked process, or None if the process ended before it could return."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR, _PROCESSOR))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            answer = run().encode()
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return text or None


def allow(processor: float, wall: float) -> None:
    """Let this process end unless this is called again in time.

    processor, wall: seconds that the next step takes with the unchanged package. The step may take a multiple
    of both, because other programs use the machine too.
    """
    signal.setitimer(signal.ITIMER_PROF, 5 * processor + 2)
    signal.setitimer(signal.ITIMER_REAL, 10 * wall + 10)


def run_pytest(arguments: Sequence[str], plugin: object) -> int | pytest.ExitCode:
    """Run pytest in this process, without any output."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-q", "-o", "addopts=--import-mode=importlib", "-m", "not heavy", "--assert=plain"]
    options += ["-p", "no:cacheprovider", "--tb=native"]
    # A whole file that is passed over is not even imported: its tables may be large.
    options += [f"--{'deselect' if '::' in name else 'ignore'}={name}" for name in PASSED_OVER]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return pytest.main([*options, *arguments], [plugin])
