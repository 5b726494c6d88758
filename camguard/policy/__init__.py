"""The policy language: documents are parsed when they are loaded and evaluated per call.

This package knows no request and no clock.
"""
