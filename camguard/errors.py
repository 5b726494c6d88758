"""The exceptions of camguard. Each error knows the place of its cause.

    CamguardError
    ├── AddressError      text that is not an address or a CIDR range
    ├── CatalogError      a documentation page or a catalog file
    ├── PolicyError       a policy document
    ├── BundleError       a bundle as a whole; it lists every problem
    └── SettingsError     camguard.toml, its environment overrides, keys.json

They are raised while something is loaded. The denial of a call is a `Decision`, never an exception.
"""

from __future__ import annotations

from typing import NamedTuple

from camguard.printable import printable


class Problem(NamedTuple):
    """One fault at one place.

    where: a file with a JSON Pointer (RFC 6901) behind `#`, or with a line number, e.g.
    `policies/ops.json#/statement/2/action/0` or `aiart.txt:41`. code: a stable name such as `ActionError`
    (CAM 17).
    """

    where: str
    code: str
    message: str

    def __str__(self) -> str:
        """Return it on one line, whatever names it holds: no part of it can pass for a line of its own."""
        return printable(f"{self.where}: {self.message} [{self.code}]")


class CamguardError(Exception):
    """Any failure to load something. `problems` is never empty."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class AddressError(CamguardError):
    """Text that is not an IP address or a CIDR range."""

    def __init__(self, text: str, why: str = "is not an IP address") -> None:
        super().__init__(Problem(repr(text[:64]), "AddressError", why))


class CatalogError(CamguardError):
    """A documentation page or a catalog file cannot be used."""


class PolicyError(CamguardError):
    """A policy document is wrong; no part of it may be used."""


class BundleError(CamguardError):
    """A bundle is incomplete or wrong; the previous one stays active."""


class SettingsError(CamguardError):
    """camguard.toml, an override of it, or a file that it names cannot be used."""
