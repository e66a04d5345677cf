"""FiftyOne's own application, behind the guard of ours: this machine, this page, this workspace's files, nobody else.

FiftyOne has no accounts, asks for fonts from elsewhere, answers under every host name and sends any file that its
process may read. None of it gets through here.
"""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import Reach, is_loopback
from app.web.listening import listen
from app.web.security import Guard

_MEDIA = "/media"
"""Where FiftyOne sends files from; it takes the path of any."""


class WorkspaceFiles:
    """ASGI layer that lets FiftyOne send files below one folder only."""

    def __init__(self, app: ASGIApp, root: Path) -> None:
        self._app = app
        self._root = root.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] == "http" and scope["path"].rstrip("/") == _MEDIA and not self._is_ours(scope):
            sentence = f"only files of the workspace {self._root} are shown here"
            await JSONResponse({"error": sentence}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        paths = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("filepath", [])
        return bool(paths) and all(Path(path).resolve().is_relative_to(self._root) for path in paths)


def require_private(host: str, port: int) -> None:
    """Refuse to let others reach FiftyOne.

    Raises:
        ValueError: `host` is not loopback; says how to reach it from another machine.
    """
    if not is_loopback(host):
        raise ValueError(
            f"refusing to open FiftyOne on {host}: it has no accounts, and everybody would see and change the same "
            f"view. Use 127.0.0.1, and from another machine a tunnel (ssh -L {port}:127.0.0.1:{port} HOST) or a proxy "
            "that asks who is there"
        )


def reach_of(explorer_url: str) -> Reach:
    """Under which name people reach FiftyOne, through a proxy or not."""
    parts = urlsplit(explorer_url)
    hosts = frozenset(name for name in (parts.hostname or "",) if name and not is_loopback(name))
    return Reach(hosts, is_https=parts.scheme == "https")


def serve_explorer(fiftyone_app: ASGIApp, root: Path, reach: Reach, host: str, port: int, said: str) -> None:
    """Serve until interrupted.

    Args:
        fiftyone_app: FiftyOne's ASGI application.
        root: the workspace, whose files it may send.
        said: printed when it listens.

    Raises:
        ValueError: the port is taken.
    """
    listener = listen(host, port)
    print(said, flush=True)
    guarded = Guard(WorkspaceFiles(fiftyone_app, root), reach)
    config = uvicorn.Config(guarded, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])
