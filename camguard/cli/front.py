"""`camguard front`: the configuration of a proxy that asks camguard about each request."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from camguard.authorizer.fronts import FRONTS, LISTEN, Front, authorizer_of, render
from camguard.cli.inputs import add_inputs, find_inputs, read_bundle, require_config
from camguard.cli.output import Document, add_format, note, show
from camguard.cli.parser import argument
from camguard.exit_codes import Exit
from camguard.settings import load_settings
from camguard.settings.values import Faults, listen


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `front`."""
    parser = verbs.add_parser(
        "front",
        help="print the configuration of a proxy that asks camguard about each request",
        description="Print a complete configuration of a proxy that asks the authorizer of camguard about "
        "each request, from the settings and the bundle. haproxy-lua is the Lua file of haproxy.",
    )
    parser.add_argument("proxy", choices=tuple(FRONTS), metavar="PROXY", help=", ".join(FRONTS))
    parser.add_argument(
        "--listen",
        type=argument(lambda text: listen(text, Path()), Faults),
        default=LISTEN,
        metavar="ADDRESS",
        help=f"of the proxy (default: {LISTEN})",
    )
    add_inputs(parser)
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Print the configuration. Settings or a bundle that cannot be used print nothing."""
    settings = load_settings(require_config(args.config))
    name, address, given = authorizer_of(args.proxy, settings)
    if not given:
        note(f"{name} is empty: the configuration asks camguard at {address}")
    front = Front.of(args.proxy, settings, read_bundle(find_inputs(args)), args.listen)
    document = {
        "proxy": front.name,
        "bodies": {"needed": bool(front.needs), "shown": front.shows, "why": list(front.needs)},
        "configuration": render(front),
    }
    show(args.format, document, printed)
    return Exit.OK


def printed(document: Document) -> Iterator[str]:
    """Yield the lines of the configuration."""
    yield from document["configuration"].splitlines()
