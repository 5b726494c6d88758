"""Which actions exist: the model, and the catalog files it is read from. Knows no documentation page."""

from __future__ import annotations

from camguard.catalog.files import load_catalog, parse_catalog, read_catalog, save_all, to_json
from camguard.catalog.model import (
    Access,
    Action,
    Catalog,
    Granularity,
    IpRestriction,
    Page,
    Service,
    nearest_actions,
)

__all__ = [
    "Access",
    "Action",
    "Catalog",
    "Granularity",
    "IpRestriction",
    "Page",
    "Service",
    "load_catalog",
    "nearest_actions",
    "parse_catalog",
    "read_catalog",
    "save_all",
    "to_json",
]
