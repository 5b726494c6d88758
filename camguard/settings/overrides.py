"""The rows of `[[enforcement.override]]`: parts of the calls with a mode of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from camguard.grammar import SERVICE, SERVICE_RULE
from camguard.settings.values import Faults, shown, wrong
from camguard.strict_json import Fault

OVERRIDE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mode": ("enforce", "shadow"),
        "access": ("read", "write", "list", "other"),
        "listener": ("middleware", "gateway", "authorizer"),
    }
)


class Override(NamedTuple):
    """A part of the calls with a mode of its own. What is None names no part."""

    mode: Literal["enforce", "shadow"]
    service: str | None
    access: str | None
    listener: str | None

    def written(self) -> dict[str, str]:
        """Return the row as the file spells it: without the names that it does not give."""
        return {key: value for key, value in self._asdict().items() if value is not None}


def overrides(value: object, _folder: Path) -> tuple[Override, ...]:
    """Read the tables of `[[enforcement.override]]`, in their order."""
    if not isinstance(value, list):
        raise wrong(value, "a list of tables: write [[enforcement.override]]")
    found: list[Fault] = []
    rows: list[Override] = []
    for index, table in enumerate(value):
        if not isinstance(table, dict):
            found.append(((index,), f"{shown(table)} is not a table"))
            continue
        faults = [*_wrong_override(table)]
        row = (table.get("service"), table.get("access"), table.get("listener"))
        if not faults and row == (None, None, None):
            faults.append(((), "names no part; name a service, an access or a listener"))
        if not faults and row in [each[1:] for each in rows]:
            faults.append(((), "names the same part as a row before, which already gives its mode"))
        found += (((index, *place), message) for place, message in faults)
        if not faults:
            rows.append(Override(table["mode"], *row))
    if found:
        raise Faults(*found)
    return tuple(rows)


def _wrong_override(table: Mapping[str, object]) -> Iterator[Fault]:
    for key, value in table.items():
        words = OVERRIDE_WORDS.get(key)
        if key == "service":
            if not isinstance(value, str) or not SERVICE.fullmatch(value):
                yield (key,), f"{shown(value)} is not a service: {SERVICE_RULE}"
        elif words is None:
            yield (key,), f"unknown key; known are service, {', '.join(OVERRIDE_WORDS)}"
        elif value not in words:
            yield (key,), f"{shown(value)} is not one of {', '.join(words)}"
    if "mode" not in table:
        yield (), 'lacks mode: "enforce" or "shadow"'
