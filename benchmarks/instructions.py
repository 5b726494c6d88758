"""Instructions that camguard adds to a request in uvicorn's protocol, beside floors that are written by hand.

valgrind (callgrind) counts them, so they do not depend on what else the machine does. For each request, one
process sends a few to every application, and then many to each, and counts those alone. All defaults; without
valgrind nothing is counted, and the program says so. `--gate` counts header identity alone, and ends with
exit code 1 where what camguard adds, divided by the request alone, is above its bound; it is what `.ci/run`
asks.

The floors (`_floors.py`) are the ablation: what holding a body, a look-up, a record, an id or the hashes of a
signature cost whoever writes them. The share of a goal that a floor takes is not camguard's to save.

To compare with another commit: `git worktree add /tmp/other COMMIT`, then
`PYTHONPATH=/tmp/other python benchmarks/instructions.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop
from _apps import App, application, write_config
from _in_server import connect, raw_request
from _ladders import HEADER, REFUSED, TC3, checked, floors, last
from _report import Report, show
from _requests import BODY, BODY_1K, headers_of, one_call
from _workload import Size, make_workload

BOUND = 0.34  # what is added, divided by the request alone; 0.316 when it was set
FEW, MANY = 20, 140  # requests
MARK = "getloadavg"  # a function of the C library that nothing else calls: a count begins and ends there
RUN = "--run"  # of this program under valgrind: a file with the request, and the applications that get it
BARE, GUARDED = "the application alone", "camguard"


class Case(NamedTuple):
    """One request. ladder: the kind of request whose floors are counted with it, empty for none."""

    allowed: bool
    v6: bool
    signed: bool
    ladder: str

    @property
    def floors(self) -> list[str]:
        """The names of the floors."""
        return floors(self.ladder) if self.ladder else []


CASES = {
    HEADER: Case(allowed=True, v6=False, signed=False, ladder=HEADER),
    f"{HEADER}, IPv6 client": Case(allowed=True, v6=True, signed=False, ladder=""),
    REFUSED: Case(allowed=False, v6=False, signed=False, ladder=REFUSED),
    TC3: Case(allowed=True, v6=False, signed=True, ladder=TC3),
}
GATED = HEADER
GOALS = {  # thousand instructions
    HEADER: "<= 66",
    f"{HEADER}, IPv6 client": "<= 66",
}


def counted(folder: Path, case: str, names: Sequence[str], program: str) -> list[int]:
    """Return the instructions of `MANY` requests that each application answers.

    program: a file that sends them by `in_turn` when it is given RUN, the file of the case, and the names as
    JSON.
    """
    out = folder / f"{case}.callgrind"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARK}"]
    done = subprocess.run(
        [*command, sys.executable, program, RUN, str(folder / f"{case}.json"), json.dumps(names)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    dumps = sorted(folder.glob(f"{out.name}.*"), key=lambda file: int(file.suffix[1:]))
    if done.returncode or len(dumps) != 2 * len(names):
        raise SystemExit(f"{case}: {done.stderr}")
    found = []
    for dump in dumps[1::2]:  # each dump holds what was computed since the one before it
        total = re.search(r"^totals: (\d+)", dump.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        found.append(int(total[1]) if total else 0)
    return found


async def in_turn(asks: Mapping[str, Callable[[int], Awaitable[object]]]) -> None:
    """Send `FEW` requests to each application, and then `MANY` to each, between two marks."""
    for ask in asks.values():
        await ask(FEW)
    for ask in asks.values():
        await ask(FEW)
        os.getloadavg()  # MARK
        await ask(MANY)
        os.getloadavg()


def served(name: str, folder: Path) -> App:
    """Return one of the applications that are counted."""
    return application({BARE: "bare", GUARDED: "camguard"}.get(name, name), folder)


def run(file: Path, names: Sequence[str]) -> None:
    """Send a request to each application in uvicorn's protocol, where they are counted."""
    headers, body, marker = json.loads(file.read_text(encoding="utf-8"))
    request = raw_request(headers, body.encode())

    def asking(name: str) -> Callable[[int], Awaitable[object]]:
        connection = connect(served(name, file.parent))

        async def ask(count: int) -> None:
            answer = await connection(request, count)
            if name == GUARDED and marker.encode() not in answer:
                raise SystemExit(f"{name} answered {answer!r}")

        return ask

    async def all_of_them() -> None:
        await in_turn({name: asking(name) for name in names})

    gc.collect()
    gc.disable()  # when a collection comes depends on what was loaded
    uvloop.run(all_of_them())


