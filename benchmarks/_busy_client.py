"""A client on the wire that never sleeps: `_busy_client.py PORT SECONDS REQUEST MARKER`.

It keeps one request under way on each of its connections and asks all of them again and again, so that the
server finds a request whenever it looks and is never woken. Prints how many answers came. REQUEST: a file
with the bytes of one request. MARKER: text that each answer must hold.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from pathlib import Path

CONNECTIONS = 8
END = b"\r\n\r\n"
LENGTH = b"content-length: "


def whole(answer: bytes) -> bool:
    """Tell whether an answer is complete by its declared length."""
    head, end, body = answer.partition(END)
    if not end:
        return False
    at = head.lower().index(LENGTH) + len(LENGTH)
    return len(body) >= int(head[at:].partition(b"\r\n")[0])


def main() -> None:
    """Ask for some seconds and print the number of answers."""
    port, seconds, request, marker = (
        int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]).read_bytes(), sys.argv[4].encode(),
    )  # fmt: skip
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    held = dict.fromkeys(peers, b"")
    poll = select.poll()
    by_number = {}
    for peer in peers:
        peer.settimeout(0)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(peer, select.POLLIN)
        by_number[peer.fileno()] = peer
        peer.send(request)
    count = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number, _ in poll.poll(0):  # never waits
            peer = by_number[number]
            held[peer] += peer.recv(65_536)
            if whole(held[peer]):
                if marker not in held[peer]:
                    raise SystemExit(f"answered {held[peer]!r}")
                held[peer] = b""
                count += 1
                peer.send(request)
    print(count)


if __name__ == "__main__":
    main()
