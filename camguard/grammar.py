r"""The shape of every name that a request, a catalog, a bundle or a key file spells: each shape once.

Rule 1: what the catalog, the bundle or the keys accept, a request can carry. All of them read names by the
        patterns of this module, so that nothing loads which no call could ever name.
Rule 2: every pattern is matched whole (`fullmatch`) and holds ASCII only. Nothing is trimmed and no letter
        case is folded.
Rule 3: a placeholder of a resource template is found here alone. The catalog, lint and the binding of
        resources therefore agree on where a placeholder begins, where it ends and what it is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

ACTION_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")  # T31
SERVICE: Final = re.compile(r"[a-z0-9]{1,63}")  # one label of a host name (RFC 1035 2.3.4)
REGION: Final = re.compile(r"[a-z]{2}-[a-z0-9-]{1,60}")
VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
UIN: Final = re.compile(r"[0-9]{5,20}")
APP_ID: Final = re.compile(r"[0-9]{1,20}")
HOST_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035 2.3.4
ROLE: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}")
PRINCIPAL: Final = re.compile(rf"uin/{UIN.pattern}|role/{ROLE.pattern}")
# The id of a temporary credential is longer than that of a permanent one and holds `-` and `_`; its
# documented bound is 1,024 bytes.
SECRET_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,1024}")
# The path of a request parameter: `InstanceIds`, `Namespace.Name`. No element is a number: where a list
# stands, each of its elements is taken.
PARAMETER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z][A-Za-z0-9_-]*)*")
# The path of the parameter that carries the tags of a request: `Tags`, `TagSpecification[].Tags`. `[]` stands
# behind a list of objects, of which each may have the next name (DEC-65).
TAG_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:(?:\[\])?\.[A-Za-z][A-Za-z0-9_]*)*")

# What each shape is called in an error: "must be {...}".
ACTION_NAME_RULE: Final = "a letter followed by up to 63 letters and digits"
SERVICE_RULE: Final = "1 to 63 lower-case letters and digits"
VERSION_RULE: Final = "a version such as 2022-12-29"
UIN_RULE: Final = "5 to 20 digits"
APP_ID_RULE: Final = "1 to 20 digits"
ROLE_RULE: Final = "1 to 128 letters, digits and characters of _+=,.@-"
PRINCIPAL_RULE: Final = "`uin/` and 5 to 20 digits, or `role/` and the role's name"
SECRET_ID_RULE: Final = "1 to 1024 letters, digits, `-` and `_`"  # noqa: S105 - a rule, not a secret
TAG_PATH_RULE: Final = "the path of a tag parameter, such as Tags or TagSpecification[].Tags"
PARAMETER_RULE: Final = "the name of a request parameter, such as InstanceIds or Namespace.Name"

# Braces hold any text but braces, blanks around it aside; a bare `$` takes letters, digits and `_`, and `-`
# where one of these follows, so that `$zone-$id` is two placeholders.
_MARKED: Final = r"\$?\{\$?\s*([^{}\s][^{}]*)\}|\$([A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*)"
_PLACEHOLDER: Final = re.compile(_MARKED)


class Placeholder(NamedTuple):
    """One placeholder of a template: its name, and where it begins and ends in the text."""

    name: str
    start: int
    end: int


def placeholders(text: str, bare: Iterable[str] = ()) -> Iterator[Placeholder]:
    """Yield the placeholders of a text in order: `${x}`, `{$x}`, `{x}`, `$x`, and the words of `bare`.

    bare: words that are placeholders although nothing marks them. A word counts where no letter, digit,
    `_`, `-` or `$` touches it.

    >>> [found.name for found in placeholders("${a.b}/{$c}/{ d e }/$f-g-$h/i", bare=["i"])]
    ['a.b', 'c', 'd e', 'f-g', 'h', 'i']
    """
    listed = "|".join(rf"(?<![\w$-]){re.escape(word)}(?![\w-])" for word in bare)
    pattern = re.compile(f"{_MARKED}|{listed}") if listed else _PLACEHOLDER
    for found in pattern.finditer(text):
        yield Placeholder((found[1] or found[2] or found[0]).strip(), found.start(), found.end())


def words(text: str) -> Iterator[str]:
    """Yield the bare words of a resource: its parts between `/` and `:` that `placeholders` may be given.

    >>> list(words("instance/instanceId/${x}/*:db"))
    ['instance', 'instanceId', 'db']
    """
    rest = _PLACEHOLDER.sub("*", text)  # what braces hold is no part of its own
    yield from (part for part in re.split(r"[/:]", rest) if part.isidentifier())


def service_hosts(roots: Iterable[str]) -> re.Pattern[str]:
    """Return the pattern of the hosts below some domains that name a service by their first label (T123).

    roots: the domains, in lower case. Group 1 of a match is the label.

    >>> service_hosts(["example.com"]).fullmatch("cvm.ai.ap-guangzhou.example.com")[1]
    'cvm'
    """
    region = REGION.pattern
    inner = rf"\.intl|\.ai(?:\.internal|\.{region})?|(?:\.internal)?(?:\.{region})?"
    domains = "|".join(map(re.escape, roots))
    return re.compile(rf"({HOST_LABEL.pattern})(?:{inner})\.(?:{domains})")


REVISION_DIGITS: Final = 12  # of the revision of a bundle, which people, logs and metrics are shown


def of_bytes(shape: re.Pattern[str]) -> re.Pattern[bytes]:
    """Return the pattern for what a request carries, which is bytes."""
    return re.compile(shape.pattern.encode("ascii"))
