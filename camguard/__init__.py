"""Enforcement middleware in front of proxies that carry Tencent Cloud API 3.0 calls."""

from __future__ import annotations

from camguard._version import __version__
from camguard.bundle import Bundle, load_bundle
from camguard.catalog import load_catalog
from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.errors import (
    AddressError,
    BundleError,
    CamguardError,
    CatalogError,
    PolicyError,
    SettingsError,
)
from camguard.ipset import format_address, parse_address
from camguard.middleware import CamguardMiddleware
from camguard.policy.document import parse_policy

__all__ = [
    "AddressError",
    "Bundle",
    "BundleError",
    "Call",
    "CamguardError",
    "CamguardMiddleware",
    "CatalogError",
    "Decision",
    "PolicyError",
    "Reason",
    "SettingsError",
    "__version__",
    "format_address",
    "load_bundle",
    "load_catalog",
    "parse_address",
    "parse_policy",
]
