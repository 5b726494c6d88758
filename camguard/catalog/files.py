"""Catalog files: one JSON document per service, `<service>.json`, always the same bytes for the same facts.

Rule 1: a folder loads whole or not at all, and every problem of every file is listed at once.
Rule 2: a field that equals its default is not written, so that a file holds facts only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from camguard.catalog.check import read_service
from camguard.catalog.model import Action, Catalog, Service
from camguard.errors import CatalogError, Problem
from camguard.files import DOCUMENT_BYTES, list_folder, read_folder
from camguard.strict_json import read_json

SUFFIX: Final = ".json"
CODE: Final = "CatalogError"


def load_catalog(path: str | os.PathLike[str]) -> Catalog:
    """Return the services of a folder of `<service>.json`, or of one such file.

    Raises CatalogError with every problem found, each with its file and JSON Pointer.
    """
    return parse_catalog(read_catalog(path))


def read_catalog(path: str | os.PathLike[str]) -> Mapping[str, bytes]:
    """Return the bytes of every file of a catalog by its path. Raises CatalogError."""
    raw: dict[str, bytes] = {}
    problems: list[Problem] = []
    for file, read in read_folder(_files(Path(path)), lambda _: DOCUMENT_BYTES):
        if isinstance(read, OSError):
            problems.append(Problem(str(file), CODE, f"cannot be read: {read.strerror}"))
        else:
            raw[str(file)] = read
    if problems:
        raise CatalogError(*problems)
    return raw


def parse_catalog(files: Mapping[str, bytes]) -> Catalog:
    """Return the catalog that some files make. Raises CatalogError with every problem of every file."""
    services: dict[str, Service] = {}
    problems: list[Problem] = []
    for name, raw in files.items():
        try:
            tree = read_json(raw, name, CatalogError, CODE)
        except CatalogError as error:
            problems += error.problems
            continue
        service, found = read_service(tree, name, expected=Path(name).stem)
        problems += found
        if service is not None:
            services[service.name] = service
    if problems:
        raise CatalogError(*problems)
    return Catalog(dict(sorted(services.items())))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = [f for f in list_folder(path) if f.suffix == SUFFIX and not f.name.startswith(".")]
    except OSError as error:
        raise CatalogError(Problem(str(path), CODE, error.strerror or str(error))) from None
    if not found:
        raise CatalogError(Problem(str(path), CODE, f"holds no catalog file (<service>{SUFFIX})"))
    return found


def save_service(service: Service, folder: Path) -> Path:
    """Write one service into `folder` and return the file. Readers see the old file or the new one."""
    return save_all([service], folder)[0]


def save_all(services: Iterable[Service], folder: Path) -> list[Path]:
    """Write services into `folder`, which is created where it is missing, and return their files.

    Everything is on disk beside its target before the first file is replaced. Raises OSError, and then no
    file has been touched unless a replacement itself failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside: dict[Path, Path] = {}
    try:
        for service in services:
            target = folder / (service.name + SUFFIX)
            aside[target] = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            _write(aside[target], to_json(service))
        for target, waiting in aside.items():
            waiting.replace(target)
    finally:
        for waiting in aside.values():
            waiting.unlink(missing_ok=True)
    return list(aside)


def _write(file: Path, text: str) -> None:
    with file.open("wb") as stream:
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())


def to_json(service: Service) -> str:
    """Return the text of a catalog file: sorted keys, actions by name, one line end at the end."""
    tree = {
        "service": service.name,
        "title": service.title,
        "console": service.console,
        "tag_authorization": service.tag_authorization,
        "granularity": service.granularity.value,
        "ip_restriction": service.ip_restriction.value,
        "pages": [
            {"title": page.title, "last_updated": page.last_updated, "sha256": page.sha256}
            for page in service.pages
        ],
        "actions": [action_tree(service.actions[name]) for name in sorted(service.actions)],
    }
    return json.dumps(tree, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def action_tree(action: Action) -> Mapping[str, Any]:
    """Return one action as its catalog file holds it."""
    facts: dict[str, Any] = {
        "name": action.name,
        "access": action.access.value,
        "granularity": action.granularity.value,
        "resources": list(action.resources),
        "ip_restriction": action.ip_restriction,
        "description": action.description,
    }
    further = {
        "access_guessed": action.access_guessed,
        "unreadable": list(action.unreadable),
        "version": action.version,
        "bind": dict(action.bind),
        "match": action.match if action.match != "all" else None,
    }
    return facts | {name: value for name, value in further.items() if value}
