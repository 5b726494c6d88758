"""What can go wrong while something is loaded. Each error knows its place.

    CamguardError
    ├── AddressError      text that is no address or no CIDR
    ├── CatalogError      a documentation page or a catalog file
    ├── PolicyError       a policy document
    ├── BundleError       a bundle as a whole: carries every problem found
    └── SettingsError     camguard.toml, its environment overrides, keys.json

Raised at load only. A call that may not pass is a `Decision`, never an exception.
"""

from __future__ import annotations

from typing import NamedTuple

from camguard.printable import printable


class Problem(NamedTuple):
    """One thing wrong at one place.

    `where` is a file, and behind `#` a JSON Pointer (RFC 6901) or a line number, e.g.
    `policies/ops.json#/statement/2/action/0` or `aiart.txt:41`. `code` is a stable name such as
    `ActionError` (cam-semantics 17).
    """

    where: str
    code: str
    message: str

    def __str__(self) -> str:
        """Return it on one line, whatever names it holds: no part of it can pass for a line of its own."""
        return printable(f"{self.where}: {self.message} [{self.code}]")


class CamguardError(Exception):
    """Any failure to load. `problems` is never empty."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class AddressError(CamguardError):
    """Text that is no address or no CIDR range."""

    def __init__(self, text: str, why: str = "is not an IP address") -> None:
        super().__init__(Problem(repr(text[:64]), "AddressError", why))


class CatalogError(CamguardError):
    """A documentation page or a catalog file cannot be used."""


class PolicyError(CamguardError):
    """A policy document is wrong; nothing of it may be used."""


class BundleError(CamguardError):
    """A bundle is not whole; the one before it stays active."""


class SettingsError(CamguardError):
    """camguard.toml, an override of it, or a file it names cannot be used."""
