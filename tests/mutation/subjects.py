"""What is mutated, and which tests judge it: one row for each group of modules.

A module that decides joins by a row here, or by being in a folder that a row names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

_POLICY = ("tests/policy",)
_INTERNALS = "tests/internals/test_"
_INTERNAL = "tests/internals/test_{stem}.py"
_LANGUAGE = (
    *("tests/engine", *_POLICY, "tests/test_ipset.py"),
    *(f"{_INTERNALS}{name}.py" for name in ("caches", "evaluator_caches", "resource_index")),
    *(f"{_INTERNALS}{name}.py" for name in ("row", "rule_index", "rule_index_bounds")),
)
_CALLS = (
    *("tests/request", "tests/authn", "tests/enforcement", "tests/catalog", "tests/settings"),
    *("tests/bundle/test_load.py", "tests/test_middleware.py", "tests/test_grammar.py"),
    *("tests/test_header_names.py", "tests/test_strict_json.py", "tests/test_strict_toml.py"),
    "tests/authorizer/test_application.py",
    *(f"{_INTERNALS}{name}.py" for name in ("authenticator", "body", "caches", "credentials", "guard")),
    *(f"{_INTERNALS}{name}.py" for name in ("head", "json_body", "lane", "notes", "target")),
)
_TEXTS = ("tests/cli/test_reason.py",)
_ANALYSIS = ("tests/analysis",)


class Row(NamedTuple):
    """One group of modules.

    files: a pattern of paths. first: the tests that are run first; `{stem}` is the name of the module, and a
    file that does not exist is passed over. suite: all tests that judge the group. Rows of one suite stand
    together, because its tests are collected and recorded once for them. cases: whether the cases and the
    seeded bundles of `checks.py` judge the group, too.
    """

    files: str
    first: tuple[str, ...]
    suite: tuple[str, ...]
    cases: bool = False


ROWS = (
    Row("camguard/policy/*.py", _POLICY, _LANGUAGE, cases=True),
    Row("camguard/engine/call.py", ("tests/engine/test_decision.py",), _LANGUAGE, cases=True),
    Row("camguard/engine/row.py", ("tests/engine/test_evaluator.py", _INTERNAL), _LANGUAGE, cases=True),
    Row(
        "camguard/engine/evaluator.py",
        ("tests/engine/test_evaluator.py", "tests/internals/test_evaluator_caches.py"),
        _LANGUAGE,
        cases=True,
    ),
    Row(
        "camguard/engine/rules.py",
        ("tests/engine/test_condition_index.py", "tests/engine/test_known_actions.py"),
        _LANGUAGE,
        cases=True,
    ),
    Row("camguard/engine/*.py", ("tests/engine/test_{stem}.py", _INTERNAL), _LANGUAGE, cases=True),
    Row("camguard/ipset.py", ("tests/test_ipset.py",), _LANGUAGE, cases=True),
    Row("camguard/request/causes.py", _TEXTS, _TEXTS),
    Row("camguard/grammar.py", ("tests/test_grammar.py",), _CALLS),
    Row(
        "camguard/header_names.py",
        ("tests/test_header_names.py", "tests/request/test_header_rules.py"),
        _CALLS,
    ),
    Row("camguard/strict_json.py", ("tests/test_strict_json.py",), _CALLS),
    Row("camguard/strict_toml.py", ("tests/test_strict_toml.py",), _CALLS),
    *(Row(f"camguard/catalog/{name}.py", ("tests/catalog",), _CALLS) for name in ("model", "files")),
    Row(
        "camguard/request/body.py",
        (
            *("tests/request/test_body.py", "tests/request/test_waiting.py"),
            *("tests/request/test_body_formats.py", _INTERNAL),
        ),
        _CALLS,
    ),
    Row(
        "camguard/request/deadline.py",
        ("tests/request/test_deadline.py", "tests/request/test_waiting.py", "tests/request/test_body.py"),
        _CALLS,
    ),
    Row(
        "camguard/request/header_rules.py",
        ("tests/request/test_header_rules.py", "tests/request/test_head_lines.py"),
        _CALLS,
    ),
    Row(
        "camguard/request/json_body.py",
        ("tests/request/test_json_body.py", "tests/test_strict_json.py", _INTERNAL),
        _CALLS,
    ),
    Row(
        "camguard/request/head.py",
        ("tests/request/test_head.py", "tests/request/test_client_address.py", _INTERNAL),
        _CALLS,
    ),
    Row("camguard/request/*.py", ("tests/request/test_{stem}.py",), _CALLS),
    Row("camguard/authn/key_store.py", ("tests/authn/test_credentials.py",), _CALLS),
    Row("camguard/authn/*.py", ("tests/authn/test_{stem}.py", _INTERNAL), _CALLS),
    Row(
        "camguard/enforcement/target.py",
        ("tests/enforcement/test_service_index.py", "tests/enforcement/test_target.py"),
        _CALLS,
    ),
    Row(
        "camguard/enforcement/*.py",
        ("tests/enforcement/test_{stem}.py", "tests/enforcement", _INTERNAL),
        _CALLS,
    ),
    Row("camguard/authorizer/*.py", ("tests/authorizer",), ("tests/authorizer",)),
    *(
        Row(f"camguard/bundle/{name}.py", (f"tests/bundle/test_{name}.py",), ("tests/bundle",))
        for name in ("archive", "ustar", "signature", "fetch", "last_good", "remote")
    ),
    *(
        Row(
            f"camguard/analysis/{name}.py",
            tuple(f"tests/analysis/test_{each}.py" for each in tests),
            _ANALYSIS,
        )
        for name, *tests in (
            ("causes", "causes", "causes_apart", "answers"),
            ("diff", "diff", "risk", "what_changed"),
            ("invariants", "invariants", "counterexamples"),
            ("witness", "witness", "tried_calls"),
        )
    ),
    Row("camguard/analysis/*.py", ("tests/analysis/test_{stem}.py",), _ANALYSIS),
)

# Tests that judge nothing here: they measure time, or only threads could make them fail.
PASSED_OVER = (
    "tests/authn/test_timing.py",
    "tests/request/test_costs.py",
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
    """Yield the modules of all rows, in the order of the rows. The first row that names a module counts.

    The `__init__` of a package is passed over: it only lists names, and ruff finds a wrong one there.
    """
    seen: set[Path] = set()
    for row in ROWS:
        for path in sorted(set(ROOT.glob(row.files)) - seen):
            seen.add(path)
            if path.name == "__init__.py":
                continue
            first = (each.format(stem=path.stem) for each in row.first)
            yield Subject(
                path,
                ".".join(path.relative_to(ROOT).with_suffix("").parts),
                tuple(each for each in first if (ROOT / each).exists()),
                row.suite,
                row.cases,
            )
