"""Loads policies, principals and catalog as one bundle, and replaces the bundle while requests are served."""

from camguard.bundle.load import load_bundle, make_bundle
from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadObserver, ReloadOutcome, Store

__all__ = ["Bundle", "ReloadObserver", "ReloadOutcome", "Store", "load_bundle", "make_bundle"]
