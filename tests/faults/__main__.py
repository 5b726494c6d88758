"""Fault injection against the gateway, on loopback: `python -m tests.faults [--quick] [PROGRAM …]`.

Exit code 1 if a claim of a program does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults.programs import PROGRAMS, inject


def main() -> int:
    """Run the programs that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*PROGRAMS, []], metavar="PROGRAM", help=", ".join(PROGRAMS)
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    options = parser.parse_args()
    failed = []
    for name in options.names or PROGRAMS:
        print(f"{name}: {PROGRAMS[name].__doc__}", flush=True)
        began = time.monotonic()
        report = inject(name, quick=options.quick)
        failed += [f"{name}: {claim}" for claim in report.failed]
        print(f"  took {time.monotonic() - began:.0f} s\n")
    print("\n".join(["FAIL", *failed]) if failed else "PASS")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
