"""Stopping the server while pages are open."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from app.web.listening import listen
from app.web.streams import EventStreams, Server


async def events() -> AsyncIterator[str]:
    """A first event, and then a page that stays open."""
    yield "data: one\n\n"
    await asyncio.Event().wait()


def test_open_streams_end_with_the_server_without_a_word_and_slow_answers_arrive(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, asked, stopping = FastAPI(), threading.Event(), threading.Event()

    @app.get("/events")
    async def stream() -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    @app.get("/slow")
    def slow() -> str:
        asked.set()
        assert stopping.wait(10)
        return "saved"

    streams = EventStreams(app)
    listener = listen("127.0.0.1", 0)
    server = Server(uvicorn.Config(streams, log_level="warning", timeout_graceful_shutdown=5), streams)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{address}/slow", timeout=10)))
    with caplog.at_level(logging.WARNING), httpx.stream("GET", f"{address}/events", timeout=10) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: one"
        asking.start()
        assert asked.wait(10)
        server.should_exit = True
        assert [line for line in lines if line] == []  # It ends although no event said so.
        stopping.set()
        asking.join(10)
        thread.join(10)
    assert not thread.is_alive() and [found.json() for found in answers] == ["saved"]
    assert caplog.records == []
