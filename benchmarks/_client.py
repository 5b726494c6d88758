"""A client that never sleeps: `python benchmarks/_client.py PORT REQUEST_FILE CONNECTIONS SECONDS`.

Each connection sends a request as soon as the last reply is whole. The client asks its sockets again and
again and never waits for one, so the server under test pays for no wake-up of the client. Prints how many
replies it got and the seconds that they took.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from pathlib import Path

READ = 1 << 16
OK = b"HTTP/1.1 200 "


def reply_size(sock: socket.socket, request: bytes) -> int:
    """Return the bytes of one reply, which must be 200 with a declared length. Blocks."""
    sock.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _read(sock)
    head = data[: data.index(b"\r\n\r\n") + 4]
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    if not head.startswith(OK) or b"content-length" not in lines:
        raise SystemExit(f"not the reply that is measured: {data!r}")
    size = len(head) + int(lines[b"content-length"])
    while len(data) < size:
        data += _read(sock)
    return size


def _read(sock: socket.socket) -> bytes:
    data = sock.recv(READ)
    if not data:
        raise SystemExit("the server has ended the connection")
    return data


def ask(port: int, request: bytes, connections: int, seconds: float) -> tuple[int, float]:
    """Ask for so long; return the number of replies and the seconds that they took."""
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    size = [reply_size(sock, request) for sock in socks][-1]
    left = dict.fromkeys(socks, size)
    for sock in socks:
        sock.settimeout(0)
        sock.send(request)
    count = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for sock in socks:
            with contextlib.suppress(BlockingIOError):
                left[sock] -= len(_read(sock))
                if left[sock] < 0:
                    raise SystemExit("a reply is longer than the first one was")
                if not left[sock]:
                    left[sock] = size
                    count += 1
                    sock.send(request)
    took = time.perf_counter() - began
    for sock in socks:
        sock.close()
    return count, took


if __name__ == "__main__":
    print(*ask(int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3]), float(sys.argv[4])))
