"""Who may reach the application, and from where: this machine only, our own pages only, bounded bodies."""

import asyncio
from typing import Any

import pytest

from app.config import Reach, is_loopback
from app.web.security import MAX_BODY_BYTES, BodyTooLargeError, Guard, refuse

HOST = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("localhost", True), ("LOCALHOST", True), ("::1", True), ("[::1]", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("127.0.0.1.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_only_loopback_may_be_listened_on(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        pytest.param("GET", {}, 421, id="no host"),
        pytest.param("GET", {"host": "evil.example"}, 421, id="rebound name"),
        pytest.param("GET", {"host": "127.0.0.1.evil.example:7860"}, 421, id="name that starts like ours"),
        pytest.param("GET", {"host": "[::1"}, 421, id="broken address"),
        pytest.param("POST", {**HOST, "origin": "https://evil.example"}, 403, id="foreign page"),
        pytest.param("POST", {**HOST, "origin": "http://127.0.0.1:9999"}, 403, id="another port"),
        pytest.param("POST", {**HOST, "origin": "null"}, 403, id="sandboxed page"),
        pytest.param("POST", {**HOST, "sec-fetch-site": "cross-site"}, 403, id="cross-site without origin"),
        pytest.param("DELETE", {**HOST, "origin": "https://evil.example"}, 403, id="every writing method"),
        pytest.param("POST", {**HOST, "cookie": "a=b"}, 403, id="a browser that names no page"),
        pytest.param("POST", {**HOST, "origin": "https://127.0.0.1:7860"}, 403, id="another scheme"),
        pytest.param("POST", {**HOST, "content-length": str(MAX_BODY_BYTES + 1)}, 413, id="too large"),
        pytest.param("POST", {**HOST, "content-length": "-5"}, 413, id="negative length"),
    ],
)
def test_request_is_refused(method: str, headers: dict[str, str], status: int) -> None:
    refusal = refuse(method, headers, Reach())
    assert refusal is not None and refusal[0] == status


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        pytest.param("GET", HOST, id="reading"),
        pytest.param("GET", {"host": "localhost"}, id="without a port"),
        pytest.param("GET", {"host": "[::1]:7860"}, id="version 6"),
        pytest.param("POST", {**HOST, "origin": "http://127.0.0.1:7860"}, id="our own page"),
        pytest.param("POST", {**HOST, "content-length": "10"}, id="a program that is no browser"),
    ],
)
def test_request_is_served(method: str, headers: dict[str, str]) -> None:
    assert refuse(method, headers, Reach()) is None


def test_body_without_declared_length_is_counted_while_it_arrives() -> None:
    pieces = iter([b"x" * (MAX_BODY_BYTES // 2 + 1)] * 3)

    async def read_everything(_scope: Any, receive: Any, _send: Any) -> None:
        while True:
            await receive()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    async def send(_message: Any) -> None: ...

    scope = {"type": "http", "method": "POST", "path": "/api/decisions", "headers": [(b"host", b"localhost")]}
    with pytest.raises(BodyTooLargeError, match="larger than 32 MiB"):
        asyncio.run(Guard(read_everything, Reach())(scope, receive, send))
