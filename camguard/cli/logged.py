"""Reads one record of the decision log, so that `camguard check` can ask the logged call again.

Rule 1: a record supplies principal, action, resources, address and time; an option of the command line that
        is given takes the place of the record's. The log has no tags and no further condition keys: as long
        as no option supplies them, they are unknown.
Rule 2: a line of the log is text from outside: it is bounded, and read as strictly as any other JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC
from pathlib import Path
from sys import intern
from typing import Any, BinaryIO, Final, NamedTuple

from camguard.cli.output import progress
from camguard.cli.parser import UsageError
from camguard.engine.call import Call
from camguard.errors import AddressError, CamguardError, Problem
from camguard.ipset import parse_address
from camguard.policy.values import read_moment
from camguard.strict_json import ObjectReader, is_text, list_of, or_null, read_json, text
from camguard.telemetry.log_line import CUT

CODE: Final = "RecordError"
_LINE_BYTES: Final = 65_536  # more than any line of any version of the log has
_STDIN: Final = "-"
_TEXT: Final = or_null(text)
_NEEDED: Final = {
    "id": text,
    "time": text,
    "decision": text,
    "reason": text,
    "principal": _TEXT,
    "service": _TEXT,
    "action": _TEXT,
    "source_ip": _TEXT,
    "revision": _TEXT,
    "resources": list_of(lambda each: each is None or is_text(each), "a list of texts", "texts"),
}
_OPTIONAL: Final = dict.fromkeys(("detail", "layer", "host", "peer", "egress_ip"), _TEXT)


class LoggedCall(NamedTuple):
    """One record of the log. where: the file and the number of the line. fields: by key, as the log has them.

    source_ip: place on the number line of `camguard.ipset`, that of the egress address where one was judged.
    time: seconds since the epoch.
    """

    where: str
    fields: Mapping[str, Any]
    source_ip: int | None
    time: float

    @property
    def action(self) -> str | None:
        """The action as `service:Name`, or None if the request named none."""
        service, action = self.fields["service"], self.fields["action"]
        return None if service is None or action is None else f"{service}:{action}"

    @property
    def is_call(self) -> bool:
        """Whether the request became a call, so that policies were asked."""
        return bool(self.fields["resources"]) and self.action is not None and self.fields["principal"]


def add_record(parser: argparse.ArgumentParser) -> None:
    """Give a verb `--record`, `--id` and `--log`."""
    option = parser.add_argument
    option(
        "--record", metavar="FILE", help="ask the call of this record of the decision log again; - is stdin"
    )
    option("--id", metavar="ID", help="ask the call with this id again; a refusal shows it as its request id")
    option("--log", metavar="FILE", help="the decision log in which --id is searched; - is stdin")


def require_one_call(args: argparse.Namespace) -> None:
    """Check that the options together name one call. Raises UsageError."""
    if (args.id is None) != (args.log is None):
        raise UsageError("--id and --log belong together: the id of a record, and the log that holds it")
    if args.record is not None and args.log is not None:
        raise UsageError("--record names one record, --id and --log another: give one of them")
    if args.record is None and args.log is None and None in {args.principal, args.action}:
        raise UsageError(
            "give --principal and --action, or a logged call with --record, or with --id and --log"
        )


def read_logged(args: argparse.Namespace) -> LoggedCall | None:
    """Return the record that the options name, None if they name none. Raises CamguardError, OSError."""
    name = args.record if args.log is None else args.log
    if name is None:
        return None
    lines: list[tuple[int, bytes]] = []
    with _opened(name) as file:
        for number, line in _lines(file):
            if args.id is None or (args.id.encode() in line and _has_id(line, args.id)):
                lines.append((number, line))
            if len(lines) > 1:
                break
    shown = "stdin" if name == _STDIN else name
    if not lines:
        what = "has no record" if args.id is None else f"has no record with the id {args.id!r}"
        raise CamguardError(Problem(shown, CODE, what))
    if len(lines) > 1:
        cure = "name one of them with --id ID --log FILE" if args.id is None else "give one with --record"
        raise CamguardError(Problem(shown, CODE, f"has several such records; {cure}"))
    number, line = lines[0]
    return _read(line, f"{shown}:{number}")


class Log(NamedTuple):
    """The calls of some logs, in their order, each with whether it was allowed.

    problems: of the records whose call cannot be asked again. rejected: how many requests became no call.
    """

    calls: tuple[tuple[Call, bool], ...]
    problems: tuple[Problem, ...]
    rejected: int


def read_log(names: Iterable[str]) -> Log:
    """Return the calls of whole logs; `-` is stdin. How far it is, is shown on a terminal.

    A line at the end of a log without a line break is still being written, and is passed over.
    Raises CamguardError with the place of the first line that is no record, and OSError.
    """
    calls: list[tuple[Call, bool]] = []
    problems: list[Problem] = []
    rejected = 0
    for name in names:
        shown = "stdin" if name == _STDIN else name
        with _opened(name) as file:
            for number, line in progress(_lines(file), f"lines of {shown}"):
                if not line.endswith(b"\n") and len(line) < _LINE_BYTES:
                    break
                try:
                    logged = _read(line, f"{shown}:{number}")
                except UnaskableError as error:
                    problems += error.problems
                    continue
                if logged.is_call:
                    calls.append(_call(logged))
                else:
                    rejected += 1
    return Log(tuple(calls), tuple(problems), rejected)


def _call(logged: LoggedCall) -> tuple[Call, bool]:
    """Return the call of a record, and whether it was allowed. Names are shared, because they recur."""
    principal, action = intern(logged.fields["principal"]), intern(str(logged.action))
    resources = tuple(map(intern, logged.fields["resources"]))
    call = Call(principal, action, logged.source_ip, logged.time, resources)
    return call, logged.fields["decision"] == "allow"


class UnaskableError(CamguardError):
    """A record is right, but does not hold all of its call."""


def fill(args: argparse.Namespace, logged: LoggedCall) -> None:
    """Let a record supply the options that are not given (Rule 1)."""
    fields = logged.fields
    args.principal = args.principal or fields["principal"]
    args.action = args.action or logged.action
    args.resource = args.resource or list(fields["resources"])
    args.ip = logged.source_ip if args.ip is None else args.ip
    args.time = logged.time if args.time is None else args.time


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if name == _STDIN else Path(name).open("rb")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number. Of a line that is too long, only the beginning."""
    number = 0
    while line := file.readline(_LINE_BYTES):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(_LINE_BYTES)):
            pass
        if line.strip():
            yield number, line


