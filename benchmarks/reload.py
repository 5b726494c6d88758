"""What 100,000 principals with 50 sets of policies cost to load, and what their reload costs a request.

A folder of that size is loaded as camguard loads it: in a process of its own for time, in another under
tracemalloc for memory. Then two servers have it, one after the other: uvicorn with the middleware in an
application, where interpreter and garbage collection are as Python leaves them, and `camguard serve`. Each is
asked over loopback, a request every millisecond or two, while nothing changes, while a policy is edited, and
while principals.json is: from the edit until the old bundle is gone. The slowest answer is what counts.

On a machine that others use too, an answer may wait for a processor. So beside the slowest answer stands the
longest stall: of each answer's time no more than the server, all its threads together, computed meanwhile,
and without the time for which client and server's first thread were ready to run and had no processor.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from _apps import write_config
from _report import Report, options, show
from _requests import BODY, headers_of
from _workload import Size, Workload, make_calls, make_workload

from camguard.bundle import load_bundle
from camguard.engine.call import Call

SIZE = Size(principals=100_000, sets=50)
USER = "20000000"  # whose rights the edits change: so it shows which bundle is in force
POLL = 0.25  # seconds between the server's looks at the folder
AFTER = 1.0  # seconds of asking on when an edit has shown, so that the old bundle goes meanwhile
PATIENCE = 20.0  # seconds for an edit to show
HERE = Path(__file__).resolve().parent
VERB = "from camguard.cli import run; run()"
SERVERS = {
    "middleware": (f"{HERE}/_apps.py", "{folder}", "camguard", "{port}"),
    "camguard serve": ("-c", VERB, "serve", "--config", "{folder}/camguard.toml"),
}
NOTHING, POLICY, PRINCIPALS = "nothing", "a policy", "principals.json"


class Answer(NamedTuple):
    """Milliseconds until an answer was whole, and those of them for which the server stalled it at most."""

    taken: float
    stalled: float


Taken = dict[str, list[list[Answer]]]  # what was edited -> the answers around each edit


def write(folder: Path) -> Workload:
    """Write a working folder of camguard, with one user more, and return what it holds."""
    workload = make_workload(SIZE)
    workload.documents["mine"] = mine("allow")
    workload.principals["users"][USER] = {"policies": ["mine"]}
    settings = write_config(folder, workload)
    text = settings.read_text(encoding="utf-8").replace("3600.0", str(POLL))
    settings.write_text(text + '[gateway]\nadmin = ""\n[upstream]\ndefault = "echo"\n', encoding="utf-8")
    return workload


def mine(effect: str) -> dict[str, Any]:
    """Return the policy of the user whose rights change."""
    return {"version": "2.0", "statement": [{"effect": effect, "action": "aiart:*", "resource": "*"}]}


def replace(path: Path, document: Any) -> None:
    """Write a file in one step."""
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(document), encoding="utf-8")
    aside.replace(path)


def load_time(folder: Path) -> float:
    """Return the seconds that the folder takes to load."""
    begin = time.perf_counter()
    load_bundle(folder / "bundle", folder / "catalog")
    return time.perf_counter() - begin


def load_memory(folder: Path) -> tuple[int, int]:
    """Return the bytes that the loaded folder takes, and the most that were taken while it was loaded."""
    load_bundle(folder / "bundle", folder / "catalog")  # what is made once for a process is made before
    tracemalloc.start()
    bundle = load_bundle(folder / "bundle", folder / "catalog")
    found = tracemalloc.get_traced_memory()
    del bundle
    return found


class Server(NamedTuple):
    """A running server. clock: for `time.clock_gettime`, the seconds that all its threads computed.

    waits: files of the scheduler about this process, and about the server's first thread, which serves calls.
    """

    connection: HTTPConnection
    clock: int
    waits: tuple[Path, Path]

    def waited(self) -> float:
        """Return the seconds for which both threads were ready to run and had no processor."""
        return sum(int(file.read_text(encoding="ascii").split()[1]) for file in self.waits) / 1e9


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[Server]:
    """Run a server and connect to it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = os.pathsep.join((str(HERE.parent), os.environ.get("PYTHONPATH", "")))
    environ = {"PYTHONPATH": path, "CAMGUARD_GATEWAY__LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen(
        [sys.executable, *(part.format(folder=folder, port=port) for part in SERVERS[name])],
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        while connection.sock is None:
            if process.poll() is not None:
                raise SystemExit(f"{name} did not start")
            with contextlib.suppress(OSError):
                connection.connect()
            time.sleep(0.1)
        waits = Path("/proc/self/schedstat"), Path(f"/proc/{process.pid}/task/{process.pid}/schedstat")
        yield Server(connection, ~process.pid << 3 | 2, waits)  # as clock_getcpuclockid(3) makes it on Linux
    finally:
        connection.close()
        process.terminate()
        process.wait(30)


def ask(
    server: Server, calls: Iterator[Call], seconds: float, awaited: tuple[Call, bool] | None = None
) -> list[Answer]:
    """Send requests for some seconds and return how long each answer took.

    awaited: a call, and whether it passes once an edit is in force; the seconds begin when that shows.
    """
    connection, clock, _ = server
    connection.close()  # it was idle for longer than a server may keep it
    answers = []
    end = time.monotonic() + (PATIENCE if awaited else seconds)
    for turn in itertools.count():
        if time.monotonic() > end:
            break
        look = awaited is not None and turn % 20 == 0
        headers = headers_of(awaited[0] if awaited and look else next(calls), BODY)
        waited, computed, begin = server.waited(), time.clock_gettime(clock), time.perf_counter()
        connection.request("POST", "/", BODY, headers)
        answer = connection.getresponse().read()
        taken = time.perf_counter() - begin
        computed = time.clock_gettime(clock) - computed
        stalled = min(taken - (server.waited() - waited), computed)
        answers.append(Answer(taken * 1000, max(0.0, stalled) * 1000))
        if awaited and look and (b'"Error"' not in answer) is awaited[1]:
            awaited, end = None, time.monotonic() + seconds
        time.sleep(0.001)
    if awaited:
        raise SystemExit("an edit did not show")
    return answers


def measure(name: str, folder: Path, workload: Workload, rounds: int) -> Taken:
    """Return how long the answers of one server took."""
    policy, principals = folder / "bundle/policies/mine.json", folder / "bundle/principals.json"
    action = min(action for action in workload.catalog.actions if action.startswith("aiart:"))
    watched = Call(f"uin/{USER}", action, 1, None)
    calls = itertools.cycle(make_calls(workload, 5_000))
    answers: Taken = {NOTHING: [], POLICY: [], PRINCIPALS: []}
    with serving(name, folder) as server:
        ask(server, calls, 1)  # what is made on first use is made before
        for _ in range(rounds):
            answers[NOTHING].append(ask(server, calls, 2))
            for passes in (False, True):
                replace(policy, mine("allow" if passes else "deny"))
                answers[POLICY].append(ask(server, calls, AFTER, (watched, passes)))
            for passes in (False, True):
                workload.principals["users"][USER] = {"policies": ["mine"] if passes else []}
                replace(principals, workload.principals)
                answers[PRINCIPALS].append(ask(server, calls, AFTER, (watched, passes)))
    return answers


def main() -> None:
    """Print the cost of a load, and the slowest answers with and without a reload."""
    given = options(__doc__)
    report = Report(
        f"reload: {SIZE.principals:,} principals, {SIZE.sets} sets; milliseconds of an answer meanwhile",
        ("edited", "median", "slowest", "longest stall"),
    )
    folder = Path(tempfile.mkdtemp(prefix="camguard-bench-"))
    try:
        workload = write(folder)
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as aside:
            taken_seconds = [aside.submit(load_time, folder).result() for _ in range(3)]
            held, peak = aside.submit(load_memory, folder).result()
        for name in SERVERS:
            answers = measure(name, folder, workload, 1 if given.quick else 5)
            for what, edits in answers.items():
                every = list(itertools.chain(*edits))
                median = statistics.median(each.taken for each in every)
                stall = max(each.stalled for each in every)
                report.rows.append((f"{name}: {what}", median, max(each.taken for each in every), stall))
                if what != NOTHING:
                    report.ratios.append((f"longest stall, ms: {name}, {what} edited", stall, "<= 50"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.ratios[:0] = [
        ("seconds of a load", statistics.median(taken_seconds), "<= 10"),
        ("µs of a load per principal", statistics.median(taken_seconds) * 1e6 / SIZE.principals, ""),
        ("bytes kept per principal (tracemalloc)", held / SIZE.principals, ""),
        ("bytes at the load's peak per principal (tracemalloc)", peak / SIZE.principals, ""),
    ]
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()
