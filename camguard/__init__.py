"""Enforcement middleware in front of proxies that carry Tencent Cloud API 3.0 calls."""

from __future__ import annotations

__version__ = "0.1.0"
