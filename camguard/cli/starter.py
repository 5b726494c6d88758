"""The settings, catalog and bundle that camguard carries: in a wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

import camguard
from camguard.errors import Problem, SettingsError

FILES = ("camguard.toml", "keys.example.json")
FOLDERS = ("catalog", "bundle")


def starter() -> Path:
    """Return the folder with FILES and FOLDERS. Raises SettingsError where an installation lost it."""
    package = Path(camguard.__file__).parent
    for folder in (package / "_starter", package.parent / "config"):
        if (folder / FILES[0]).is_file():
            return folder
    raise SettingsError(
        Problem(str(package / "_starter"), "SettingsError", "is missing: install camguard again")
    )
