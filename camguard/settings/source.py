"""The text and the overrides that settings are read from, as they were when the process started.

A worker that replaces another one reads the source with which the supervisor was started, never the file: the
file may have been edited since, and no running process uses the edited settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from camguard.errors import Problem, SettingsError
from camguard.files import SETTINGS_BYTES, read_file

PREFIX = "CAMGUARD_"


class SettingsSource(NamedTuple):
    """A settings file and its overrides, as they were at one moment.

    file: absolute; relative paths in settings start from its folder. environ: only names with `PREFIX`.
    """

    file: Path
    text: bytes
    environ: Mapping[str, str]


def read_source(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> SettingsSource:
    """Return the file and its overrides as they are now. Raises SettingsError."""
    file = Path(path).absolute()
    try:
        text = read_file(file, SETTINGS_BYTES)
    except OSError as error:
        problem = Problem(file.name, "SettingsError", f"cannot be read: {error.strerror}")
        raise SettingsError(problem) from None
    return SettingsSource(file, text, {k: v for k, v in sorted(environ.items()) if k.startswith(PREFIX)})


def pack_source(source: SettingsSource) -> bytes:
    """Return a source as bytes, for another process of camguard."""
    parts = (str(source.file), source.text.decode("latin-1"), dict(source.environ))
    return json.dumps(parts).encode()


def unpack_source(packed: bytes) -> SettingsSource:
    """Return the source that `pack_source` packed."""
    file, text, environ = json.loads(packed)
    return SettingsSource(Path(file), text.encode("latin-1"), environ)


def state_of_file(source: SettingsSource) -> Literal["unchanged", "changed", "unreadable"]:
    """Return whether the file still has the content of the source. It reads the file, so it may block."""
    try:
        return "unchanged" if read_file(source.file, SETTINGS_BYTES) == source.text else "changed"
    except OSError:
        return "unreadable"
