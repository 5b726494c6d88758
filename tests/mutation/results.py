"""What became of each mutant, in a file outside of the repository, so that an interrupted run continues.

One line of JSON for each mutant, written as soon as it is judged. A line counts only for the package and the
tests as they were when it was written.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from tests.mutation.collected import SURVIVED
from tests.mutation.subjects import ROOT, Subject


class Result(NamedTuple):
    """One judgement. source and tree: digests of the module, and of the whole package with its tests."""

    module: str
    source: str
    tree: str
    mutant: str
    killer: str
    seconds: float


def default_path() -> Path:
    """Return the file of this checkout in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "camguard" / f"mutation-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}.jsonl"


def digest_of_tree() -> str:
    """Return the digest of all that a judgement depends on: the package, its tests and their data."""
    digest = hashlib.sha256()
    for folder in ("camguard", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".json", ".txt", ".md"} and path.is_file():
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def digest_of(subject: Subject) -> str:
    return hashlib.sha256(subject.path.read_bytes()).hexdigest()


def read(path: Path) -> list[Result]:
    """Return what the file holds, or nothing. A line that an interruption cut off is passed over."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found.append(Result(*json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def known(results: list[Result], subject: Subject, tree: str, *, keep_kills: bool) -> dict[str, str]:
    """Return the mutants of a module that need not be judged, with what killed them.

    keep_kills: what was killed while the module was the same stays killed, whatever changed in the tests.
    """
    source = digest_of(subject)
    return {
        each.mutant: each.killer
        for each in results
        if (each.module, each.source) == (subject.module, source)
        and (each.tree == tree or (keep_kills and each.killer != SURVIVED))
    }


def append(path: Path, result: Result) -> None:
    """Add one line, in one write: two processes may write to one file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
