"""What the tests of printed configurations begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from camguard.bundle import Bundle, load_bundle
from camguard.settings import Settings, load_settings


@pytest.fixture(scope="module")
def shipped(repository: Path) -> tuple[Settings, Bundle]:
    """Return the shipped settings and bundle."""
    settings = load_settings(repository / "config/camguard.toml", {})
    return settings, load_bundle(settings.policy.source, catalog=settings.catalog.path)
