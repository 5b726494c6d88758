"""`camguard serve`: be the gateway that a settings file describes."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from camguard.assembly import Parts, assemble
from camguard.bundle import Bundle
from camguard.cli.exit import Exit
from camguard.cli.output import complain, finished, paint, say
from camguard.cli.source import add_config, the_config
from camguard.engine.call import Call
from camguard.ipset import parse_address
from camguard.policytest.cases import shown
from camguard.settings import Address, Settings
from camguard.settings.load import parse_settings
from camguard.settings.source import read_source
from camguard.telemetry.process_log import process_log

EXTRA = frozenset(("aiohttp", "httptools", "uvicorn", "uvloop", "yarl"))
LOG_FORMAT = "%(levelname)s: %(message)s"
LOOPBACK = parse_address("127.0.0.1")


class Example(NamedTuple):
    """One request to try. allowed: what it shows; it is left out where the bundle decides otherwise."""

    title: str
    action: str
    address: str
    allowed: bool


WHO = "uin/100000000101"  # alice of the sample company
EXAMPLES = (
    Example("allowed: alice, from the office", "aiart:TextToImage", "10.1.2.3", allowed=True),
    Example("refused by IP: alice, from elsewhere", "aiart:TextToImage", "198.51.100.7", allowed=False),
    Example("refused by policy: what alice may not do", "aiart:SetPayMode", "10.1.2.3", allowed=False),
)


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `serve`."""
    parser = verbs.add_parser("serve", help="be the gateway: judge calls, forward those that may pass")
    add_config(parser)
    parser.add_argument(
        "--check", action="store_true", help="check settings, keys, catalog and bundle; serve nothing"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Serve until a signal says otherwise. With a bundle that cannot be used, serve refusals."""
    try:
        # Imported late: every other verb runs without the extra.
        from camguard.gateway.run import bind_all, serve_alone  # noqa: PLC0415
        from camguard.gateway.workers import supervise  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in EXTRA:
            raise
        complain(f"{missing.name} is not installed; the gateway needs: pip install 'camguard[serve]'")
        return Exit.UNEXPECTED
    config = the_config(args.config)
    source = read_source(config)
    settings = parse_settings(source)
    if args.check:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)
        return check(settings)
    with process_log(sys.stderr, LOG_FORMAT) as log, closing(bind_all(settings)) as sockets:
        ports = sockets.ports

        def tell(line: str) -> None:
            log.write(finished(line))

        def started(parts: Parts) -> None:
            for line in greeting(settings, parts, *ports):
                tell(line)

        tell(f"camguard serves {shown(config)}")
        if settings.gateway.workers == 1:
            serve_alone(settings, source, sockets, started)
        else:
            supervise(settings, source, sockets, started)
        tell("camguard has finished what was in flight")
    return Exit.OK


def check(settings: Settings) -> Exit:
    """Load everything that serving needs, and say how it went."""
    parts = assemble(settings)  # says on stderr what is wrong with a bundle
    bundle = parts.store.bundle
    if bundle is None:
        return Exit.INVALID
    say(
        f"good: revision {bundle.revision[:12]}, {bundle.statement_count} statements, "
        f"{len(bundle.people.layers)} principals, {len(bundle.catalog.actions)} actions"
    )
    return Exit.OK


def greeting(settings: Settings, parts: Parts, calls: int, admin: int | None) -> Iterator[str]:
    """Yield what whoever started the gateway should know. calls, admin: the ports that were bound."""
    gateway = settings.gateway
    listen = Address(gateway.listen.host, calls)
    yield f"  calls    http://{listen}  ({gateway.workers} worker{'s' * (gateway.workers > 1)})"
    for service, upstream in sorted(settings.upstream.items()):
        yield f"  upstream {service}: {upstream}"
    if gateway.admin is not None and admin is not None:
        yield f"  admin    http://{Address(gateway.admin.host, admin)}/metrics  /-/healthy  /-/ready"
    yield from warnings(settings)
    bundle = parts.store.bundle
    if bundle is None:
        yield paint("  not ready: every call is refused until the bundle is repaired", "bad", sys.stderr)
    elif to_try(settings):
        yield from examples(bundle, listen)
        if gateway.admin is not None and admin is not None:
            yield "# the metrics of these"
            metrics = f"http://{Address(gateway.admin.host, admin)}/metrics"
            yield f"curl -s {metrics} | grep ^camguard_decisions | grep -v ' 0.0$'"


def warnings(settings: Settings) -> Iterator[str]:
    """Yield what in the settings deserves a second look before anybody relies on it."""
    loud = []
    if settings.identity.mode == "claimed":
        loud.append(
            'WARNING: identity.mode is "claimed": WHOEVER CALLS IS BELIEVED TO OWN THE SecretId HE NAMES. '
            "Right only where every upstream verifies the same signature."
        )
    if settings.enforcement.mode == "shadow":
        loud.append('WARNING: enforcement.mode is "shadow": denied calls are counted and let through.')
    if LOOPBACK in settings.client_ip.trusted_proxies and settings.identity.mode in {"header", "either"}:
        loud.append(
            "note: client_ip.trusted_proxies holds 127.0.0.1: everything on this machine may say who calls, "
            "and from where."
        )
    if settings.gateway.admin is not None and settings.gateway.admin.host in {"0.0.0.0", "::"}:  # noqa: S104
        loud.append("WARNING: gateway.admin listens on every address; keep callers away from it.")
    for line in loud:
        yield paint(f"  {line}", "bad" if line.startswith("WARNING") else "doubtful", sys.stderr)


def to_try(settings: Settings) -> bool:
    """Whether these are settings for trying out: an echo, and this machine trusted to say who calls."""
    return (
        settings.upstream["default"] == "echo"
        and settings.identity.mode in {"header", "either"}
        and settings.client_ip.header == "x-forwarded-for"
        and LOOPBACK in settings.client_ip.trusted_proxies
    )


def examples(bundle: Bundle, listen: Address) -> Iterator[str]:
    """Yield requests to paste into a shell, those that the bundle decides as announced."""
    host = "127.0.0.1" if listen.host == "0.0.0.0" else listen.host  # noqa: S104
    for example in EXAMPLES:
        entry = bundle.catalog.actions.get(example.action)
        call = Call(WHO, example.action, parse_address(example.address), None)
        if entry is None or bool(bundle.decide(call)) != example.allowed:
            continue
        lines = [f"Host: {entry.service}.tencentcloudapi.com", f"X-TC-Action: {entry.name}"]
        lines += ["X-TC-Version: 2022-12-29", "Content-Type: application/json"]
        lines += [f"X-Camguard-Principal: {WHO}", f"X-Forwarded-For: {example.address}"]
        headers = " ".join(f"-H {shlex.quote(line)}" for line in lines)
        yield f"# {example.title}"
        yield f"curl -s http://{listen._replace(host=host)}/ {headers} -d '{{}}'"
