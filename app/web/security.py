"""What every request and answer passes: only this machine, only our own pages, bounded bodies, strict headers.

There are no accounts yet, so the application trusts whoever reaches it. That is sound only while nobody else does:
it listens on loopback, refuses other Host names (a page elsewhere may point its own name at 127.0.0.1) and refuses
writing requests that come from other pages.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import is_loopback

MAX_BODY_BYTES = 32 * 1024 * 1024
"""A drawing over a whole 100-megapixel image stays below; nothing larger is ever sent to us."""
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_PAGE_POLICY = (
    # Gradio evaluates its HTML components' code (needs unsafe-eval) and its page starts with inline code.
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class BodyTooLargeError(ValueError):
    """A request sent more than `MAX_BODY_BYTES`."""


class Guard:
    """ASGI layer around the whole application, Gradio's pages included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with a sentence, or pass it on with counted body and extra headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        secured = _with_headers(send, _API_POLICY if scope["path"].startswith("/api") else _PAGE_POLICY)
        refusal = refuse(scope["method"], headers)
        if refusal is None:
            await self._app(scope, _counted(receive), secured)
        else:
            status, sentence = refusal
            await JSONResponse({"error": sentence}, status)(scope, receive, secured)


def refuse(method: str, headers: dict[str, str]) -> tuple[int, str] | None:
    """Status and sentence when a request must not be served; None when it may."""
    host = headers.get("host", "")
    if not is_loopback(_host_name(host)):
        return 421, f"this server answers only on this machine's own names, not as {host!r}; open http://127.0.0.1"
    if method not in READING_METHODS and not _is_own_page(headers, host):
        return 403, "this request comes from another site's page; nothing was changed. Use Pixelsieve's own pages"
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return 413, f"the request is larger than {MAX_BODY_BYTES // 2**20} MiB; nothing was changed"
    return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_own_page(headers: dict[str, str], host: str) -> bool:
    """Browsers name the page a writing request comes from; programs that are no browser name none."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin in (f"http://{host}", f"https://{host}")


def _counted(receive: Receive) -> Receive:
    """Bodies without a declared length are counted while they arrive."""
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"the request is larger than {MAX_BODY_BYTES // 2**20} MiB; nothing was changed")
        return message

    return receive_counted


def _with_headers(send: Send, policy: str) -> Send:
    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {"Content-Security-Policy": policy, **_HEADERS}
            message["headers"] = [*_without(message["headers"], ours), *_encoded(ours)]
        await send(message)

    return send_secured


def _without(headers: Iterable[Any], names: dict[str, str]) -> list[Any]:
    replaced = {name.lower().encode() for name in names} | {b"server", b"access-control-allow-origin"}
    return [(name, value) for name, value in headers if name.lower() not in replaced]


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
