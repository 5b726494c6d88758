"""What camguard accepts, read by programs that are no Python, where they are installed: node, PHP, Ruby, Go.

`NODE_PATH` names the folder in which node finds `qs` and `busboy`.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from camguard.request.rejection import Rejection
from tests.request import test_multipart as multipart
from tests.request import test_params as params
from tests.request.readers import QUERY_READERS, plainest

pytestmark = pytest.mark.heavy
PROGRAMS = Path(__file__).parent / "programs"
PATIENCE = 240  # seconds, for Go compiles its library first
QUERY_PROGRAMS = {
    "node": ("node", "query.js"),
    "PHP": ("php", "query.php"),
    "Rack": ("ruby", "query.rb"),
    "Go": ("go", "run", "read.go", "query"),
}
FORM_PROGRAMS = {"busboy": ("node", "form.js"), "Go": ("go", "run", "read.go", "form")}
PROBES = {"Rack": ("ruby", "-e", 'require "rack"'), "busboy": ("node", "-e", 'require("busboy")')}


def coded(*pieces: bytes) -> str:
    return " ".join(base64.b64encode(piece).decode() for piece in pieces)


def read_by(name: str, command: Sequence[str], lines: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return what a program makes of each line. Skips where the program, or what it needs, is absent."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    probe = PROBES.get(name)
    if (
        probe is not None
        and subprocess.run(probe, capture_output=True, check=False, timeout=PATIENCE).returncode
    ):
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        command,
        input="".join(line + "\n" for line in lines),
        capture_output=True,
        cwd=PROGRAMS,
        env=os.environ | {"GO111MODULE": "off"},
        check=True,
        text=True,
        timeout=PATIENCE,
    )
    found = [[(key, value) for key, value in json.loads(line)] for line in done.stdout.splitlines()]
    assert len(found) == len(lines)
    return found


def accepted_queries(count: int) -> list[bytes]:
    random = Random(3)  # noqa: S311 - the same queries each time
    made = (params.generated(random) for _ in range(count))
    return [query for query in made if params.judged(query) is not None]


def accepted_bodies(count: int) -> list[tuple[bytes, bytes]]:
    random = Random(4)  # noqa: S311 - the same bodies each time
    made = (multipart.generated(random) for _ in range(count))
    return [each for each in made if not isinstance(multipart.judged(*each), Rejection)]


@pytest.mark.parametrize("name", QUERY_PROGRAMS)
def test_no_program_sees_a_name_in_a_query_that_camguard_does_not(name: str) -> None:
    queries = accepted_queries(20_000)
    assert len(queries) > 3000
    found = read_by(name, QUERY_PROGRAMS[name], [coded(query) for query in queries])
    for query, pairs in zip(queries, found, strict=True):
        assert params.differences(query, pairs) == [], query


@pytest.mark.parametrize("name", ["PHP", "Rack", "Go"])
def test_the_rules_that_are_written_down_are_those_of_the_program(name: str) -> None:
    """Each name of which a program makes a deciding one, the rules make one of, too."""
    random = Random(5)  # noqa: S311 - the same queries each time
    queries = [query for query in (params.generated(random) for _ in range(5000)) if b"&" not in query]
    found = read_by(name, QUERY_PROGRAMS[name], [coded(query) for query in queries])
    for query, pairs in zip(queries, found, strict=True):
        ours = {plainest(key) for key, _ in QUERY_READERS[name](query)}
        theirs = {plainest(key) for key, _ in pairs}
        assert theirs & set(multipart.DECIDING) <= ours, query


@pytest.mark.parametrize("name", FORM_PROGRAMS)
def test_no_program_sees_a_field_of_a_body_that_camguard_does_not(name: str) -> None:
    bodies = accepted_bodies(10_000)
    assert len(bodies) > 1000
    found = read_by(name, FORM_PROGRAMS[name], [coded(*each) for each in bodies])
    assert any(found)
    for (kind, body), pairs in zip(bodies, found, strict=True):
        fields = multipart.judged(kind, body)
        assert not isinstance(fields, Rejection)
        assert multipart.differences(fields, pairs) == [], (kind, body)


def test_php_sees_no_field_of_a_body_that_camguard_does_not() -> None:
    if shutil.which("php") is None:
        pytest.skip("php is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ("php", "-d", "display_errors=0", "-S", f"127.0.0.1:{port}", "form.php")
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=PROGRAMS, stdout=quiet, stderr=quiet) as server:
        try:
            compared = 0
            for kind, body in accepted_bodies(10_000):
                pairs = posted(port, kind, body)
                fields = multipart.judged(kind, body)
                assert not isinstance(fields, Rejection)
                assert multipart.differences(fields, pairs) == [], (kind, body)
                compared += bool(pairs)
        finally:
            server.terminate()
    assert compared > 500


def posted(port: int, kind: bytes, body: bytes) -> list[tuple[str, str]]:
    """Return what PHP's server finds in a body; it is given a minute to begin."""
    for _ in range(600):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/", body, {"Content-Type": kind.decode("latin-1")})
            return [(key, value) for key, value in json.loads(connection.getresponse().read())]
        except ConnectionRefusedError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("PHP's server did not begin")
