"""The shape of the house: what may import what, what no part may import, and how large a file may be."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import camguard
from tests.sources import module, nodes
from tests.tables import check_each

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "camguard"

# The order to read in, and the rule of imports: a part imports only names to its left.
ORDER = (
    "_version",
    "printable",
    "errors",
    "files",
    "bounded_cache",
    "fast_tuple",
    "suggest",
    "grammar",
    "header_names",
    "exit_codes",
    "json_advice",
    "strict_json",
    "strict_toml",
    "ipset",
    "catalog",
    "policy",
    "engine",
    "lint",
    "bundle",
    "analysis",
    "policytest",
    "settings",
    "polling",
    "request",
    "authn",
    "telemetry",
    "enforcement",
    "reload_log",
    "wiring",
    "activation",
    "middleware",
    "asgi",
    "authorizer",
    "gateway",
    "catalog_import",
    "cli",
    "__main__",
)

# The same inside a package, for its modules: a package that has a row here lists all of its modules, each of
# which imports only names to its left. In a package without a row no import may lead back to its beginning.
INSIDE: dict[str, tuple[str, ...]] = {
    "request": (
        *("rejection", "causes", "header_rules", "head", "client_address", "json_body"),
        "attributes_header",
        *("params", "multipart", "body_formats", "deadline", "waiting", "body"),
    ),
    "authn": ("credentials", "key_store", "tc3", "known_head", "hmac_v1", "replay_guard", "authenticator"),
    "enforcement": (
        *("health_path", "server_setup", "resource_binding", "request_tags", "service_index", "target"),
        *("outcome", "modes", "notes", "lane", "late", "early", "guard"),
    ),
    "policy": (
        *("patterns", "values", "operators", "keys", "model"),
        *("actions", "resources", "conditions", "mistaken", "document"),
    ),
    "catalog": ("known_services", "model", "alternatives", "labels", "files", "diff"),
    "catalog_import": (
        *("names", "lines", "words", "file_kinds", "html_tables", "wrapped_cells", "tables"),
        *("aligned_tables", "drawn_tables", "merge", "page", "build"),
    ),
    "engine": (
        *("call", "decision", "attributes", "action_index", "layers", "principals", "intervals"),
        *("rules", "resource_tags", "row", "condition_index", "resource_index", "rule_index"),
        *("table", "evaluator", "settled", "explain", "remediation"),
    ),
    "analysis": (
        "answers",
        "alike",
        "access",
        "verdicts",
        "grid",
        "questions",
        "names",
        "witness",
        "faults",
        "invariants",
        "cases",
        "causes",
        "diff",
        "reduce",
        "cover",
        "least_policy",
        "unused",
    ),
    "bundle": (
        *("signature", "ustar", "archive", "fetch", "last_good", "kept_state", "model", "load"),
        *("remote", "store"),
    ),
    "policytest": ("cases", "invariants", "run", "mutate"),
    "settings": ("values", "overrides", "model", "source", "load"),
    "telemetry": (
        *("record", "log_line", "decision_log", "process_log"),
        *("exposition", "multiprocess", "answers", "requests", "metrics"),
    ),
    "authorizer": ("dialects", "answers", "application", "envoy_messages", "envoy_grpc", "fronts"),
    "gateway": (
        *("head_layout", "stepping", "reply_parser", "request_writer", "connection", "connecting", "client"),
        *("cycle", "turns", "parsing", "protocol", "server", "relay"),
        *("echo", "channel", "admin", "systemd", "run", "supervisor", "worker", "workers"),
    ),
    "cli": (
        *("output", "parser", "phrases", "inputs", "json_position", "sarif", "reason", "logged"),
        "check_command",
        *("init", "serve", "principals", "check", "matrix", "access", "diff", "reduce", "recorded", "replay"),
        *("mutation", "lint", "test", "call"),
        *("bundle", "rollback", "catalog"),
        *("config", "front", "completion"),
    ),
    "lint": (
        *(
            "codes",
            "advice",
            "catalog_view",
            "statement_view",
            "check_style",
            "check_services",
            "check_actions",
        ),
        *("check_resources", "check_conditions", "check_ip_ranges", "check_redundancy", "check_attachments"),
        *("acceptances", "granting_nothing", "run"),
    ),
}

# Parts that `import camguard` does not load, and why.
NOT_LOADED = {
    "lint": "needed for an activation and by the command line; the first bundle that is loaded loads it",
    "analysis": "answers questions about a bundle; no call needs it",
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
    "grpc": (("authorizer",), "belongs to the extra `authorizer-grpc`; HTTP works without it"),
    "google": (("authorizer",), "protobuf belongs to the extra `authorizer-grpc`"),
    "cryptography": (("bundle",), "belongs to the extra `ed25519`; every other key works without it"),
    "shtab": (("cli",), "belongs to the extra `completion`; every other verb runs without it"),
    "prometheus_client": (
        ("telemetry", "wiring", "middleware"),
        "metrics are handed in, never reached for",
    ),
    "starlette": (
        ("request", "enforcement", "middleware", "asgi", "authorizer", "gateway"),
        "what decides knows no request",
    ),
    "fnmatch": ((), "gives ? and [ a meaning that CAM does not; camguard/policy/patterns.py matches"),
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

OF_TUPLES = {"_replace", "_asdict", "_fields", "_make", "_field_defaults", "_exit"}

FILES = sorted(HOUSE.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES}
PACKAGES = sorted(path.parent.name for path in HOUSE.glob("*/__init__.py"))


def by_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


ROOMS = {by_name(path): path for path in FILES}


def part_of(path: Path) -> str:
    """Return the name in ORDER that a file belongs to; `` for camguard/__init__.py itself."""
    first = path.relative_to(HOUSE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


# Where neither stands, no private name of another object is reached, and the program need not be parsed.
REACHES = re.compile(
    rf"(?<!\bself)(?<!\bcls)\._(?!(?:{'|'.join(name[1:] for name in OF_TUPLES)})\b)[a-zA-Z]|setattr"
)


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names of all modules that are imported, those inside functions too."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:  # `from camguard.lint import run` imports a module of the package
                name = f"{module}.{alias.name}"
                yield name if module == "camguard" or name in MODULES else module


def test_imports_go_leftwards_only() -> None:
    check_each(ROOMS, imports_go_leftwards_only)


def imports_go_leftwards_only(path: Path) -> None:
    part = part_of(path)
    may = {*ORDER[: ORDER.index(part) + 1]} if part else {*ORDER}
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("camguard.")}
    assert ours & set(ORDER) <= may


def imports_inside(package: str) -> dict[str, set[str]]:
    """Return what each module of a package imports of the same package; its `__init__` is ""."""
    found = {}
    for path in (HOUSE / package).glob("*.py"):
        names = {f"{name}." for name in imported(path)}
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


def test_nothing_is_imported_that_does_not_belong_there() -> None:
    check_each(ROOMS, nothing_is_imported_that_does_not_belong_there)


def nothing_is_imported_that_does_not_belong_there(path: Path) -> None:
    part = part_of(path)
    names = {name.split(".")[0] for name in imported(path)}
    wrong = {name: why for name, (where, why) in RESERVED.items() if name in names and part not in where}
    assert wrong == {}
    known = RUNTIME | set(RESERVED) | set(sys.stdlib_module_names) | {"camguard"}
    assert names <= known, "a new dependency is the user's to decide"


# A module without a test file of its own name -> the file that tests it, and why it has no file of its own.
TESTED_IN = {
    "cli/mutation": ("policytest/test_mutate.py", "the verb is run on the changes that are tested there"),
    "cli/check_command": (
        "policytest/test_invariants.py",
        "the command is run for the calls that invariants show",
    ),
    "cli/matrix": ("cli/test_access.py", "a matrix is what two verbs of access print"),
    "_version": ("test_wheel.py", "the version is a fact of the package that is built"),
    "errors": ("test_printable.py", "an error is tested with what raises it; its text is printed"),
    "fast_tuple": ("enforcement/test_guard.py", "it constructs the tuples of every request"),
    "lint/advice": ("cli/test_reason.py", "advice is what the verb `rule` prints"),
    "lint/check_conditions": (
        "lint/test_check_condition_keys.py",
        "keys here, contradictions in a file of their own",
    ),
    "bundle/kept_state": ("bundle/test_remote.py", "the state is tested with the source that keeps it"),
    "bundle/model": ("bundle/test_load.py", "a bundle is what loading returns"),
    "catalog/model": ("catalog/test_files.py", "a catalog is what reading its files returns"),
    "catalog_import/lines": (
        "catalog_import/test_page_layouts.py",
        "lines and cells are read as part of a page",
    ),
    "catalog_import/page": (
        "catalog_import/test_page_facts.py",
        "the five files test_page_* read whole pages",
    ),
    "catalog_import/tables": ("catalog_import/test_page_rows.py", "tables are read as part of a page"),
    "catalog_import/wrapped_cells": (
        "catalog_import/test_drawn_tables.py",
        "the cells of tables that wrap their text are read as part of them",
    ),
    "catalog_import/words": ("catalog_import/test_page_facts.py", "words are read as part of a page"),
    "exit_codes": ("cli/test_main.py", "exit codes are those of the verbs"),
    "cli/output": ("test_printable.py", "every verb prints through it"),
    "cli/serve": ("gateway/test_serve.py", "the verb is tested with the gateway that it starts"),
    "cli/rollback": ("test_activation.py", "the verbs are tested with the orders that they give"),
    "cli/inputs": ("cli/test_main.py", "every verb finds its files through it"),
    "engine/call": ("engine/test_evaluator.py", "a call is what the evaluator takes"),
    "engine/row": ("engine/test_layers.py", "a row combines the layers"),
    "engine/rules": ("engine/test_explain.py", "a rule is what an explanation explains"),
    "gateway/channel": ("gateway/test_supervisor.py", "messages are tested with the workers that send them"),
    "gateway/connecting": ("gateway/test_upstreams.py", "connections are opened to real upstreams there"),
    "gateway/connection": ("gateway/test_client.py", "the client is tested by its connections"),
    "gateway/echo": ("gateway/test_relay.py", "stands in for an upstream there"),
    "gateway/parsing": ("gateway/test_protocol.py", "the protocol feeds it"),
    "gateway/run": ("gateway/test_serve.py", "the gateway is tested as a process"),
    "gateway/server": ("gateway/test_answered_early.py", "a listener is tested by its connections"),
    "gateway/turns": ("gateway/test_pipelines.py", "connections take turns there"),
    "gateway/worker": ("gateway/test_stuck.py", "workers are tested as processes"),
    "gateway/workers": ("gateway/test_stuck.py", "workers are tested as processes"),
    "policy/conditions": ("policy/test_operators.py", "a condition is an operator with its values"),
    "policy/model": ("policy/test_document.py", "a policy is what reading a document returns"),
    "settings/model": ("settings/test_load.py", "settings are what loading returns"),
    "settings/overrides": ("enforcement/test_modes.py", "the rows are tested with the modes that they give"),
    "settings/values": ("settings/test_load.py", "values are read as part of a file"),
    "telemetry/answers": ("telemetry/test_metrics.py", "answers are read off the metrics"),
    "telemetry/exposition": ("telemetry/test_metrics.py", "the metrics are read as they are exposed"),
    "telemetry/record": ("telemetry/test_log_line.py", "a record is tested with what writes it"),
}
# Rooms whose tests are found by the behaviour that they test.
BY_BEHAVIOUR = {"request", "authn", "enforcement"}


def test_each_module_has_a_test_file() -> None:
    tests = ROOT / "tests"
    names = [
        path.relative_to(HOUSE).with_suffix("") for path in FILES if path.stem not in {"__init__", "__main__"}
    ]
    missing = {
        name.as_posix()
        for name in names
        if name.parts[0] not in BY_BEHAVIOUR and not (tests / name.parent / f"test_{name.name}.py").exists()
    }
    assert missing == set(TESTED_IN)
    assert [file for file, _ in TESTED_IN.values() if not (tests / file).is_file()] == []


# A folder, and the folder that nothing in it imports: each can be changed without a look at the other.
APART = [
    pytest.param("tests", "benchmarks", id="tests import no benchmarks"),
    pytest.param("benchmarks", "tests", id="benchmarks import no tests"),
]


@pytest.mark.parametrize(("folder", "other"), APART)
def test_tests_and_benchmarks_import_nothing_of_each_other(folder: str, other: str) -> None:
    names = {other, *(path.stem for path in (ROOT / other).glob("*.py") if other == "benchmarks")}
    imports = re.compile(rf"^\s*(?:from|import)\s.*\b(?:{'|'.join(sorted(names))})\b", re.MULTILINE)
    found = {
        by_name(path): sorted(name for name in imported(path) if name.split(".")[0] in names)
        for path in (ROOT / folder).rglob("*.py")
        if imports.search(path.read_text(encoding="utf-8"))
    }
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


BENCHMARKS = {path.stem: path for path in (ROOT / "benchmarks").glob("*.py")}


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_what_a_benchmark_imports_of_another_is_there(name: str) -> None:
    """Neither the default run nor mypy reads the benchmarks, so a rename could break one unseen."""
    taken = [
        (node.module, each.name)
        for node in nodes(BENCHMARKS[name])
        if isinstance(node, ast.ImportFrom) and node.module in BENCHMARKS
        for each in node.names
    ]
    there = {
        (benchmark, found)
        for benchmark in {benchmark for benchmark, _ in taken if benchmark}
        for node in module(BENCHMARKS[benchmark]).body
        for found in top_level_names(node)
    }
    assert [each for each in taken if each not in there] == []


def top_level_names(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines or imports."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [each.asname or each.name for each in node.names]
    return [
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]


# Everyday words that say nothing about what a name stands for.
EMPTY_WORDS = re.compile(
    r"(?:^|_)(?:told|said|seen|means?|meant|asked|asks|unheard|spots?|makers?|managers?|helpers?|utils?)(?:_|$)"
)
CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def test_no_name_has_a_word_that_says_nothing() -> None:
    found = {
        f"{by_name(path)}: {name}"
        for path in HOUSE.rglob("*.py")
        for node in nodes(path)
        for name in names_given(node)
        if EMPTY_WORDS.search(CAPITALS.sub("_", name).lower())
    }
    assert found == set()


def names_given(node: ast.AST) -> list[str]:
    """Return the names that a node gives to a function, a class, a parameter, an attribute or a variable."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    return [node.attr] if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else []


