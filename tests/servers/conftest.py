"""Each server in turn, over the shipped company."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import camguard
from tests.servers.serving import SERVERS, Running, installed, serving


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped company, which trusts loopback as a proxy that names callers."""
    path = tmp_path_factory.mktemp("servers") / "config"
    camguard("init", str(path)).check_returncode()
    return path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.heavy if server.heavy else ())
        for name, server in SERVERS.items()
    ],
)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Running]:
    """Each server in turn."""
    found = SERVERS[request.param]
    if not installed(found):
        pytest.skip(f"{request.param} is not installed")
    with serving(found, folder) as port:
        yield Running(request.param, port, found.versions)
