"""The shape of the house: who may import whom, what nobody may import, and how large a room may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import camguard

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "camguard"

# The order to read in, and the rule of who may import whom: only names to the left.
ORDER = (
    "_version",
    "printable",
    "errors",
    "files",
    "bounded_cache",
    "fast_tuple",
    "suggest",
    "grammar",
    "strict_json",
    "ipset",
    "catalog",
    "policy",
    "engine",
    "lint",
    "bundle",
    "policytest",
    "settings",
    "request",
    "authn",
    "telemetry",
    "enforcement",
    "assembly",
    "middleware",
    "gateway",
    "catalog_import",
    "cli",
)

# The same inside a package, for its modules: a package that has a row here lists all of its modules, each of
# which imports only names to its left. In a package without a row no import may lead back to its beginning.
INSIDE: dict[str, tuple[str, ...]] = {
    "request": (
        *("rejection", "header_rules", "head", "client_address"),
        *("params", "multipart", "body_formats", "deadline", "waiting", "body"),
    ),
    "authn": ("credentials", "tc3", "hmac_v1", "replay_guard", "authenticator"),
    "enforcement": ("resource_binding", "target", "outcome", "late", "guard"),
    "policy": (
        *("star", "truth", "values", "variables", "operators", "keys", "model"),
        *("actions", "resources", "conditions", "document"),
    ),
    "lint": (
        *("codes", "catalog_view", "source_map", "statement_view"),
        *("check_style", "check_actions", "check_resources", "check_condition_keys", "check_ip_ranges"),
        *("check_contradictions", "check_redundancy", "check_attachments", "run"),
    ),
}

# Parts that `import camguard` does not load, and why.
NOT_LOADED = {
    "lint": "needed for an activation and by the command line; the first bundle that is loaded loads it",
    "cli": "needed by the command line only",
}

# What `import camguard` may need, beside the standard library.
RUNTIME = {"starlette", "cachetools", "prometheus_client"}

# Module -> the only parts of the house that may import it, and why.
RESERVED: dict[str, tuple[tuple[str, ...], str]] = {
    "ipaddress": ((), "the user ruled it out; camguard/ipset.py holds addresses"),
    "uvicorn": (("gateway",), "belongs to the extra `serve`; the middleware must run without it"),
    "uvloop": (("gateway",), "belongs to the extra `serve`; the middleware must run without it"),
    "httptools": (("gateway",), "belongs to the extra `serve`; the middleware must run without it"),
    "aiohttp": (("gateway",), "belongs to the extra `serve`; the middleware must run without it"),
    "yarl": (("gateway",), "comes with aiohttp, whose client takes its addresses so"),
    "prometheus_client": (
        ("telemetry", "assembly", "middleware"),
        "metrics are handed in, never reached for",
    ),
    "starlette": (("request", "enforcement", "middleware", "gateway"), "what decides knows no request"),
    "fnmatch": ((), "gives ? and [ a meaning that CAM does not; camguard/policy/star.py matches"),
    "glob": ((), "same as fnmatch; pathlib lists folders"),
    "pickle": ((), "loading must never run what it loads"),
    "random": ((), "what is drawn here guards something: secrets"),
}

# Names that say nothing of what is inside.
EMPTY_NAMES = {
    "manager",
    "handler",
    "helper",
    "helpers",
    "utils",
    "util",
    "common",
    "base",
    "core",
    "processor",
}

MAX_LINES = 400

FILES = sorted(HOUSE.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES}
PACKAGES = sorted(path.parent.name for path in HOUSE.glob("*/__init__.py"))


def part_of(path: Path) -> str:
    """Return the name in ORDER that a file belongs to; `` for camguard/__init__.py itself."""
    first = path.relative_to(HOUSE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names of all modules that are imported, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:  # `from camguard.lint import run` imports a module of the package
                name = f"{module}.{alias.name}"
                yield name if module == "camguard" or name in MODULES else module


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_imports_go_leftwards_only(path: Path) -> None:
    part = part_of(path)
    may = {*ORDER[: ORDER.index(part) + 1]} if part else {*ORDER}
    ours = {name.split(".")[1] for name in imported(parsed(path)) if name.startswith("camguard.")}
    assert ours & set(ORDER) <= may


def imports_inside(package: str) -> dict[str, set[str]]:
    """Return what each module of a package imports of the same package; its `__init__` is ""."""
    found = {}
    for path in (HOUSE / package).glob("*.py"):
        names = {f"{name}." for name in imported(parsed(path))}
        inside = {name for name in names if name.startswith(f"camguard.{package}.")}
        found["" if path.stem == "__init__" else path.stem] = {name.split(".")[2] for name in inside}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_inside_a_package_never_lead_back(package: str) -> None:
    # Raises CycleError, which names the modules of the cycle.
    assert list(TopologicalSorter(imports_inside(package)).static_order())


@pytest.mark.parametrize("package", INSIDE)
def test_imports_inside_a_package_go_leftwards_only(package: str) -> None:
    order, found = INSIDE[package], imports_inside(package)
    assert set(order) == found.keys() - {""}, "a row lists all modules of its package"
    wrong = {name: found[name] - {*order[:at]} for at, name in enumerate(order)}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_import_camguard_does_not_load_what_no_call_needs() -> None:
    code = "import sys, camguard; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parts = {name.split(".")[1] for name in loaded.stdout.split() if name.startswith("camguard.")}
    assert "bundle" in parts
    assert {part: why for part, why in NOT_LOADED.items() if part in parts} == {}


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_nothing_is_imported_that_does_not_belong_there(path: Path) -> None:
    part = part_of(path)
    names = {name.split(".")[0] for name in imported(parsed(path))}
    wrong = {name: why for name, (where, why) in RESERVED.items() if name in names and part not in where}
    assert wrong == {}
    known = RUNTIME | set(RESERVED) | set(sys.stdlib_module_names) | {"camguard"}
    assert names <= known, "a new dependency is the user's to decide"


def test_no_import_is_relative() -> None:
    relative = [
        f"{by_name(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_every_part_stands_in_the_order() -> None:
    assert {part_of(path) for path in FILES} - {""} <= {*ORDER}


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {
        word for path in FILES for name in path.relative_to(HOUSE).parts for word in re.split(r"[_.]", name)
    }
    assert parts & EMPTY_NAMES == set()


def test_no_class_has_a_name_that_says_nothing() -> None:
    classes = {
        f"{by_name(path)}: {node.name}"
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
        and node.name.lower().endswith(tuple(EMPTY_NAMES - {"base", "core"}))
    }
    assert classes == set()


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_no_file_outgrows_its_room(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


# A program, and packages that it must not load: the command line reads pages, a process that serves does not.
LOADS = [
    pytest.param("import camguard", ("catalog_import", "policytest", "cli", "gateway"), id="import camguard"),
    pytest.param(
        "from camguard.cli import main; main(['serve', '--check', '--config', 'config/camguard.toml'])",
        ("catalog_import",),
        id="camguard serve",
    ),
]


@pytest.mark.parametrize(("program", "absent"), LOADS)
def test_a_program_loads_only_what_it_runs(program: str, absent: tuple[str, ...]) -> None:
    command = f"{program}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert {"camguard.engine.evaluator", *(["camguard.gateway.run"] if "serve" in program else [])} <= loaded
    assert {name for name in loaded if name.startswith(tuple(f"camguard.{part}" for part in absent))} == set()


def test_the_public_names_exist() -> None:
    named = {
        "CamguardMiddleware",
        "load_bundle",
        "load_catalog",
        "parse_policy",
        "parse_address",
        "Call",
        "Decision",
    }
    assert named <= {name for name in camguard.__all__ if hasattr(camguard, name)}
