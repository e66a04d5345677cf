"""Puts API, static files and pages together, and serves them: on loopback, or with accounts where others reach it."""

import logging
import threading
import webbrowser

import uvicorn
from fastapi import FastAPI

from app.config import LOCAL, ON_LOOPBACK, ListenOn, Reach, Workspace
from app.services.people import require_accounts
from app.web.api import create_api
from app.web.listening import listen
from app.web.memory import give_back_large_arrays, keep_what_was_loaded
from app.web.pages import PAGES, mount_pages
from app.web.rules import FRAME_RULES, page_rules
from app.web.static_files import serve_static_files
from app.web.streams import EventStreams, Server

logger = logging.getLogger(__name__)


def create_app(workspace: Workspace, queue_url: str | None = None, reach: Reach = LOCAL) -> FastAPI:
    """The whole application over one workspace: API, static files, pages.

    Args:
        queue_url: see `app.services.queueing.open_queue`.
        reach: from where people reach it.

    Raises:
        StoreError: there is no workspace, or its store cannot be used.
    """
    app = create_api(workspace, queue_url, reach)
    serve_static_files(app)
    app.state.rules += [*FRAME_RULES, *page_rules((page.path, page.permission) for page in PAGES)]
    return mount_pages(app, app.state.context)


def serve(
    workspace: Workspace, listen_on: ListenOn = ON_LOOPBACK, open_browser: bool = False, queue_url: str | None = None
) -> None:
    """Serve until interrupted.

    Raises:
        ValueError: others would reach it and there are no accounts, or the port is taken.
        StoreError: see `create_app`.
    """
    give_back_large_arrays()
    listener = listen(listen_on.host, listen_on.port)
    app = create_app(workspace, queue_url, listen_on.reach)
    try:
        require_accounts(app.state.context.people, listen_on.host, listen_on.reach.is_local)
    except ValueError:
        listener.close()
        app.state.context.store.close()
        raise
    address = _address(listen_on, listener.getsockname()[1])
    print(f"Pixelsieve serves {workspace.root} at {address} (Ctrl+C stops it)", flush=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    streams = EventStreams(app)
    keep_what_was_loaded()
    config = uvicorn.Config(
        streams,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # The gate believes one named proxy; uvicorn would believe any on this machine.
        timeout_graceful_shutdown=2,
        ssl_certfile=listen_on.certificate,
        ssl_keyfile=listen_on.key,
    )
    Server(config, streams).run(sockets=[listener])


def _address(listen_on: ListenOn, port: int) -> str:
    scheme = "https" if listen_on.certificate is not None else "http"
    host = f"[{listen_on.host}]" if ":" in listen_on.host.strip("[]") else listen_on.host
    return f"{scheme}://{host}:{port}"
