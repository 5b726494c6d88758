"""A folder of policies and principals becomes one bundle, whole or not at all."""

from camguard.bundle.load import load_bundle, make_bundle
from camguard.bundle.model import Bundle

__all__ = ["Bundle", "load_bundle", "make_bundle"]
