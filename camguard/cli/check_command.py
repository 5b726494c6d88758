"""Writes the command line of `camguard check` that decides one call again."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

from camguard.engine.call import Call
from camguard.ipset import NO_MAP, AddressMap, format_address
from camguard.policy.patterns import STAR
from camguard.policy.values import format_moment


def check_command(
    call: Call, args: argparse.Namespace, address: int | None = None, egress: AddressMap = NO_MAP
) -> str:
    """Return a command line, quoted for a shell.

    args: those of the verb that prints it, whose `--config`, `--bundle` and `--catalog` are repeated.
    address: the client's, where a call is judged by another one. egress: the setting `client_ip.egress`,
    which `check` follows, too.
    """
    return shlex.join(("camguard", "check", *_options(call, args, address, egress)))


def _options(call: Call, args: argparse.Namespace, address: int | None, egress: AddressMap) -> Iterator[str]:
    for name in ("config", "bundle", "catalog"):
        value = getattr(args, name, None)
        if value is not None:
            yield from (f"--{name}", str(value))
    yield from ("--principal", call.principal, "--action", call.action)
    for resource in call.resources:
        if resource not in (None, STAR):
            yield from ("--resource", resource)
    place = call.source_ip if address is None else address
    if place is not None and call.source_ip is not None:
        yield from ("--ip", format_address(place))
        mapped = egress.get(place)
        if (place if mapped is None else mapped) != call.source_ip:
            yield from ("--egress", f"{format_address(place)}={format_address(call.source_ip)}")
    if call.time is not None:
        yield from ("--time", format_moment(call.time) if call.time.is_integer() else repr(call.time))
    yield from _further(call)


def _further(call: Call) -> Iterator[str]:
    """Yield the options for tags and further condition keys."""
    for tags, option, none in (
        (call.resource_tags, "--tag", "--no-tags"),
        (call.request_tags, "--request-tag", "--no-request-tags"),
    ):
        if tags is not None:
            yield from () if tags else (none,)
            yield from (word for pair in tags.items() for word in (option, "=".join(pair)))
    for key, values in (call.context or {}).items():
        yield from () if values else ("--no-context", key)
        yield from (word for value in values for word in ("--context", f"{key}={value}"))
