"""One of several processes that share a listening socket; `camguard.gateway.workers` starts it."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path

from camguard.assembly import Parts
from camguard.errors import CamguardError
from camguard.gateway.run import Sockets, serve_alone
from camguard.settings import load_settings

INVALID = 3  # as camguard.cli.exit, which is further right in the house


def main(config: str, calls: str, ready: str, orphaned: str) -> int:
    """Serve calls, and return the exit code.

    All but config are inherited file descriptors. calls: the socket. ready: where to say that we accept.
    orphaned: closes when the process that started us is gone.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(levelname)s: worker {os.getpid()}: %(message)s"
    )

    def started(_: Parts) -> None:
        os.write(int(ready), b"1")
        os.close(int(ready))

    try:
        sockets = Sockets(socket.socket(fileno=int(calls)))
        serve_alone(load_settings(Path(config)), sockets, started, int(orphaned))
    except CamguardError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - it says what is wrong, and where
        return INVALID
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
