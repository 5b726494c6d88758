"""`camguard init DIR`: a working folder, with keys that nobody else has."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import string
from pathlib import Path

from camguard.cli.exit import Exit
from camguard.cli.output import add_format, complain, show
from camguard.cli.starter import FOLDERS, starter

_SECRET = string.ascii_letters + string.digits
_LENGTH = 32
KEYS = "keys.json"


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `init`."""
    parser = verbs.add_parser("init", help="write a working folder: settings, catalog, bundle, keys")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--only-keys", action="store_true", help=f"write nothing but {KEYS}")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Write everything, or nothing where any of it would replace what is there."""
    source = starter()
    names = (KEYS,) if args.only_keys else ("camguard.toml", *FOLDERS, KEYS)
    there = [str(args.folder / name) for name in names if (args.folder / name).exists()]
    if there:
        complain(*(f"{path}: is there already; nothing was written" for path in there))
        return Exit.USAGE
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name == KEYS:
            write_keys(args.folder / KEYS, new_keys(source / "keys.example.json"))
        elif name in FOLDERS:
            # Content alone: where an installation is read-only, the copy must not be.
            shutil.copytree(source / name, args.folder / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source / name, args.folder / name)
    written = [str(args.folder / name) for name in names]
    lines = [*(f"wrote {path}" for path in written)]
    if not args.only_keys:
        config = args.folder / "camguard.toml"
        lines += ["", "next:", f"  camguard test --config {config}", f"  camguard serve --config {config}"]
    show(args.format, lines, {"written": written})
    return Exit.OK


def new_keys(example: Path) -> dict[str, dict[str, object]]:
    """Return keys of the example's principals, with ids and secrets drawn now."""
    rows = json.loads(example.read_text(encoding="utf-8")).values()
    return {f"AKID{_draw()}": {**row, "secret_key": _draw()} for row in rows}


def write_keys(path: Path, keys: dict[str, dict[str, object]]) -> None:
    """Write a new file that only its owner may read; the mode is set before the first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(keys, file, indent=2)
        file.write("\n")


def _draw() -> str:
    return "".join(secrets.choice(_SECRET) for _ in range(_LENGTH))
