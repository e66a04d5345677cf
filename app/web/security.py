"""What every request and answer passes: only our own names, only our own pages, bounded bodies, strict headers.

A page elsewhere may point its own name at this server, and any page may send requests to it from a browser whose person
is signed in here. So other Host names are refused, and so are writing requests that come from other pages. Who may do
what is decided behind this (gate.py).
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import Reach

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
    "Referrer-Policy": "same-origin",  # With "no-referrer" browsers name our own forms' pages "null".
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_MAY_BE_STRICTER = frozenset({"content-security-policy"})
"""What an answer may have said itself: the plain forms allow less than the pages."""
_HTTPS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}


class BodyTooLargeError(ValueError):
    """A request sent more than `MAX_BODY_BYTES`."""


class Guard:
    """ASGI layer around the whole application, Gradio's pages included."""

    def __init__(self, app: ASGIApp, reach: Reach) -> None:
        self._app = app
        self._reach = reach
        self._headers = {**_HEADERS, **(_HTTPS_HEADERS if reach.is_https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request with a sentence, or pass it on with counted body and extra headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        policy = _API_POLICY if scope["path"].startswith("/api") else _PAGE_POLICY
        secured = _with_headers(send, {"Content-Security-Policy": policy, **self._headers})
        refusal = refuse(scope["method"], headers, self._reach)
        if refusal is None:
            await self._app(scope, _counted(receive), secured)
        else:
            status, sentence = refusal
            await JSONResponse({"error": sentence}, status)(scope, receive, secured)


def refuse(method: str, headers: dict[str, str], reach: Reach) -> tuple[int, str] | None:
    """Status and sentence when a request must not be served; None when it may."""
    host = headers.get("host", "")
    if not reach.answers_as(_host_name(host)):
        names = ", ".join(sorted(reach.hosts)) or "this machine's own names"
        return 421, f"this server answers as {names}, not as {host!r}; to add a name: --allowed-host"
    if method not in READING_METHODS and not _is_own_page(headers, host, reach.is_https):
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


def _is_own_page(headers: dict[str, str], host: str, is_https: bool) -> bool:
    """Browsers name the page that a writing request comes from; programs name none, and send no cookie."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and site is None:
        return "cookie" not in headers
    if site not in (None, "same-origin", "none"):
        return False
    return origin is None or origin.lower() == f"{'https' if is_https else 'http'}://{host.lower()}"


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


def _with_headers(send: Send, ours: dict[str, str]) -> Send:
    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.decode("latin-1").lower() for name, _ in message["headers"]} & _MAY_BE_STRICTER
            added = {name: value for name, value in ours.items() if name.lower() not in own}
            message["headers"] = [*_without(message["headers"], added), *_encoded(added)]
        await send(message)

    return send_secured


def _without(headers: Iterable[Any], names: dict[str, str]) -> list[Any]:
    replaced = {name.lower().encode() for name in names} | {b"server", b"access-control-allow-origin"}
    return [(name, value) for name, value in headers if name.lower() not in replaced]


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
