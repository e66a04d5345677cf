"""The review application in a process of its own, as people run it, for benchmarks that talk to it."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from app.config import Workspace

START_S = 120
_SERVE = (
    "import sys; from pathlib import Path; from app.config import ListenOn, Workspace;"
    "from app.web.server import serve;"
    "serve(Workspace(Path(sys.argv[1])), ListenOn(port=0))"
)


@dataclass(frozen=True)
class Served:
    """A server that answers at `url`; `pid` is its process."""

    url: str
    pid: int


@contextmanager
def served(workspace: Workspace) -> Iterator[Served]:
    """A server over a workspace on a free loopback port, stopped at the end.

    Raises:
        RuntimeError: it does not start; holds its output.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-c", _SERVE, str(workspace.root)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield Served(_address(server, log), server.pid)
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen[bytes], log: IO[str]) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        log.seek(0)
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read())
        if found:
            return found.group()
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the server did not start:\n{log.read()}")
