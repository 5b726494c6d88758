"""How long work of camguard keeps other threads from running."""

from __future__ import annotations

import json

import pytest

from camguard import strict_json
from camguard.errors import CamguardError
from camguard.strict_json import read_json
from tests.processor import longest_step

TEXT = "[" + ",".join('{"a": []}' for _ in range(1000)) + "]"


@pytest.mark.usefixtures("no_collection")
def test_other_threads_go_on_while_a_long_document_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "_check", lambda *_: None)
    assert longest_step(lambda: read_json(TEXT, "f.json", CamguardError, "X")) < 0.1


@pytest.mark.usefixtures("no_collection")
def test_a_parser_that_keeps_other_threads_from_running_is_found() -> None:
    assert longest_step(lambda: json.loads(TEXT, object_pairs_hook=dict)) > 0.3
