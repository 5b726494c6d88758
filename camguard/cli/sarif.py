"""Writes findings as a SARIF 2.1.0 log, the format that code scanning services read.

Source: OASIS SARIF 2.1.0, sections 3.13 to 3.52.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from camguard._version import __version__
from camguard.cli.json_position import line_of
from camguard.lint import CODES, Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LARGEST = 1 << 20  # characters of a file whose lines are determined; each finding scans the file once


def sarif(findings: Sequence[Finding], texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the log of one run.

    texts: the text of each file, by its name in `Finding.where`; a file without one gets no line.
    """
    used = sorted({finding.code for finding in findings})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "camguard",
                        "semanticVersion": __version__,
                        "rules": list(_rules(used)),
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, used.index(finding.code), texts) for finding in findings],
            }
        ],
    }


def _rules(codes: Iterable[str]) -> Iterable[dict[str, Any]]:
    for code in codes:
        row = CODES.get(code)
        if row is None:  # a name of the cloud for an error that prevents a document from loading (CAM 17)
            title, text, level = code, "The document does not load, and nothing of it is used.", "error"
        else:
            title, text, level = row.title, row.help, str(row.severity)
        yield {
            "id": code,
            "shortDescription": {"text": title},
            "help": {"text": text},
            "defaultConfiguration": {"level": level},
        }


def _result(finding: Finding, rule: int, texts: Mapping[str, str]) -> dict[str, Any]:
    file, _, pointer = finding.where.partition("#")
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(file)}}
    if len(texts.get(file, "")) in range(1, _LARGEST):
        place["region"] = {"startLine": line_of(texts[file], pointer)}
    location: dict[str, Any] = {"physicalLocation": place}
    if pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": pointer}]
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": str(finding.severity),
        "message": {"text": finding.advice},
        "locations": [location],
    }


def _uri(file: str) -> str:
    """Return a relative path as a relative reference, an absolute path as a file URI."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))
