"""One of several processes that share a listening socket; `camguard.gateway.workers` starts it.

Its settings are those that the supervisor was started with, read from a descriptor: never the file, which may
have been edited since.
"""

from __future__ import annotations

import logging
import os
import socket
import sys

from camguard.assembly import Parts
from camguard.errors import CamguardError
from camguard.gateway.run import Sockets, serve_alone
from camguard.settings.load import parse_settings
from camguard.settings.source import unpack_source
from camguard.telemetry.process_log import process_log

INVALID = 3  # as camguard.cli.exit, which is further right in the house
_CHUNK = 65_536


def main(source: str, calls: str, ready: str, orphaned: str) -> int:
    """Serve calls, and return the exit code.

    All are inherited file descriptors. source: the packed source of the settings. calls: the socket. ready:
    where to write the digest of our settings once we accept calls. orphaned: closes when the process that
    started us is gone.
    """
    with process_log(sys.stderr, f"%(levelname)s: worker {os.getpid()}: %(message)s"):
        try:
            found = unpack_source(read_all(int(source)))
            settings = parse_settings(found)

            def started(_: Parts) -> None:
                os.write(int(ready), settings.digest().encode())
                os.close(int(ready))

            sockets = Sockets(socket.socket(fileno=int(calls)))
            serve_alone(settings, found, sockets, started, int(orphaned))
        except CamguardError as error:
            logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - it says what is wrong, and where
            return INVALID
    return 0


def read_all(descriptor: int) -> bytes:
    """Return a whole file by its descriptor, which shares its position with those of other workers."""
    content = b""
    while chunk := os.pread(descriptor, _CHUNK, len(content)):
        content += chunk
    return content


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
