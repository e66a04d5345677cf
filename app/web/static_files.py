"""Our scripts and styles, and Gradio's: under addresses that change with them, so that browsers keep them for good.

A page consists of some hundred small files. A browser that asked about each one would let people wait for a hundred
answers of the server whenever a page opens.
"""

import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HERE = Path(__file__).parent
_FOLDERS = "reviewer", "panels"
_KEEP = "private, max-age=31536000, immutable"  # Private: who has not signed in is not served them.
_GRADIO_NAME = re.compile(r"/assets/.+-[\w-]{8}\.\w+")
"""Gradio's build names its files by what they hold."""


def _version() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for folder in _FOLDERS for path in (_HERE / folder).rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_HERE).as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


VERSION = _version()
"""Of all files of ours together, as they were when the server started: modules import each other by relative names."""


def static_address(path: str) -> str:
    """Where a file of app/web is served, for example `reviewer/main.js`."""
    return f"/static/{VERSION}/{path}"


class _OurFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file. A tab that is older than the server gets the present one, and asks again next time."""
        response = await super().get_response(path, scope)
        is_current = scope["path_params"].get("version") == VERSION
        response.headers["Cache-Control"] = _KEEP if is_current else "no-cache"
        return response


class _KeptAssets:
    """ASGI layer that lets browsers keep Gradio's files."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_asset = scope["type"] == "http" and _GRADIO_NAME.fullmatch(scope["path"]) is not None

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message)["Cache-Control"] = _KEEP
            await send(message)

        await self._app(scope, receive, kept if is_asset else send)


def serve_static_files(app: FastAPI) -> None:
    """Add our files to an application, and let browsers keep all."""
    for folder in _FOLDERS:
        app.mount(f"/static/{{version}}/{folder}", _OurFiles(directory=_HERE / folder))
    app.add_middleware(_KeptAssets)
