"""A server of the HTTP API in a process of its own, which tests may kill, starve and cut off."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from app.config import Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60.0
SERVE = """
import resource, socket, sys
from pathlib import Path
import uvicorn
from app.config import Workspace
from app.web.api import create_api
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[2])))
print("port", listener.getsockname()[1], flush=True)
app = create_api(Workspace(Path(sys.argv[1])))
uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)).run(sockets=[listener])
"""


class ApiServer:
    """One server process after the other, all on the same port."""

    def __init__(self, workspace: Workspace, log: Path, file_limit: int | None = None) -> None:
        """`file_limit`: no file may grow beyond so many bytes, as on a disk that is full."""
        self._command = [sys.executable, "-c", SERVE, str(workspace.root)]
        self._more = [] if file_limit is None else [str(file_limit)]
        self._log = log
        self._port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and wait until the health check answers."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        with self._log.open("ab") as log:
            command = [*self._command, str(self._port), *self._more]
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        found = re.match(r"port (\d+)", self.process.stdout.readline())
        assert found is not None, self._log.read_text()
        self._port = int(found[1])
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return
            assert self.process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator["ApiServer"]:
        """Started, and gone at the end."""
        try:
            self.start()
            yield self
        finally:
            self.kill()


def skip_of(view: dict[str, Any], op_id: str, tab: str) -> dict[str, Any]:
    """The body of a decision that may be sent any number of times with other ids."""
    row = view["row"]
    return {
        "op_id": op_id, "kind": "skip", "session": tab, "image_id": row["image_id"], "region_id": row["region_id"],
        "image_version": view["image_version"],
    }  # fmt: skip
