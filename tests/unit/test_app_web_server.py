"""Serving: on loopback, or with accounts."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from app.config import Workspace, make_reach
from app.domain.roles import Role
from app.services.local_actor import command_line_actor
from app.services.people import open_people, require_accounts
from app.storage.database import open_store
from app.web.server import listen


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org"])
def test_without_accounts_nobody_else_may_reach_the_server(tmp_path: Path, host: str) -> None:
    with closing(open_store(Workspace(tmp_path), create=True)) as store:
        with pytest.raises(ValueError, match=r"refusing to listen on .*no accounts yet.*pixelsieve users add"):
            require_accounts(open_people(store), host, is_local=True)


def test_a_proxy_before_loopback_lets_others_in_too(tmp_path: Path) -> None:
    with closing(open_store(Workspace(tmp_path), create=True)) as store:
        reach = make_reach("127.0.0.1", [], "127.0.0.1", has_certificate=False)
        with pytest.raises(ValueError, match="no accounts yet"):
            require_accounts(open_people(store), "127.0.0.1", reach.is_local)


def test_with_an_account_others_may_reach_the_server(tmp_path: Path) -> None:
    with closing(open_store(Workspace(tmp_path), create=True)) as store:
        people = open_people(store)
        people.accounts.create(command_line_actor(), "lee", Role.LEAD)
        require_accounts(people, "0.0.0.0", is_local=False)


def test_a_server_on_every_address_needs_a_name() -> None:
    with pytest.raises(ValueError, match="say under which name people reach it"):
        make_reach("0.0.0.0", [], None, has_certificate=True)


@pytest.mark.parametrize("name", ["https://a.example", "a.example/x", "a.example:80", "a_b.example", ""])
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no (host name|network address)"):
        make_reach("127.0.0.1", [name], None, has_certificate=False)


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
