"""What every test may use."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from camguard import cli
from camguard.cli import main
from camguard.enforcement.lane import Lane
from tests.recognition import WholeWay
from tests.running import PATIENCE, WHOLE_WAY, free_port

# No deadline of 200 ms for one example: another worker and other programs use the processor too. The mutation
# run has a profile of its own.
hypothesis.settings.register_profile("shared machine", deadline=None)
if hypothesis.settings.get_current_profile_name() != "mutation":
    hypothesis.settings.load_profile("shared machine")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector of garbage pass over what every test needs: half of the collection was its walks."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def recognition() -> Iterator[None]:
    """Let each guard judge each request the whole way where CAMGUARD_TESTS_WITHOUT_RECOGNITION is set."""
    with pytest.MonkeyPatch.context() as patch:
        if WHOLE_WAY:
            patch.setattr(Lane, "recognize", WholeWay.recognize)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_parser() -> Iterator[None]:
    """Make the parser of the command line once, and not for each of the thousands of verbs that tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "parser", cache(cli.parser))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves one of our threads running: it would disturb the tests that follow."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("camguard-"):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"the test leaves the thread {thread.name} running"


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Return two free ports of 127.0.0.1, for a program that the test starts."""
    return free_port(), free_port()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Leave the collector out of what is timed: it walks everything that the whole run has loaded."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "camguard"
    assert main(["init", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder of the test's own, made by `camguard init`, as the current folder."""
    mine = shutil.copytree(_made, tmp_path / "camguard")
    monkeypatch.chdir(mine)
    return mine
