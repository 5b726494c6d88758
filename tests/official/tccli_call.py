"""Runs tccli with the arguments given; its host names lead to one loopback port that has a private authority.

    python tccli_call.py PORT CERTIFICATE HOME tccli ARGUMENT...

Run by the interpreter that has tccli. tccli speaks https alone and takes no authority but certifi's.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any

PORT, CERTIFICATE, HOME = int(sys.argv[1]), sys.argv[2], sys.argv[3]
LOOKUP = socket.getaddrinfo


def to_loopback(_host: object, _port: Any, *rest: Any, **options: Any) -> Any:
    return LOOKUP("127.0.0.1", PORT, *rest, **options)


if __name__ == "__main__":
    socket.getaddrinfo = to_loopback  # type: ignore[assignment]
    os.environ["HOME"] = HOME
    vars(importlib.import_module("certifi"))["where"] = lambda: CERTIFICATE
    sys.argv = sys.argv[4:]
    sys.exit(importlib.import_module("tccli.main").main())