def _has_id(line: bytes, wanted: str) -> bool:
    """Tell whether a line is a record with this id; the id may also stand elsewhere in a line."""
    try:
        tree = read_json(line, "", CamguardError, CODE)
    except CamguardError:  # another program's line, or one that was cut
        return False
    return isinstance(tree, dict) and tree.get("id") == wanted


def _read(line: bytes, where: str) -> LoggedCall:
    reader = ObjectReader(where, CODE)
    tree = read_json(line, where, CamguardError, CODE)
    known = (
        {key: tree[key] for key in (*_NEEDED, *_OPTIONAL) if key in tree} if isinstance(tree, dict) else tree
    )
    fields = {**dict.fromkeys(_OPTIONAL), **reader.members(known, "", _NEEDED, _OPTIONAL)}
    if reader.problems:
        raise CamguardError(*reader.problems)
    when = read_moment(fields["time"])
    if when is None:
        raise CamguardError(Problem(f"{where}#/time", CODE, f"{fields['time']!r} is not a time"))
    if CUT in fields["resources"]:
        message = "the log has cut the list of resources, so the call cannot be asked again"
        raise UnaskableError(Problem(f"{where}#/resources", CODE, message))
    key = "source_ip" if fields["egress_ip"] is None else "egress_ip"
    try:
        place = None if fields[key] is None else parse_address(fields[key])
    except AddressError:
        raise CamguardError(Problem(f"{where}#/{key}", CODE, "is not an IP address")) from None
    return LoggedCall(where, fields, place, when.replace(tzinfo=when.tzinfo or UTC).timestamp())
