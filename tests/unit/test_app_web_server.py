"""Serving: on loopback or not at all."""

import socket
from pathlib import Path

import pytest

from app.config import Workspace
from app.web.server import listen, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org"])
def test_listening_beyond_this_machine_is_refused_before_anything_opens(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError, match=r"refusing to listen on .*no accounts yet"):
        serve(Workspace(tmp_path / "none"), host=host)
    assert not (tmp_path / "none").exists()


def test_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} on 127.0.0.1 cannot be used .* choose another: --port"):
            listen("127.0.0.1", port)


def test_answers_are_not_held_back_by_nagles_algorithm() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
