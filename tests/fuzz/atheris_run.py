"""Ask the readers what they do with inputs that coverage leads to.

    pip install atheris
    python tests/fuzz/atheris_run.py --seconds 600 [TARGET ...]

The time is shared among the targets, each in a process of its own. An input that raises, or takes more than a
second, is written to `--out` and ends its target's turn. Exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
LONGEST = 4096  # bytes of an input
SLOW = 1.0  # seconds of CPU
DONE = re.compile(r"Done (\d+) runs|#(\d+)\s")


def fuzz(name: str, corpus: str, seconds: int, out: str) -> None:
    """Fuzz one target in this process; does not return."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["camguard"]):
        found = importlib.import_module("tests.fuzz.targets").TARGETS[name]

    def one(data: bytes) -> None:
        began = time.process_time()
        found.read(data)
        assert time.process_time() - began < SLOW, "slow"

    words = Path(corpus, "..", "words").resolve()
    words.write_text("".join(f'"{escaped(word)}"\n' for word in found.words))
    for number, seed in enumerate(found.seeds):
        Path(corpus, f"seed{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup(
        [sys.argv[0], corpus, f"-dict={words}", f"-artifact_prefix={out}/", "-print_final_stats=1", *limits],
        one,
    )
    atheris.Fuzz()


def escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def turn(name: str, seconds: int, out: Path) -> tuple[int, bool]:
    """Fuzz one target in a process of its own; return how many inputs it read, and whether all was well."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        done = subprocess.run(
            [
                *(sys.executable, __file__, "--one", name, "--corpus", str(corpus)),
                *("--seconds", str(seconds), "--out", str(out)),
            ],
            capture_output=True,
            text=True,
            timeout=seconds + 120,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    runs = [int(one or other) for one, other in DONE.findall(done.stderr)]
    if done.returncode:
        sys.stderr.write(done.stderr[-3000:])
    return max(runs, default=0), done.returncode == 0


def main() -> int:
    """Fuzz in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for all together")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fuzz(options.one, options.corpus, options.seconds, str(options.out))
    known = list(importlib.import_module("tests.fuzz.targets").TARGETS)
    names = options.targets or known
    if strange := set(names) - set(known):
        parser.error(f"no such target: {', '.join(sorted(strange))}; there are: {', '.join(known)}")
    options.out.mkdir(exist_ok=True)
    total, bad = 0, []
    for name in names:
        runs, good = turn(name, max(1, options.seconds // len(names)), options.out)
        total += runs
        bad += [] if good else [name]
        print(json.dumps({"target": name, "inputs": runs, "good": good}), flush=True)  # noqa: T201
    print(json.dumps({"inputs": total, "seconds": options.seconds, "findings": bad}))  # noqa: T201
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
