"""Sending requests and reading answers, for all groups of calls."""

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from datasets.files import replace_atomically

Json = dict[str, Any]

_BINARY = "application/octet-stream"
_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.5
"""Doubles with every attempt: a server that restarts is back within seconds."""


class ApiError(RuntimeError):
    """The server refused; the message is its sentence.

    Attributes:
        status: the HTTP status, 0 when the server could not be reached.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 408, 429) or self.status >= 500


class Connection:
    """Requests to one server. Not to be shared between threads."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self.session = f"client-{secrets.token_hex(8)}"

    def operation(self) -> Json:
        """The id of a new operation, under which the server stores it once, and the name of this client."""
        return {"op_id": secrets.token_hex(16), "session": self.session}

    def get(self, path: str, query: Mapping[str, Any] | None = None, **places: Any) -> Json:  # noqa: ANN401
        """A JSON answer; `places` are the parts of the path that stand in braces."""
        return dict(self._send("GET", path, query=query, **places).json())

    def post(self, path: str, body: Mapping[str, Any] | bytes | None, **places: Any) -> Json:  # noqa: ANN401
        """A JSON answer to a JSON body or a binary frame."""
        sent = {"content": body, "headers": {"Content-Type": _BINARY}} if isinstance(body, bytes) else {"json": body}
        return dict(self._send("POST", path, sent=sent, **places).json())

    def read(self, path: str, query: Mapping[str, Any] | None = None, **places: Any) -> bytes:  # noqa: ANN401
        """The body of an answer that is no JSON."""
        return self._send("GET", path, query=query, **places).content

    def save(self, file_path: Path, path: str, query: Mapping[str, Any] | None = None, **places: Any) -> None:  # noqa: ANN401
        """Write the body of an answer to a file, which appears when it is complete."""
        request = self._http.stream("GET", _filled(path, places), params=_given(query))
        with request as answer:
            if answer.is_error:
                answer.read()
            _checked(answer)
            with replace_atomically(file_path) as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        sent: Mapping[str, Any] | None = None,
        **places: Any,  # noqa: ANN401 - parts of the path
    ) -> httpx.Response:
        """Send once, and again after failures that pass: operations carry ids, so the server counts them once."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(_ATTEMPTS):
            try:
                return self._try(method, _filled(path, places), _given(query), sent or {})
            except ApiError as error:
                if not error.is_temporary or attempt == _ATTEMPTS - 1 or not _may_repeat(method, sent):
                    raise
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _try(self, method: str, path: str, query: Json, sent: Mapping[str, Any]) -> httpx.Response:
        try:
            answer = self._http.request(method, path, params=query, **sent)
        except httpx.TransportError as error:
            raise ApiError(
                f"{self._http.base_url} cannot be reached ({error}); is pixelsieve review running?", 0
            ) from error
        return _checked(answer)


def _filled(path: str, places: Mapping[str, Any]) -> str:
    """A path with its parts in place, each quoted so that it stays one part."""
    return path.format(**{name: quote(str(value), safe="") for name, value in places.items()})


def _given(query: Mapping[str, Any] | None) -> Json:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _may_repeat(method: str, sent: Mapping[str, Any] | None) -> bool:
    """Reading, and operations with an id; starting a job twice would start two."""
    body = (sent or {}).get("json")
    return method == "GET" or "content" in (sent or {}) or (isinstance(body, dict) and "op_id" in body)


def _checked(answer: httpx.Response) -> httpx.Response:
    if not answer.is_error:
        return answer
    try:
        sentence = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"the server answered {answer.status_code}"
    raise ApiError(sentence, answer.status_code)
