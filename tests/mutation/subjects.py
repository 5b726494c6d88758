"""What is mutated, and which tests judge it: one row for each group of modules.

A module that decides joins by a row here, or by being in a folder that a row names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

_POLICY = ("tests/policy",)
_LANGUAGE = ("tests/engine", *_POLICY, "tests/test_ipset.py")
_EDGE = ("tests/edge", "tests/test_middleware.py")


class Row(NamedTuple):
    """One group of modules.

    files: a pattern of paths. first: the tests that are run first; `{stem}` is the name of the module, and a
    file that does not exist is passed over. suite: all tests that judge the group. cases: whether the cases
    and the seeded bundles of `checks.py` judge it before any test.
    """

    files: str
    first: tuple[str, ...]
    suite: tuple[str, ...]
    cases: bool = False


ROWS = (
    Row("camguard/policy/*.py", _POLICY, _LANGUAGE, cases=True),
    Row("camguard/engine/*.py", ("tests/engine/test_{stem}.py",), _LANGUAGE, cases=True),
    Row("camguard/ipset.py", ("tests/test_ipset.py",), _LANGUAGE, cases=True),
    Row(
        "camguard/grammar.py",
        ("tests/test_grammar.py",),
        ("tests/test_grammar.py", "tests/catalog", "tests/bundle/test_load.py", *_EDGE),
    ),
    Row(
        "camguard/strict_json.py", ("tests/test_strict_json.py",), ("tests/test_strict_json.py", "tests/edge")
    ),
    *(
        Row(f"camguard/catalog/{name}.py", ("tests/catalog",), ("tests/catalog", "tests/edge"))
        for name in ("model", "check", "template", "files")
    ),
    Row("camguard/edge/params.py", ("tests/edge/test_params.py", "tests/edge/test_wire.py"), _EDGE),
    Row(
        "camguard/edge/wire.py",
        tuple(f"tests/edge/test_{name}.py" for name in ("wire", "content", "resources", "meaning")),
        _EDGE,
    ),
    Row("camguard/edge/headers.py", ("tests/edge/test_headers.py", "tests/edge/test_head.py"), _EDGE),
    Row("camguard/edge/body.py", ("tests/edge/test_body.py", "tests/edge/test_waiting.py"), _EDGE),
    Row("camguard/edge/deadline.py", ("tests/edge/test_body.py", "tests/edge/test_waiting.py"), _EDGE),
    Row("camguard/edge/replay.py", ("tests/edge/test_identity.py",), _EDGE),
    Row("camguard/edge/request_id.py", ("tests/edge/test_refusal.py",), _EDGE),
    Row("camguard/edge/reading.py", ("tests/edge/test_guard.py", "tests/edge/test_content.py"), _EDGE),
    Row("camguard/edge/*.py", ("tests/edge/test_{stem}.py",), _EDGE),
)

# Tests that judge nothing here: they measure time, or only threads could make them fail.
PASSED_OVER = (
    "tests/edge/test_signature_timing.py",
    "tests/edge/test_costs.py",
    "tests/engine/test_evaluator.py::test_many_threads_may_decide_at_once",
)


class Subject(NamedTuple):
    """One module and the tests that judge it. first: those that are run first; empty where there are none."""

    path: Path
    module: str
    first: tuple[str, ...]
    suite: tuple[str, ...]
    cases: bool


def subjects() -> Iterator[Subject]:
    """Yield the modules of all rows, in the order of the rows. The first row that names a module counts."""
    seen: set[Path] = set()
    for row in ROWS:
        for path in sorted(set(ROOT.glob(row.files)) - seen):
            seen.add(path)
            first = (each.format(stem=path.stem) for each in row.first)
            yield Subject(
                path,
                ".".join(path.relative_to(ROOT).with_suffix("").parts),
                tuple(each for each in first if (ROOT / each).exists()),
                row.suite,
                row.cases,
            )
