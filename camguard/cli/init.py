"""`camguard init DIR`: writes a working folder, with new keys."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import string
from collections.abc import Iterator
from pathlib import Path

from camguard.cli.inputs import sample_folder
from camguard.cli.output import Document, add_format, show
from camguard.cli.parser import UsageError
from camguard.exit_codes import Exit

KEYS = "keys.json"
FOLDERS = ("catalog", "bundle")
REQUESTS = "requests.sh"  # sends requests of the sample company to the gateway
FILES = ("camguard.toml", *FOLDERS, REQUESTS, KEYS)
_SECRET = string.ascii_letters + string.digits
_LENGTH = 32


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `init`."""
    parser = verbs.add_parser("init", help="write a working folder: settings, catalog, bundle, keys")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--only-keys", action="store_true", help=f"write nothing but {KEYS}")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Write all files, or none of them if any of them exists."""
    source, folder = sample_folder(), args.folder
    names = (KEYS,) if args.only_keys else FILES
    existing = [str(folder / name) for name in names if (folder / name).exists()]
    if existing:
        raise UsageError(*(f"{path}: is there already; nothing was written" for path in existing))
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name == KEYS:
            write_keys(folder / KEYS, new_keys(source / "keys.example.json"))
        elif name in FOLDERS:
            # Only the content is copied: an installation may be read-only, and the copy must be writable.
            shutil.copytree(source / name, folder / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source / name, folder / name)

    def render(document: Document) -> Iterator[str]:
        yield from (f"wrote {path}" for path in document["written"])
        if not args.only_keys:
            yield from ("", "next:")
            yield from (f"  camguard {verb} --config {folder / FILES[0]}" for verb in ("test", "serve"))
            yield f"  sh {folder / REQUESTS}"

    show(args.format, {"written": [str(folder / name) for name in names]}, render)
    return Exit.OK


def new_keys(example: Path) -> dict[str, dict[str, object]]:
    """Return keys for the principals of the example, with new random ids and secrets."""
    rows = json.loads(example.read_text(encoding="utf-8")).values()
    return {f"AKID{_draw()}": {**row, "secret_key": _draw()} for row in rows}


def write_keys(path: Path, keys: dict[str, dict[str, object]]) -> None:
    """Write a new file that only its owner may read. The mode is set before the first byte is written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(keys, file, indent=2)
        file.write("\n")


def _draw() -> str:
    return "".join(secrets.choice(_SECRET) for _ in range(_LENGTH))
