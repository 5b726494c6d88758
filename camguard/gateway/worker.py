"""The program of one worker process. `camguard.gateway.workers` starts it.

A worker uses the settings with which the supervisor was started. It reads them from a file descriptor, never
from the settings file, because the file may have been edited since.
"""

from __future__ import annotations

import logging
import os
import socket
import sys

from camguard.errors import CamguardError
from camguard.exit_codes import Exit
from camguard.gateway.channel import refuse_start
from camguard.gateway.run import Sockets, serve_alone
from camguard.settings.load import parse_settings
from camguard.settings.source import unpack_source
from camguard.telemetry.process_log import Event, process_log

_CHUNK = 65_536


def main(source: str, calls: str, channel: str, authorizer: str | None = None) -> Exit:
    """Serve calls, and return the exit code.

    All arguments are numbers of inherited file descriptors. source: the packed source of the settings. calls:
    the listening socket. channel: the socket to the supervisor. authorizer: the socket of proxies that ask.
    """
    found = unpack_source(read_all(int(source)))
    settings = parse_settings(found)  # the supervisor has parsed them before
    connection = socket.socket(fileno=int(channel))
    with process_log(sys.stderr, settings.log.format, settings.log.level, worker=os.getpid()):
        try:
            proxies = None if authorizer is None else socket.socket(fileno=int(authorizer))
            sockets = Sockets(socket.socket(fileno=int(calls)), authorizer=proxies)
            serve_alone(settings, found, sockets, lambda _: None, channel=connection)
        except CamguardError as error:
            for where, code, message in error.problems:
                logging.getLogger(__name__).error(Event(message, where=where, code=code))  # noqa: TRY400 - the message names the place
            refuse_start(connection, error.problems)
            return Exit.INVALID
    return Exit.OK


def read_all(descriptor: int) -> bytes:
    """Return a whole file. The position of the descriptor stays, because all workers share it."""
    content = b""
    while chunk := os.pread(descriptor, _CHUNK, len(content)):
        content += chunk
    return content


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
