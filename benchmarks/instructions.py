"""Instructions that camguard adds to a request in uvicorn's protocol, beside floors that are written by hand.

valgrind (callgrind) counts them, so they do not depend on what else the machine does. For each request, one
run sends a few to every application, and one run each sends more to one of them; the start cancels in the
differences. `--gate` counts header identity alone, and ends with exit code 1 where what camguard adds,
divided by the request alone, is above its bound; it is what `.ci/run` asks. All defaults; without valgrind
nothing is counted, and the program says so.

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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import uvloop
from _apps import App, application, write_config
from _in_server import connect, raw_request
from _ladders import HEADER, REFUSED, TC3, floors, last
from _report import Report, show
from _requests import BODY, BODY_1K, headers_of, one_call
from _workload import Size, make_workload

BOUND = 0.39  # what is added, divided by the request alone; 0.369 when it was set
FEW, MANY = 40, 180  # requests
RUN = "--run"  # of this program under valgrind: a file with the request, and how many each application gets
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


def counted(folder: Path, case: str, counts: Mapping[str, int], program: str) -> int:
    """Return the instructions of a whole run. counts: how many requests each application gets.

    program: a file that sends them when it is given RUN, the file of the case, and the counts as JSON.
    """
    out = folder / f"{case}-{'-'.join(map(str, counts.values()))}.callgrind"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, program, RUN]
    done = subprocess.run(
        [*command, str(folder / f"{case}.json"), json.dumps(counts)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise SystemExit(done.stderr)
    return int(found[1])


def served(name: str, folder: Path) -> App:
    """Return one of the applications that are counted."""
    return application({BARE: "bare", GUARDED: "camguard"}.get(name, name), folder)


def run(file: Path, counts: Mapping[str, int]) -> None:
    """Send a request to each application, so many times, in uvicorn's protocol."""
    headers, body, marker = json.loads(file.read_text(encoding="utf-8"))
    request = raw_request(headers, body.encode())

    async def all_of_them() -> None:
        for name, count in counts.items():
            answer = await connect(served(name, file.parent))(request, count)
            if name == GUARDED and marker.encode() not in answer:
                raise SystemExit(f"{name} answered {answer!r}")

    gc.collect()
    gc.disable()  # when a collection comes depends on what was loaded
    uvloop.run(all_of_them())


def per_request(folder: Path, case: str, names: Sequence[str], program: str = __file__) -> dict[str, float]:
    """Return the instructions of a request that each application answers. program: as for `counted`."""
    few = dict.fromkeys(names, FEW)
    runs = [few, *({**few, name: MANY} for name in names)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        start, *found = pool.map(lambda counts: counted(folder, case, counts, program), runs)
    return {name: (count - start) / (MANY - FEW) for name, count in zip(names, found, strict=True)}


def measure(cases: Sequence[str], *, beside: bool) -> dict[str, dict[str, float]]:
    """Return, for each case, the instructions of a request that each application answers.

    beside: whether the floors are counted, too.
    """
    folder = Path(tempfile.mkdtemp(prefix="camguard-instructions-"))
    try:
        workload = make_workload(Size(principals=5))
        write_config(folder, workload)
        found = {}
        for case in cases:
            facts = CASES[case]
            call = one_call(workload, allowed=facts.allowed, v6=facts.v6)
            body = BODY_1K if facts.signed else BODY
            headers = headers_of(call, body, signed=facts.signed)
            marker = "ResultUrl" if facts.allowed else "Error"
            (folder / f"{case}.json").write_text(json.dumps([headers, body.decode(), marker]), "utf-8")
            found[case] = per_request(folder, case, [BARE, *(facts.floors if beside else ()), GUARDED])
        return found
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
            report.notes.append(
                f"{case}: {above:+,.0f} above the last floor, which checks and judges nothing"
            )
    alone, least = found[HEADER][BARE], found[HEADER][last(HEADER)]
    what, goal = f"thousand instructions added, {HEADER}", GOALS[HEADER]
    report.floors.append((what, (found[HEADER][GUARDED] - alone) / 1000, (least - alone) / 1000, goal))
    counts = found[REFUSED]
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
    parser.add_argument(RUN, nargs=2, metavar=("FILE", "COUNTS"), help=argparse.SUPPRESS)
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
