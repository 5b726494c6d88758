"""`camguard serve`: runs the gateway that a settings file describes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from camguard.bundle import Bundle
from camguard.cli.init import REQUESTS
from camguard.cli.inputs import add_config, require_config
from camguard.cli.output import Document, add_format, complain, finished, paint, show
from camguard.cli.parser import UsageError
from camguard.errors import Problem, SettingsError
from camguard.exit_codes import Exit
from camguard.files import display_path
from camguard.grammar import REVISION_DIGITS
from camguard.ipset import parse_address
from camguard.settings import Address, Settings
from camguard.settings.load import parse_settings
from camguard.settings.source import SettingsSource, read_source
from camguard.telemetry.process_log import process_log
from camguard.wiring import assemble

LOG = logging.getLogger("camguard.gateway")
EXTRA = frozenset(("httptools", "uvicorn", "uvloop"))
LOG_FORMAT = "%(levelname)s: %(message)s"
LOOPBACK = parse_address("127.0.0.1")
EVERY_ADDRESS = frozenset(("0.0.0.0", "::"))  # noqa: S104 - recognised, not bound


class _Warnings(logging.Handler):
    """Keeps the warnings that are logged, as the result of a check shows them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; errors are printed by another handler."""
        if record.levelno == logging.WARNING:
            self.lines.append(f"WARNING: {record.getMessage()}")


@contextmanager
def warnings_kept() -> Iterator[list[str]]:
    """Yield a list, which gets a line for each warning that camguard logs meanwhile."""
    kept, logger = _Warnings(), logging.getLogger("camguard")
    logger.addHandler(kept)
    try:
        yield kept.lines
    finally:
        logger.removeHandler(kept)


class Closeable(Protocol):
    """What was bound, and is given back."""

    def close(self) -> None:
        """Close it."""


class Bound(Protocol):
    """The ports of the listeners, None for one that is not there."""

    @property
    def calls(self) -> int:
        """The port of the calls."""

    @property
    def admin(self) -> int | None:
        """The port of the admin listener."""

    @property
    def authorizer(self) -> int | None:
        """The port on which proxies ask."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `serve`."""
    parser = verbs.add_parser("serve", help="be the gateway: judge calls, forward those that may pass")
    add_config(parser)
    parser.add_argument(
        "--check", action="store_true", help="check settings, keys, catalog and bundle; serve nothing"
    )
    add_format(parser, default=None)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Serve until a signal ends the process. If the bundle cannot be used, every call is refused."""
    try:
        # Imported here, because every other verb runs without the extra.
        from camguard.gateway.run import bind_all, serve_alone  # noqa: PLC0415
        from camguard.gateway.systemd import notifier  # noqa: PLC0415
        from camguard.gateway.workers import supervise  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in EXTRA:
            raise
        complain(
            f"{missing.name} is not installed, and the gateway needs it. Install the extra `serve` of the "
            "distribution camguard-gateway, from its wheel or from a source folder: pip install '.[serve]'"
        )
        return Exit.UNEXPECTED
    if args.format is not None and not args.check:
        raise UsageError("--format: only --check prints a result")
    config = require_config(args.config)
    source = read_source(config)
    if args.check:
        errors = logging.StreamHandler(sys.stderr)
        errors.setLevel(logging.ERROR)
        logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT, handlers=[errors])
        with warnings_kept() as logged:
            return check(source, args.format or "text", bind_all, logged)
    settings = parse_settings(source)
    form = settings.log.format
    with process_log(sys.stderr, form, settings.log.level) as log, closing(bind_all(settings)) as sockets:
        ports = sockets.ports

        def say(line: str) -> None:
            """Write a line for people, where the log is not for programs only."""
            if form == "json":
                LOG.info("%s", line.strip())
            else:
                log.write(finished(line))

        def started(bundle: Bundle | None) -> None:
            for line in greeting(settings, config, bundle, ports):
                say(line)

        say(f"camguard serves {display_path(config)}")
        serve = serve_alone if settings.gateway.workers == 1 else supervise
        serve(settings, source, sockets, started, notifier(os.environ))
        say("camguard has finished what was in flight")
    return Exit.OK


def check(
    source: SettingsSource, form: str, bind_all: Callable[[Settings], Closeable], logged: Sequence[str]
) -> Exit:
    """Load everything that the gateway needs, and print the outcome. Problems of a bundle are logged, too.

    logged: the warnings that are logged meanwhile, which are part of the outcome. A port in use is a warning
    only, because the gateway that is to be replaced may use it.
    """
    problems: tuple[Problem, ...]
    bundle = None
    notes: tuple[str, ...] = ()
    try:
        settings = parse_settings(source)
        store = assemble(settings).store
    except SettingsError as error:
        if form == "text":
            raise
        problems = error.problems
    else:
        bundle, notes = store.bundle, (*dangers(settings), *ports_in_use(settings, bind_all))
        problems = store.reload().problems if bundle is None else ()  # the same, which are not logged again
    show(form, describe_check(source.file, bundle, problems, (*logged, *notes)), render_check)
    return Exit.INVALID if bundle is None else Exit.OK


def ports_in_use(settings: Settings, bind_all: Callable[[Settings], Closeable]) -> Iterator[str]:
    """Yield a line for each listener that cannot be bound now."""
    try:
        bind_all(settings).close()
    except SettingsError as error:
        for problem in error.problems:
            yield f"WARNING: {problem}"


def describe_check(
    config: Path, bundle: Bundle | None, problems: tuple[Problem, ...], notes: tuple[str, ...]
) -> dict[str, object]:
    """Return the document of a check. bundle: None if the gateway would refuse every call, or not start."""
    counts: dict[str, object] = dict.fromkeys(("revision", "statements", "principals", "actions", "findings"))
    if bundle is not None:
        counts = {
            "revision": bundle.revision,
            "statements": bundle.statement_count,
            "principals": len(bundle.people.layers),
            "actions": len(bundle.catalog.actions),
            "findings": bundle.findings.counts() if bundle.findings else None,
        }
    return {
        "good": bundle is not None,
        "file": display_path(config),
        **counts,
        "problems": [problem._asdict() for problem in problems],
        "warnings": list(notes),
    }


def render_check(document: Document) -> Iterator[str]:
    """Yield the outcome of a check, and the warnings of a gateway that would start."""
    yield from document["warnings"]
    if document["good"]:
        revision = document["revision"][:REVISION_DIGITS]
        counted = (f"{document[name]} {name}" for name in ("statements", "principals", "actions"))
        yield f"{paint('good', 'good')}: revision {revision}, {', '.join(counted)}"
        if any((counts := document["findings"] or {}).get(name) for name in ("error", "warning")):
            yield f"lint: {counts['error']} errors, {counts['warning']} warnings; `camguard lint` lists them"
    else:
        yield f"{paint('bad', 'bad')}: the bundle cannot be used, so every call would be refused"


def greeting(settings: Settings, config: Path, bundle: Bundle | None, ports: Bound) -> Iterator[str]:
    """Yield the lines that are printed once calls are accepted. ports: the bound ones."""
    gateway, admin, authorizer = settings.gateway, ports.admin, ports.authorizer
    addresses = [str(Address(gateway.listen.host, ports.calls))]
    yield f"  calls    http://{addresses[0]}  ({gateway.workers} worker{'s' * (gateway.workers > 1)})"
    for service, upstream in sorted(settings.upstream.items()):
        yield f"  upstream {service}: {upstream}"
    if gateway.authorizer is not None and authorizer is not None:
        yield f"  proxies  http://{Address(gateway.authorizer.host, authorizer)}/authz/"
    if gateway.authorizer_grpc is not None:
        yield f"  proxies  grpc://{gateway.authorizer_grpc}"
    if gateway.admin is not None and admin is not None:
        addresses.append(str(Address(gateway.admin.host, admin)))
        yield f"  admin    http://{addresses[1]}/metrics  /-/healthy  /-/ready"
    if settings.decision_log.path not in {"", "-"}:
        yield f"  log      {display_path(Path(settings.decision_log.path))}  (one line for each decision)"
    yield from warnings(settings)
    requests = config.parent / REQUESTS
    if bundle is None:
        yield paint("  not ready: every call is refused until the bundle is repaired", "bad", sys.stderr)
    elif takes_samples(settings) and requests.is_file():
        yield f"  next     sh {display_path(requests)} {' '.join(addresses)}"


def takes_samples(settings: Settings) -> bool:
    """Return whether the gateway answers the requests of the sample company without an upstream and keys."""
    return (
        settings.upstream["default"] == "echo"
        and settings.identity.mode in {"header", "either"}
        and settings.client_ip.header == "x-forwarded-for"
        and LOOPBACK in settings.client_ip.trusted_proxies
    )


def warnings(settings: Settings) -> Iterator[str]:
    """Yield the lines of `dangers` as the greeting shows them."""
    for line in dangers(settings):
        yield paint(f"  {line}", "bad" if line.startswith("WARNING") else "doubtful", sys.stderr)


def dangers(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting that is dangerous unless the network around camguard is built for it."""
    identity, admin = settings.identity.mode, settings.gateway.admin
    if identity == "claimed":
        yield (
            'WARNING: identity.mode is "claimed": EVERY CALLER IS BELIEVED TO OWN THE SecretId IT NAMES. '
            "Use it only if every upstream verifies the same signature."
        )
    if settings.enforcement.mode == "shadow":
        yield 'WARNING: enforcement.mode is "shadow": denied calls are counted and let through.'
    parts = [row for row in settings.enforcement.override if row.mode == "shadow"]
    if parts:
        yield f"WARNING: enforcement.override: denied calls of {len(parts)} parts are let through."
    if LOOPBACK in settings.client_ip.trusted_proxies and identity in {"header", "either"}:
        yield (
            "note: client_ip.trusted_proxies contains 127.0.0.1: every process on this machine may name the "
            "caller and the address of the client."
        )
    if admin is not None and admin.host in EVERY_ADDRESS:
        yield "WARNING: gateway.admin listens on every address; keep callers away from it."
