"""Enforcement middleware in front of proxies that carry Tencent Cloud API 3.0 calls."""