# Tests that still reach private names, outside of the folder that is made for them, and why.
REACHING = {
    **dict.fromkeys(
        ("tests/request", "tests/authn", "tests/enforcement"),
        "the stages of a request that faults are put into have private names",
    ),
    "tests/test_header_names.py": "compares whole tables",
    "tests/fuzz/targets.py": "takes the directory of a guard",
    "tests/gateway/test_client.py": "looks at the connections of the upstream in the test",
    "tests/gateway/test_pipelines.py": "looks at the connections of uvicorn",
}


def private_names_in(path: Path) -> Iterator[str]:
    """Yield the private attributes of other objects that are read or replaced."""
    for node in nodes(path):
        names: list[object] = []
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            names = [] if own else [node.attr]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            replaced = node.args[1:2] if node.func.attr == "setattr" else []
            names = [each.value for each in replaced if isinstance(each, ast.Constant)]
        for name in names:
            if isinstance(name, str) and re.match("_[a-zA-Z]", name) and name not in OF_TUPLES:
                yield name


def test_private_names_are_reached_in_one_folder_of_the_tests() -> None:
    allowed = ("tests/internals", *REACHING)
    found = {
        by_name(path): {*private_names_in(path)}
        for path in (ROOT / "tests").rglob("*.py")
        if not by_name(path).startswith(allowed) and REACHES.search(path.read_text(encoding="utf-8"))
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_no_import_is_relative() -> None:
    relative = [
        f"{by_name(path)}:{node.lineno}"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_every_part_stands_in_the_order() -> None:
    assert {part_of(path) for path in FILES} - {""} <= {*ORDER}


def test_no_module_has_an_empty_name() -> None:
    parts = {
        word for path in FILES for name in path.relative_to(HOUSE).parts for word in re.split(r"[_.]", name)
    }
    assert parts & EMPTY_NAMES == set()


def test_no_class_has_an_empty_name() -> None:
    classes = {
        f"{by_name(path)}: {node.name}"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
        and node.name.lower().endswith(tuple(EMPTY_NAMES - {"base", "core"}))
    }
    assert classes == set()


def test_no_file_outgrows_its_room() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in ROOMS.items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


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


OF_VALUES = (
    *("policy.model", "policy.operators", "policy.resources", "policy.conditions", "engine.call", "ipset"),
    *("engine.decision", "engine.layers", "engine.attributes", "engine.row", "engine.principals"),
)


def test_values_are_frozen() -> None:
    modules = [importlib.import_module(f"camguard.{name}") for name in OF_VALUES]
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    made = [each for each in found if is_dataclass(each)]
    assert len(made) >= 12
    assert [each for each in made if not each.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]
