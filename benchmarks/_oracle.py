"""What is right: the answers of the slow second evaluator that the tests are held by."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from _workload import CATALOG, Workload

from camguard.engine.call import Call
from camguard.ipset import format_address

sys.path.append(str(Path(__file__).resolve().parent.parent))  # the tests are in no package
from tests.oracle import decide


def truths(workload: Workload, calls: list[Call]) -> list[bool]:
    """Return for every call whether it is allowed: the shipped catalog, addresses judged everywhere."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(CATALOG.glob("*.json"))]
    catalog = {file["service"]: file for file in files}
    found = []
    for call in calls:
        asked = {**call._asdict(), "source_ip": format_address(call.source_ip or 0)}
        reason, _ = decide(catalog, workload.documents, workload.principals, asked, ip_support="gateway")
        found.append(reason == "allowed")
    return found
