"""The README: its fenced blocks, and the tables that are made from the code.

`python -m tests.readme` writes these tables into the README; tests/test_readme.py compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from camguard.engine.decision import Reason
from camguard.request.causes import CAUSES_EXPLAINED
from camguard.settings import Settings
from camguard.settings.model import SECTIONS
from camguard.telemetry.exposition import FAMILIES

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
FENCES: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """Return the fenced code of one language."""
    return [code for kind, code in FENCES if kind == language]


def block(language: str, part: str) -> str:
    """Return the only block of a language that has this part."""
    (found,) = (code for code in blocks(language) if part in code)
    return found


# Which test uses a block, by a part that no other block has. A new block needs a row, and a test that uses
# the block.
SESSION = "test_readme_session.py::test_the_blocks_do_what_they_show"
RECIPES = (
    "servers/test_recipes.py::test_t136_a_recipe_serves_calls_health_and_metrics_and_polls_from_the_start"
)
USED_BY: Mapping[str, str | None] = {
    "who calls?     keys.json": None,  # the picture
    "make run": "test_readme.py::test_the_two_commands",
    '"X-TC-Action: $1"': SESSION,
    '{"Response": {"Echo": true,': SESSION,
    "camguard check --principal alice --action aiart:TextToImage --ip 198": SESSION,
    "DENY  no_allow in the identity layer": SESSION,
    "camguard call --key": SESSION,
    "ANSWERED  aiart:TextToImage": SESSION,
    "policies/hairstyles-from-home.json": SESSION,
    "tests/hairstyles.toml": SESSION,
    "--names names.txt": SESSION,
    "site-packages/tencentcloud": SESSION,
    "lighthouse.html": SESSION,
    "--log decisions.log": SESSION,
    "/-/reload": SESSION,
    "preview.py": "telemetry/test_live_dashboards.py::test_the_readme_leads_to_the_first_dashboard",
    "Starlette(": "test_readme.py::test_the_application",
    "guarded.around": "servers/test_recipes.py::test_around_serves_calls",
    "admin_app": RECIPES,
    "granian": RECIPES,
    "PROMETHEUS_MULTIPROC_DIR": "servers/test_recipes.py::test_workers_add_up_their_numbers",
    "load_bundle(": "test_readme.py::test_asking_in_python",
    "pip wheel": "test_wheel.py::test_the_commands_of_the_readme_build_install_and_serve",
    "camguard.toml              settings": "test_readme.py::test_the_files",
    '"groups": {"artists"': "test_readme.py::test_the_file_of_principals",
    '"session_policy"': "test_readme.py::test_the_file_of_keys",
    "camguard diff config/bundle widened": "test_readme.py::test_what_a_change_opens",
    "camguard who-can": "test_readme.py::test_who_can_and_from_where",
    "[CG201]": "test_readme.py::test_the_finding",
    "[[accept]]": "test_readme.py::test_the_acceptance",
    'name = "artists create': "test_readme.py::test_the_policy_test",
    "policies_changed": SESSION,
    "camguard test floor.toml": "test_readme.py::test_an_invariant_that_does_not_hold",
    "--policy bills-read": "test_readme.py::test_the_mutation",
    "same_as = {": "test_readme.py::test_the_invariants",
    '"toybox"': "test_readme.py::test_the_known_services",
}  # fmt: skip


# What each section of the settings is about. A new section needs a line here.
ABOUT: Mapping[str, str] = {
    "catalog": "which actions exist",
    "policy": "where policies and principals are, how often they are read, when they are too old",
    "hosts": "which hosts name a service; the path for load balancers",
    "identity": "how a request proves who calls; where the keys are",
    "client_ip": "who may name the address of the client; which address policies mean",
    "attributes": "condition keys that a trusted proxy supplies",
    "enforcement": "what becomes of a decision: refusals, shadow mode, the candidate bundle",
    "decision_log": "where decisions are written",
    "metrics": "which actions have counters of their own",
    "gateway": "addresses and processes of `camguard serve`",
    "upstream": "where allowed calls go: `default`, and services by name",
    "limits": "sizes, times and counts",
    "authorizer": "what the proxies that ask camguard tell and show",
    "log": "the events of the process",
}


def settings_table() -> Iterator[str]:
    """Yield a row for each section, with all its keys."""
    yield from ("| section | keys | about |", "|---|---|---|")
    for section in fields(Settings):
        known = SECTIONS.get(section.name)
        keys = [each.name for each in fields(known)] if known else ["default", "<service>"]
        yield f"| `[{section.name}]` | {', '.join(f'`{key}`' for key in keys)} | {ABOUT[section.name]} |"


def reasons_table() -> Iterator[str]:
    """Yield a row for each reason of the closed list."""
    yield from ("| reason | says |", "|---|---|")
    for reason in Reason:
        yield f"| `{reason}` | {CAUSES_EXPLAINED[reason].meaning} |"


def metrics_table() -> Iterator[str]:
    """Yield a row for each metric of the contract."""
    yield from ("| metric | kind | labels | counts or shows |", "|---|---|---|---|")
    for family in FAMILIES.values():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{family.name}` | {family.kind} | {labels} | {family.help.removesuffix('.')} |"


# The heading below which a table is the first one.
TABLES = {
    "### Settings": settings_table,
    "### Reasons": reasons_table,
    "### Metrics": metrics_table,
}


def with_tables(text: str) -> str:
    """Return the text of the README with the tables as they are now."""
    for heading, table in TABLES.items():
        start = text.index(f"\n{heading}\n")
        found = re.compile(r"(?:^\|.*\n)+", re.MULTILINE).search(text, start)
        assert found is not None, heading
        assert "\n#" not in text[start + 1 : found.start()], f"no table below {heading}"
        text = text[: found.start()] + "\n".join(table()) + "\n" + text[found.end() :]
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
