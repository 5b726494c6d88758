"""A folder of policies and principals becomes one bundle, whole or not at all."""

from camguard.bundle.load import load_bundle, make_bundle
from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadObserver, ReloadOutcome, Store

__all__ = ["Bundle", "ReloadObserver", "ReloadOutcome", "Store", "load_bundle", "make_bundle"]
