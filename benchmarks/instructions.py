"""Instructions that camguard adds to a request in uvicorn's protocol, divided by the request's own.

valgrind (callgrind) counts them, so they do not depend on what else the machine does. Three runs are counted:
so many requests of either application, more of the one, and more of the other; the start cancels in the
differences. `--gate` ends with exit code 1 where the quotient is above its bound; it is what `.ci/run` asks.
Header identity and all defaults; without valgrind nothing is counted, and the program says so.

To compare with another commit: `git worktree add /tmp/other COMMIT`, then
`PYTHONPATH=/tmp/other python benchmarks/instructions.py`.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop
from _apps import application, write_config
from _in_server import connect, raw_request
from _requests import BODY, BODY_1K, headers_of, one_call
from _workload import Size, make_workload

BOUND = 0.39  # what is added, divided by the request alone; 0.369 when it was set
FEW, MANY = 40, 180  # requests
RUN = "--run"  # of this program under valgrind: a file with the request, requests of either application
CASES = {
    "header identity": {"allowed": True, "v6": False, "signed": False},
    "header identity, IPv6 client": {"allowed": True, "v6": True, "signed": False},
    "refusal": {"allowed": False, "v6": False, "signed": False},
    "TC3, 1 KB": {"allowed": True, "v6": False, "signed": True},
}
GATED = "header identity"


def counted(program: str, folder: Path, case: str, bare: int, guarded: int) -> int:
    """Return the instructions of a whole run that sends so many requests to either application.

    program: a file that does this, when it is given RUN, the file of the case, and the two numbers.
    """
    file = folder / f"{case}.json"
    out = folder / f"{case}-{bare}-{guarded}.callgrind"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, program, RUN]
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*command, str(file), str(bare), str(guarded)],
        check=True,
        capture_output=True,
        text=True,
        env=environ,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise SystemExit(done.stderr)
    return int(found[1])


def run(file: Path, bare: int, guarded: int) -> None:
    """Send so many requests to either application, in uvicorn's protocol."""
    headers, body, marker = json.loads(file.read_text(encoding="utf-8"))

    async def both() -> None:
        for served, count, needed in (("bare", bare, "ResultUrl"), ("camguard", guarded, marker)):
            answer = await connect(application(served, file.parent))(
                raw_request(headers, body.encode()), count
            )
            if needed.encode() not in answer:
                raise SystemExit(f"{served} answered {answer!r}")

    gc.collect()
    gc.disable()  # when a collection comes depends on what was loaded
    uvloop.run(both())


def per_request(folder: Path, case: str, program: str = __file__) -> tuple[float, float]:
    """Return the instructions of a request without camguard, and with it. program: as for `counted`."""
    runs = ((FEW, FEW), (MANY, FEW), (FEW, MANY))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        few, bare, guarded = pool.map(lambda counts: counted(program, folder, case, *counts), runs)
    return (bare - few) / (MANY - FEW), (guarded - few) / (MANY - FEW)


def measure(cases: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Return, for each case, the instructions of a request without camguard and with it."""
    folder = Path(tempfile.mkdtemp(prefix="camguard-instructions-"))
    try:
        workload = make_workload(Size(principals=5))
        write_config(folder, workload)
        for case in cases:
            facts = CASES[case]
            call = one_call(workload, allowed=facts["allowed"], v6=facts["v6"])
            body = BODY_1K if facts["signed"] else BODY
            headers = headers_of(call, body, signed=facts["signed"])
            marker = "ResultUrl" if facts["allowed"] else "Error"
            (folder / f"{case}.json").write_text(json.dumps([headers, body.decode(), marker]), "utf-8")
        return {case: per_request(folder, case) for case in cases}
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Print the instructions of every case, or of the one that is gated."""
    if sys.argv[1:2] == [RUN]:
        run(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    gate = "--gate" in sys.argv
    if not shutil.which("valgrind"):
        print("valgrind is not installed: no instructions were counted")
        return
    found = measure((GATED,) if gate else tuple(CASES))
    for case, (bare, guarded) in found.items():
        added = guarded - bare
        print(f"{case}: {bare:,.0f} without camguard, {added:+,.0f} with it, {added / bare:.3f}")
    bare, guarded = found[GATED]
    if gate and (guarded - bare) / bare > BOUND:
        raise SystemExit(f"camguard adds more than {BOUND} of the request: find out what became slower")


if __name__ == "__main__":
    main()
