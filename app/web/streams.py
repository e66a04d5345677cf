"""Event streams that end when the server stops: a page that is shown keeps some open for as long."""

import asyncio
import socket

import uvicorn
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STREAM = "text/event-stream"


class EventStreams:
    """Passes requests on and knows which of them are answered by a stream of events."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; a stream that `end` stops is completed as if there were no more events."""
        task = asyncio.current_task()
        assert task is not None, "servers answer each request in a task"

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_stream(message):
                self._open.add(task)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                self._open.discard(task)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            if task in self._open:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._open.discard(task)
            self._ended.discard(task)

    def end(self) -> None:
        """Stop all streams; requests that are being answered otherwise go on."""
        self._ended |= self._open
        for task in self._open:
            task.cancel()


class Server(uvicorn.Server):
    """Ends event streams before it waits for requests, which would otherwise be cut off with a traceback each."""

    def __init__(self, config: uvicorn.Config, streams: EventStreams) -> None:
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests and let those that were taken be answered."""
        self._streams.end()
        await super().shutdown(sockets)


def _is_stream(start: Message) -> bool:
    return Headers(raw=list(start["headers"])).get("content-type", "").startswith(_STREAM)
