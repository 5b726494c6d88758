"""Strict reading of HTTP requests: bytes to values. Knows no policy."""
