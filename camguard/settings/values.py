"""Readers of single values: each converts one value of camguard.toml, or raises what is wrong with it.

Rule 1: a reader takes the value as TOML has it, and the folder from which relative paths start.
Rule 2: a reader raises Faults that list every problem, each with its place inside the value.
Rule 3: a reader guesses nothing: a number in quotes is text, `true` is no number, `127.1` is no address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, get_args
from urllib.parse import SplitResult, urlsplit

from camguard.errors import AddressError
from camguard.grammar import SERVICE, SERVICE_RULE
from camguard.header_names import is_occupied, is_reserved
from camguard.ipset import AddressMap, IpSet, parse_address, parse_range
from camguard.policy.keys import attribute_fault
from camguard.printable import without_credentials
from camguard.strict_json import Fault

T = TypeVar("T")
Reader = Callable[[object, Path], T]

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_PORT_MOST = 65535
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*(?!\d+$){_LABEL}")  # a last label of digits: an address (WHATWG URL)
_DOMAIN_LENGTH = 253
_HEADER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")  # `_` and `-` are twins (THREATS 3.2)
_SEGMENT = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+"  # `.` and `..` are resolved by proxies (RFC 3986 5.2.4)
_HEALTH_PATH = re.compile(rf"(?:/{_SEGMENT})+")
_HEALTH_PATH_LENGTH = 256
_PATTERN = re.compile(r"\*|[A-Za-z0-9_*-]+:[A-Za-z0-9_*]+")
_LOOPBACK = IpSet.of(("127.0.0.0/8", "::1"))
_SHOWN = 64


class Faults(ValueError):  # noqa: N818 - several, and no error until the loader has given them a place
    """Everything that is wrong with one value."""

    def __init__(self, *found: Fault) -> None:
        super().__init__(*found)
        self.found = found


class Address(NamedTuple):
    """An address to listen at. host: an IP address without brackets, or a name. port: 0 for any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def shown(value: object) -> str:
    """Return a value as messages quote it: cut, without control characters and the credentials of a URL."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = without_credentials(value)
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return ascii(value)[:_SHOWN]


def wrong(value: object, rule: str) -> Faults:
    """Return the fault that a value is not what `rule` describes."""
    return Faults(((), f"{shown(value)} is not {rule}"))


def text(value: object, _folder: Path) -> str:
    """Read text without control characters; a line break is one."""
    if not isinstance(value, str):
        raise wrong(value, "text")
    if not value.isprintable():
        raise wrong(value, "text without control characters")
    return value


def flag(value: object, _folder: Path) -> bool:
    """Read true or false, and nothing else that Python treats as true or false."""
    if not isinstance(value, bool):
        raise wrong(value, "true or false")
    return value


def choice(kind: Any) -> Reader[Any]:
    """Return a reader of the words of a `Literal`."""
    words = get_args(kind)
    rule = " or ".join(f'"{word}"' for word in words)

    def read(value: object, _folder: Path) -> Any:
        if not isinstance(value, str) or value not in words:
            raise wrong(value, rule)
        return value

    return read


def choices(kind: Any) -> Reader[frozenset[str]]:
    """Return a reader of lists of the words of a `Literal`."""
    words = get_args(kind)
    rule = " or ".join(f'"{word}"' for word in words)

    def read(value: object, _folder: Path) -> frozenset[str]:
        def known(item: str) -> str:
            if item not in words:
                raise wrong(item, rule)
            return item

        return frozenset(_items(value, known))

    return read


def whole(least: int, most: int) -> Reader[int]:
    """Return a reader of whole numbers from `least` to `most`, both included."""

    def read(value: object, _folder: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(value, f"a whole number from {least} to {most}")
        return value

    return read


def seconds(least: float, most: float) -> Reader[float]:
    """Return a reader of durations in seconds from `least` to `most`, both included."""

    def read(value: object, _folder: Path) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
            return float(value)
        raise wrong(value, f"a number of seconds from {least:g} to {most:g}")

    return read


def path(value: object, folder: Path) -> Path:
    """Read a path. A relative one starts from the folder of the settings file."""
    if not text(value, folder):
        raise wrong(value, "a path")
    return folder / str(value)


def path_or_none(value: object, folder: Path) -> Path | None:
    """Read a path, or None if the text is empty."""
    return None if value == "" else path(value, folder)


def log_path(value: object, folder: Path) -> str:
    """Read `-` (stdout), empty text (no log), or a path."""
    return str(value) if value in ("", "-") else str(path(value, folder))


def health_path(value: object, folder: Path) -> str | None:
    """Read an absolute path other than `/`, or None if the text is empty (T136)."""
    if not text(value, folder):
        return None
    if len(str(value)) > _HEALTH_PATH_LENGTH or not _HEALTH_PATH.fullmatch(str(value)):
        raise wrong(value, 'an absolute path other than "/", such as "/healthz", of unreserved characters')
    return str(value)


def source(value: object, folder: Path) -> str:
    """Read a folder, or the URL of an archive, which stays as it is written."""
    if "://" not in text(value, folder):
        return str(path(value, folder))
    url = _split(str(value))
    if url is None or url.username is not None or url.fragment:
        raise wrong(value, "a folder or an http(s) URL without user and fragment")
    return str(value)


def source_or_none(value: object, folder: Path) -> str | None:
    """Read what `source` reads, or None if the text is empty."""
    return None if value == "" else source(value, folder)


def is_url(source: str) -> bool:
    """Return whether a source of bundles is a URL and no folder."""
    return "://" in source


def is_exposed(source: str) -> bool:
    """Return whether a source is a URL without TLS on another machine, which others can change on the way."""
    url = urlsplit(source) if is_url(source) else None
    if url is None or url.scheme == "https" or url.hostname == "localhost":
        return False
    try:
        return parse_address(url.hostname or "") not in _LOOPBACK
    except AddressError:
        return True


def _split(url: str) -> SplitResult | None:
    """Return the parts of an http(s) URL with a host and a sound port, else None."""
    if not url.isascii() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.port == 0 or not _is_host(parts.hostname or ""):
            return None
    except ValueError:  # brackets that do not close, a port that is no number
        return None
    return None if parts.netloc.endswith(":") else parts


def _is_host(host: str) -> bool:
    try:
        parse_address(host)
    except AddressError:
        return len(host) <= _DOMAIN_LENGTH and _DOMAIN.fullmatch(host) is not None
    return True


def upstream(value: object, folder: Path) -> str:
    """Read `echo`, or the scheme, host and port to which the calls of a service are forwarded."""
    if text(value, folder) == "echo":
        return "echo"
    url = _split(str(value))
    if (
        url is None
        or "@" in url.netloc
        or url.path not in ("", "/")
        or "?" in str(value)
        or "#" in str(value)
    ):
        raise wrong(value, '"echo" or http(s)://host[:port] without user, path and query')
    return f"{url.scheme}://{url.netloc}"


def listen(value: object, folder: Path) -> Address:
    """Read an address to listen at: `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`."""
    host, colon, port = text(value, folder).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host
    port_good = _PORT.fullmatch(port) is not None and int(port) <= _PORT_MOST
    if not colon or not port_good or not _is_host(bare) or (":" in bare) != (bare != host):
        raise wrong(value, 'an address with a port, such as "127.0.0.1:8080" or "[::1]:8080"')
    return Address(bare, int(port))


def listen_or_none(value: object, folder: Path) -> Address | None:
    """Read an address to listen at, or None if the text is empty."""
    return None if value == "" else listen(value, folder)


def header_name(value: object, folder: Path) -> str:
    """Read the name of the header that carries identity; it is returned in lower case."""
    name = text(value, folder).lower()
    if not _HEADER.fullmatch(name):
        raise wrong(value, "a header name of letters, digits and `-`")
    if is_reserved(name):
        raise Faults(((), f"{shown(value)} is a reserved header; choose another name"))
    return name


def attributes_header(value: object, folder: Path) -> str:
    """Read the name of the header that carries condition keys, or empty text for no such header (T137)."""
    if value == "":
        return ""
    name = header_name(value, folder)
    if is_occupied(name):
        raise Faults(((), f"{shown(value)} is a header with another meaning; choose another name"))
    return name


def attribute_keys(value: object, _folder: Path) -> frozenset[str]:
    """Read the condition keys that a trusted proxy may supply (T137)."""

    def read(item: str) -> str:
        fault = attribute_fault(item)
        if fault is not None:
            raise Faults(((), f"{shown(item)} {fault}"))
        return item

    return frozenset(_items(value, read))


def egress(value: object, _folder: Path) -> AddressMap:
    """Read a table of CIDR ranges and the one address that policies mean for each (T132)."""
    if not isinstance(value, dict):
        raise wrong(value, 'a table such as {"10.0.0.0/8" = "203.0.113.7"}')
    found: list[Fault] = []
    for key, address in value.items():
        try:
            AddressMap.of({key: text(address, Path())})
        except AddressError as error:
            found.append(((key,), f"{error.problems[0].where} {error.problems[0].message}"))
        except Faults as faults:
            found += (((key, *place), message) for place, message in faults.found)
    if found:
        raise Faults(*found)
    try:
        return AddressMap.of(value)
    except AddressError as error:  # two keys that are one range
        raise Faults(((), f"{error.problems[0].where} {error.problems[0].message}")) from None


def _items(value: object, read: Callable[[str], T]) -> Iterator[T]:
    """Yield each text of a list as `read` returns it. Raises Faults that list every bad element."""
    if not isinstance(value, list):
        raise wrong(value, "a list")
    found: list[Fault] = []
    good: list[T] = []
    for index, item in enumerate(value):
        try:
            good.append(read(text(item, Path())))
        except Faults as faults:
            found += (((index, *where), message) for where, message in faults.found)
        except AddressError as error:
            found.append(((index,), f"{shown(item)} {error.problems[0].message}"))
    if found:
        raise Faults(*found)
    yield from good


def networks(value: object, _folder: Path) -> IpSet:
    """Read CIDR ranges and addresses as one set."""
    return IpSet.of_ranges(_items(value, parse_range))


def host_names(value: object, _folder: Path) -> tuple[str, ...]:
    """Read domain names, in lower case and without repetitions."""

    def read(item: str) -> str:
        if len(item) > _DOMAIN_LENGTH or not _DOMAIN.fullmatch(item):
            raise wrong(item, "a domain name without port, wildcard and dot at the end")
        return item.lower()

    return tuple(dict.fromkeys(_items(value, read)))


def services(value: object, _folder: Path) -> Mapping[str, str]:
    """Read a table of host labels, each with the service that it stands for."""
    if not isinstance(value, dict):
        raise wrong(value, "a table of host labels, each with a service")
    found: list[Fault] = []
    for label, service in value.items():
        if not SERVICE.fullmatch(label):
            found.append(((label,), f"{shown(label)} is not a host label of {SERVICE_RULE}"))
        if not isinstance(service, str) or not SERVICE.fullmatch(service):
            found.append(((label,), f"{shown(service)} is not a service: {SERVICE_RULE}"))
        elif label == service:
            found.append(((label,), "names itself; leave it out"))
    if found:
        raise Faults(*found)
    return MappingProxyType(dict(sorted(value.items())))


def domains(value: object, folder: Path) -> tuple[str, ...]:
    """Read at least one domain name, in lower case and without repetitions."""
    names = host_names(value, folder)
    if not names:
        raise Faults(((), "must list at least one domain"))
    return names


def action_patterns(value: object, _folder: Path) -> tuple[str, ...]:
    """Read action names with wildcards: `aiart:*`, `*:TerminateInstances`, `*`."""

    def read(item: str) -> str:
        if not _PATTERN.fullmatch(item):
            raise wrong(item, 'an action pattern such as "aiart:*" or "cvm:TerminateInstances"')
        return item

    return tuple(dict.fromkeys(_items(value, read)))


_PRINTED: Mapping[type, Callable[[Any], object]] = {
    IpSet: lambda addresses: list(addresses.cidrs()),
    AddressMap: lambda addresses: dict(addresses.pairs),
    frozenset: sorted,
    tuple: lambda items: [each.written() if hasattr(each, "written") else each for each in items],
}


def printable(value: object) -> object:
    """Return a value of the settings as JSON can contain it, without the credentials of a URL."""
    if isinstance(value, Address | Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return without_credentials(value)
    return _PRINTED[type(value)](value) if type(value) in _PRINTED else value


def family_whole(addresses: IpSet) -> str | None:
    """Return "0.0.0.0/0" or "::/0" if the set contains the whole family, else None."""
    return next((text for text in ("0.0.0.0/0", "::/0") if IpSet.of((text,)) <= addresses), None)