def per_request(folder: Path, case: str, names: Sequence[str], program: str = __file__) -> dict[str, float]:
    """Return the instructions of a request that each application answers. program: as for `counted`."""
    found = counted(folder, case, names, program)
    return {name: count / MANY for name, count in zip(names, found, strict=True)}


def measure(cases: Sequence[str], *, beside: bool) -> dict[str, dict[str, float]]:
    """Return, for each case, the instructions of a request that each application answers.

    beside: whether the floors are counted, too.
    """
    folder = Path(tempfile.mkdtemp(prefix="camguard-instructions-"))
    try:
        workload = make_workload(Size(principals=5))
        write_config(folder, workload)
        names = {}
        for case in cases:
            facts = CASES[case]
            call = one_call(workload, allowed=facts.allowed, v6=facts.v6)
            body = BODY_1K if facts.signed else BODY
            headers = headers_of(call, body, signed=facts.signed)
            marker = "ResultUrl" if facts.allowed else "Error"
            (folder / f"{case}.json").write_text(json.dumps([headers, body.decode(), marker]), "utf-8")
            names[case] = [BARE, *(facts.floors if beside else ()), GUARDED]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counts = pool.map(partial(per_request, folder), names, names.values())
            return dict(zip(names, counts, strict=True))
    finally:
        shutil.rmtree(folder)


def report_of(found: Mapping[str, Mapping[str, float]]) -> Report:
    """Return the table of all cases."""
    report = Report(
        "instructions: of a request in uvicorn's protocol, counted by callgrind",
        ("", "instructions", "added", "of the application alone"),
    )
    for case, counts in found.items():
        alone = counts[BARE]
        for name, count in counts.items():
            shown = name if name.startswith(f"{case}: ") else f"{case}: {name}"
            report.rows.append((shown, count, f"{count - alone:+,.0f}", f"{count / alone:.2f}"))
        added = counts[GUARDED] - alone
        report.ratios.append((f"thousand instructions added, {case}", added / 1000, GOALS.get(case, "")))
        report.ratios.append((f"added / alone, {case}", added / alone, ""))
        if CASES[case].ladder:
            above = counts[GUARDED] - counts[last(case)]
            report.notes.append(f"{case}: {above:+,.0f} above the last floor that checks nothing")
    added = {name: (count - found[HEADER][BARE]) / 1000 for name, count in found[HEADER].items()}
    what = "thousand instructions added"
    report.floors += [
        (f"{what}, {name}", added[GUARDED], added[name], GOALS[HEADER])
        for name in (last(HEADER), checked(HEADER))
    ]
    counts = found[REFUSED]
    report.ratios.append(("refusal / alone, camguard", counts[GUARDED] / counts[BARE], "<= 0.60"))
    report.floors += [
        (f"refusal / alone, {name}", counts[GUARDED] / counts[BARE], counts[name] / counts[BARE], "<= 0.60")
        for name in floors(REFUSED)
    ]
    return report


def main() -> None:
    """Print the instructions of every case, or of the one that is gated."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gate", action="store_true", help="exit code 1 above the bound")
    parser.add_argument("--quick", action="store_true", help="changes nothing: a count needs no rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(RUN, nargs=2, metavar=("FILE", "NAMES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(Path(given.run[0]), json.loads(given.run[1]))
        return
    if not shutil.which("valgrind"):
        raise SystemExit(0 if given.gate else "valgrind is not installed: no instructions were counted")
    if not given.gate:
        show(report_of(measure(tuple(CASES), beside=True)), as_json=given.json)
        return
    counts = measure((GATED,), beside=False)[GATED]
    added = counts[GUARDED] - counts[BARE]
    print(f"{GATED}: {counts[BARE]:,.0f} alone, {added:+,.0f} with camguard, {added / counts[BARE]:.3f}")
    if added / counts[BARE] > BOUND:
        raise SystemExit(f"camguard adds more than {BOUND} of the request: find out what became slower")


if __name__ == "__main__":
    main()
