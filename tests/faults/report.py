"""What a fault program says: facts as it goes, and claims that hold or do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Report:
    """One program's result. lines: as they were printed. failed: claims that did not hold."""

    name: str
    silent: bool = False
    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def says(self, **facts: Any) -> None:
        """Say some numbers."""
        self._line("  " + ", ".join(f"{name} {_text(value)}" for name, value in facts.items()))

    def holds(self, claim: str, *, true: bool) -> None:
        """Say whether something holds."""
        if not true:
            self.failed.append(claim)
        self._line(f"  {'PASS' if true else 'FAIL'} {claim}")

    def memory(self, before: int, after: int, peak: int | None = None) -> None:
        """Say a process's resident memory, in bytes."""
        facts = {"before": before, "after": after} | ({} if peak is None else {"peak": peak})
        self._line("  memory " + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in facts.items()))

    def _line(self, line: str) -> None:
        self.lines.append(line)
        if not self.silent:
            print(line, flush=True)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {each}" for key, each in sorted(value.items())) + "}"
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def status(pid: int | str, name: str) -> int:
    """Return a field of /proc/PID/status: `VmRSS` and `VmHWM` in bytes, `Threads` as it is."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            value, *unit = line.split()[1:]
            return int(value) * (1024 if unit else 1)
    raise KeyError(name)


def resident(pid: int | str = "self") -> int:
    """Return the resident memory of a process in bytes."""
    return status(pid, "VmRSS")


def files(pid: int | str = "self") -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
