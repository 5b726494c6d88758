"""`camguard bundle build`, `inspect`, `verify`: a bundle as one file, which instances fetch from one URL."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from camguard.bundle.archive import (
    MAX_SERIAL,
    Archive,
    read_archive,
    require_moment,
    write_archive,
)
from camguard.bundle.load import content_of, read_content, require_complete
from camguard.bundle.signature import read_sign_key, read_verify_key
from camguard.catalog import read_catalog
from camguard.cli.inputs import add_catalog, add_config, build, find_inputs, read_archive_file
from camguard.cli.output import Document, add_format, paint, show
from camguard.cli.parser import UsageError, counting
from camguard.errors import BundleError, Problem
from camguard.exit_codes import Exit
from camguard.files import replace_files
from camguard.grammar import REVISION_DIGITS
from camguard.policy.values import format_moment


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `bundle` with its verbs."""
    parser = verbs.add_parser("bundle", help="make a bundle into one file for policy.source, or look at one")
    inner = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    make = inner.add_parser(
        "build",
        help="write a bundle folder as a .tar.gz",
        description="Write a bundle folder as a .tar.gz with a manifest. The bundle is loaded first, so that "
        "only a valid one is written. The same folder, serial and key give the same manifest.",
    )
    option = make.add_argument
    option("bundle", type=Path, nargs="?", metavar="DIR", help="the folder (default: the settings')")
    option("--out", type=Path, required=True, metavar="FILE", help="the archive to write")
    order = make.add_mutually_exclusive_group(required=True)
    order.add_argument(
        "--serial",
        type=counting(MAX_SERIAL),
        metavar="N",
        help="its place in the order of bundles; must increase",
    )
    order.add_argument("--after", type=Path, metavar="FILE", help="one more than the serial of this archive")
    option("--key-file", type=Path, metavar="FILE", help="sign with this key")
    option("--valid-until", type=_moment, metavar="TIME", help="when the bundle stops counting as confirmed")
    add_config(make)
    add_catalog(make)
    add_format(make)
    make.set_defaults(run=run_build)
    look = inner.add_parser("inspect", help="print what an archive holds; the signature is not verified")
    look.add_argument("archive", type=Path, metavar="FILE")
    add_format(look)
    look.set_defaults(run=run_inspect)
    verify = inner.add_parser(
        "verify",
        help="verify the signature of an archive, and load the bundle in it",
        description="Verify the signature of an archive with the key of --key-file, else with that of "
        "policy.verify_key_file, and load the bundle in it, as an instance does before it activates one.",
    )
    verify.add_argument("archive", type=Path, metavar="FILE")
    verify.add_argument("--key-file", type=Path, metavar="FILE", help="the key that verifies")
    add_config(verify)
    add_catalog(verify)
    add_format(verify)
    verify.set_defaults(run=run_verify)


def run_build(args: argparse.Namespace) -> Exit:
    """Write an archive. Raises CamguardError, OSError."""
    inputs = find_inputs(args)
    content = read_content(inputs.bundle, inputs.catalog, tests=True)
    build(inputs, content)
    serial = args.serial or read_archive_file(args.after)[0].serial + 1
    key = None if args.key_file is None else read_sign_key(args.key_file)
    raw = write_archive({**content.files, **content.tests}, serial, key=key, valid_until=args.valid_until)
    archive = read_archive(raw)  # nothing is written that an instance would refuse
    _write(args.out, raw)
    document = {**_describe(args.out, archive, len(raw)), "revision": content.digest}
    document["verified"] = None  # this process has signed
    show(args.format, document, lambda document: _lines(document, files=False))
    return Exit.OK


def run_inspect(args: argparse.Namespace) -> Exit:
    """Print what an archive holds. Raises CamguardError."""
    archive, size = read_archive_file(args.archive)
    document = _describe(args.archive, archive, size)
    show(args.format, document, lambda document: _lines(document, files=True))
    return Exit.OK


def run_verify(args: argparse.Namespace) -> Exit:
    """Verify an archive and load its bundle. Raises CamguardError."""
    args.bundle = None
    inputs = find_inputs(args, bundle=False)
    key_file = args.key_file or inputs.verify_key_file
    if key_file is None:
        raise UsageError("no key verifies this archive: give --key-file, or set policy.verify_key_file")
    archive, size = read_archive_file(args.archive, key=read_verify_key(key_file))
    require_complete(archive.files, str(args.archive))
    content = content_of(archive.files, read_catalog(inputs.catalog), archive.tests)
    build(inputs, content)
    document = {**_describe(args.archive, archive, size), "revision": content.digest}
    show(args.format, document, lambda document: _lines(document, files=False))
    return Exit.OK


def _write(path: Path, raw: bytes) -> None:
    """Write a file. Raises BundleError that names the file."""
    try:
        replace_files({path: raw})
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise BundleError(Problem(str(path), "ArchiveError", message)) from None


def _describe(path: Path, archive: Archive, size: int) -> dict[str, object]:
    return {
        "archive": str(path),
        "bytes": size,
        "serial": archive.serial,
        "digest": archive.digest,
        "valid_until": None if archive.valid_until is None else format_moment(archive.valid_until),
        "signed": archive.signed,
        "verified": archive.verified,
        "files": {path: len(raw) for path, raw in sorted({**archive.files, **archive.tests}.items())},
    }


def _lines(document: Document, *, files: bool) -> Iterator[str]:
    """Yield the lines of an archive. files: whether each file has a line."""
    count = len(document["files"])
    yield f"{document['archive']}: {count} files, {document['bytes']} bytes, serial {document['serial']}"
    if document["signed"] is None:
        signature = paint("not signed", "doubtful")
    else:
        result = {True: ", good", False: ", not verified", None: ""}[document["verified"]]
        signature = f"{document['signed']}{result}"
    yield f"  digest     {document['digest']}"
    if "revision" in document:
        yield f"  revision   {document['revision'][:REVISION_DIGITS]} with this catalog"
    yield f"  signature  {signature}"
    if document["valid_until"] is not None:
        yield f"  valid      until {document['valid_until']}"
    if files:
        width = max(len(str(size)) for size in document["files"].values())
        yield from (f"  {size:>{width}}  {path}" for path, size in document["files"].items())


def _moment(text: str) -> str:
    try:
        return require_moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None
