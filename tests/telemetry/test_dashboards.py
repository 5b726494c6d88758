"""The dashboards for Grafana: they are what their generator writes, and show metrics that exist."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from camguard.engine.decision import Reason
from camguard.telemetry.exposition import FAMILIES

FOLDER = Path(__file__).resolve().parents[2] / "config" / "grafana"
FILES = sorted(FOLDER.glob("*.json"))
OTHERS = {
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
METRIC = re.compile(r"([a-z_]+)\{")
ENDS = re.compile(r"_(?:bucket|count|sum)$")


def name_of(file: Path) -> str:
    return file.stem


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def panels(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["panels"]
    return found


def expressions(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the title and each expression of each panel."""
    for panel in panels(file):
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_the_files_are_what_the_generator_writes() -> None:
    generate = generator()
    assert {file.stem: file.read_text(encoding="utf-8") for file in FILES} == {
        uid: generate.text_of(uid) for uid in generate.DASHBOARDS
    }


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_metric_exists_with_the_labels_that_are_used(file: Path) -> None:
    for title, expr in expressions(file):
        names = METRIC.findall(expr)
        assert names, title
        for name in names:
            family = FAMILIES.get(name) or FAMILIES.get(ENDS.sub("", name))
            assert family is not None or name in OTHERS, f"{title}: {name}"
        labels = set(re.findall(r"by \(([^)]+)\)", expr)) | set(re.findall(r'(\w+)=~?"', expr))
        used = {label for group in labels for label in group.split(", ")} - {"le", "job", "instance"}
        known = {label for name in names for label in _labels(name)}
        assert used <= known, title


def _labels(name: str) -> tuple[str, ...]:
    family = FAMILIES.get(name) or FAMILIES.get(ENDS.sub("", name))
    return () if family is None else family.labels


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_reason_exists(file: Path) -> None:
    for _, expr in expressions(file):
        named = {word for text in re.findall(r'reason=~?"([^"$]+)"', expr) for word in text.split("|")}
        assert named <= {reason.value for reason in Reason}


def lost(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """Yield the place of each value that is not among theirs. They may add the defaults of the schema."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs.get(key, "absent"), f"{at}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, value in enumerate(ours):
            yield from lost(value, theirs[index], f"{at}/{index}")
    elif ours != theirs:
        yield at


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_the_schema_knows_every_key(file: Path) -> None:
    """The SDK drops each key that the schema does not have, so that a misspelt key is lost."""
    tree = json.loads(file.read_text(encoding="utf-8"))
    encoded = json.dumps(Dashboard.from_json(tree), cls=JSONEncoder)
    assert list(lost(tree, json.loads(encoded))) == []
    tree["panels"][0]["gridPoss"] = {}
    encoded = json.dumps(Dashboard.from_json(tree), cls=JSONEncoder)
    assert list(lost(tree, json.loads(encoded))) == ["/panels/0/gridPoss"]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_panel_explains_itself_and_none_covers_another(file: Path) -> None:
    covered: set[tuple[int, int]] = set()
    for panel in panels(file):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered, panel["title"]
        assert max(x for x, _ in cells) < 24
        covered |= cells
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]


def test_the_titles_of_one_dashboard_differ() -> None:
    for file in FILES:
        titles = [panel["title"] for panel in panels(file)]
        assert len(titles) == len(set(titles)), file.name
