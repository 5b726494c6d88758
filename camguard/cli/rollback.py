"""`camguard rollback` and `camguard promote`: which bundle of a URL an operator puts in force."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from camguard.activation import Ordered, last_good_of, promote, release, rollback
from camguard.cli.inputs import add_config, require_config
from camguard.cli.output import Document, add_format, paint, show
from camguard.exit_codes import Exit
from camguard.grammar import REVISION_DIGITS
from camguard.settings import load_settings


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `rollback`."""
    parser = verbs.add_parser(
        "rollback",
        help="put a former bundle of policy.last_good in force, and pin it",
        description="Pin a bundle of policy.last_good. All workers of this instance put it in force within "
        "policy.poll_seconds, and after a restart, too, until --release or a higher serial of the source.",
    )
    option = parser.add_argument
    option(
        "revision",
        nargs="?",
        default="",
        metavar="REVISION",
        help="revision, digest or serial of a kept bundle (default: the one before that in force)",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--release", action="store_true", help="release the pin: take what the source offers")
    either.add_argument("--list", action="store_true", help="only print the kept bundles")
    add_config(parser)
    add_format(parser)
    parser.set_defaults(run=run)


def add_promote(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `promote`."""
    parser = verbs.add_parser(
        "promote",
        help="put the candidate of a URL in force",
        description="Fetch the archive of enforcement.candidate, verify it, and pin it: all workers put it "
        "in force within policy.poll_seconds, until the source offers a higher serial.",
    )
    parser.add_argument(
        "--revision", default="", metavar="REVISION", help="fail unless the candidate has this revision"
    )
    add_config(parser)
    add_format(parser)
    parser.set_defaults(run=run_promote)


def run(args: argparse.Namespace) -> Exit:
    """Pin a bundle, release the pin, or list the bundles. Raises CamguardError."""
    settings = load_settings(require_config(args.config))
    if args.list:
        ordered = Ordered(None, last_good_of(settings).read())
    else:
        ordered = release(settings) if args.release else rollback(settings, args.revision)
    show(args.format, describe(ordered), _lines)
    return Exit.OK


def run_promote(args: argparse.Namespace) -> Exit:
    """Pin the candidate. Raises CamguardError."""
    settings = load_settings(require_config(args.config))
    show(args.format, describe(promote(settings, args.revision)), _lines)
    return Exit.OK


def describe(ordered: Ordered) -> dict[str, object]:
    """Return the document of an order: the pin, and the kept bundles, the one in force first."""
    pin = ordered.state.pin
    return {
        "pinned": None if pin is None else pin.digest,
        "until": None if pin is None else pin.until,
        "highest": ordered.state.highest[0],
        "kept": [each._asdict() for each in ordered.state.kept],
    }


def _lines(document: Document) -> Iterator[str]:
    for each in document["kept"]:
        mark = paint("pinned", "doubtful") if each["digest"] == document["pinned"] else "      "
        revision = each["revision"][:REVISION_DIGITS] or "-"
        yield f"{mark}  {revision:{REVISION_DIGITS}}  serial {each['serial']}"
    if document["pinned"] is None:
        yield "no bundle is pinned: what the source offers is in force after the next poll"
    else:
        yield f"pinned until the source offers a serial above {document['until']}, or `rollback --release`"
