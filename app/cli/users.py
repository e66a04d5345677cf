"""`pixelsieve users`: accounts, their roles, sessions and tokens. Who runs it owns the workspace's files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.cli.console import Commands, WorkspaceOption, console, open_workspace
from app.config import Workspace
from app.domain.roles import Role
from app.services.explorer_folder import REVIEWER_URL, read_links
from app.services.local_actor import command_line_actor
from app.services.people import People, open_people
from app.services.people_types import Origin, Ticket

ON_THIS_MACHINE = Origin("command line")

users = typer.Typer(cls=Commands, no_args_is_help=True, help="Accounts: who may do what in the review app.")

Name = Annotated[str, typer.Argument(help="Name of an account.")]
ReviewerUrl = Annotated[
    str | None, typer.Option(help="Where people open Pixelsieve. Default: what pixelsieve explore sync was told.")
]


@users.command()
def setup(workspace: WorkspaceOption, reviewer_url: ReviewerUrl = None) -> None:
    """Print a link with which the first lead's account is made in the browser, once, within a day."""
    ticket = _people(workspace).invitations.make_admin_token(command_line_actor())
    console.print("Open this while the app runs, once:")
    _print_link(workspace, reviewer_url, f"/setup?token={ticket.token}")
    console.print(f"It works until {ticket.expires_at:%Y-%m-%d %H:%M} UTC. With an account, everybody has to sign in.")


@users.command()
def add(
    name: Name,
    workspace: WorkspaceOption,
    role: Annotated[Role, typer.Option(help="What the person may do; see docs/team.md.")] = Role.ANNOTATOR,
    set_password: Annotated[bool, typer.Option(help="Ask for the password here instead of printing a link.")] = False,
    reviewer_url: ReviewerUrl = None,
) -> None:
    """Make an account, and print the link with which its person chooses a password."""
    people = _people(workspace)
    ticket = people.accounts.create(command_line_actor(), name, role)
    _hand_out(workspace, people, ticket, set_password, reviewer_url)


@users.command()
def reset(
    name: Name,
    workspace: WorkspaceOption,
    set_password: Annotated[bool, typer.Option(help="Ask for the password here instead of printing a link.")] = False,
    reviewer_url: ReviewerUrl = None,
) -> None:
    """Take a person's password, sessions and tokens away, and print the link for a new password."""
    people = _people(workspace)
    ticket = people.accounts.reset(command_line_actor(), name)
    _hand_out(workspace, people, ticket, set_password, reviewer_url)


@users.command("list")
def list_users(workspace: WorkspaceOption) -> None:
    """List all accounts."""
    table = Table("name", "role", "state", "last active", box=None, header_style="bold")
    for person in _people(workspace).accounts.people():
        seen = "never" if person.seen_at is None else f"{person.seen_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(escape(person.name), person.role.value, person.state, seen)
    console.print(table)


@users.command()
def role(name: Name, role: Annotated[Role, typer.Argument(help="The new role.")], workspace: WorkspaceOption) -> None:
    """Give a person another role, from the next request on."""
    _people(workspace).accounts.set_role(command_line_actor(), name, role)
    console.print(f"{escape(name)} is {role.value} now.")


@users.command()
def disable(name: Name, workspace: WorkspaceOption) -> None:
    """Lock a person out at once. What they decided stays."""
    _people(workspace).accounts.disable(command_line_actor(), name)
    console.print(f"{escape(name)} cannot sign in any more; sessions, tokens and links have ended.")


@users.command()
def enable(name: Name, workspace: WorkspaceOption) -> None:
    """Let a disabled person sign in again."""
    _people(workspace).accounts.enable(command_line_actor(), name)
    console.print(f"{escape(name)} can sign in again.")


@users.command()
def token(
    name: Name, workspace: WorkspaceOption, purpose: Annotated[str, typer.Option("--for", help="What it is for.")]
) -> None:
    """Make a token with which a script acts as a person; printed this once."""
    made = _people(workspace).tokens.make(command_line_actor(), name, purpose)
    console.print(made, markup=False)


@users.command()
def sessions(
    workspace: WorkspaceOption,
    name: Annotated[str | None, typer.Argument(help="Name of an account; without it all.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End all sessions of this person.")] = False,
) -> None:
    """List who is signed in from where."""
    people = _people(workspace)
    if end:
        if name is None:
            raise ValueError("--end needs the name of an account")
        ended = people.sign_ins.end_all(command_line_actor(), name)
        console.print(f"{ended} sessions of {escape(name)} have ended.")
        return
    table = Table("name", "since", "last active", "from", box=None, header_style="bold")
    for session in people.sign_ins.sessions(name):
        times = (f"{moment:%Y-%m-%d %H:%M}" for moment in (session.created_at, session.seen_at))
        table.add_row(escape(session.name), *times, escape(session.address))
    console.print(table)


def _people(workspace: WorkspaceOption) -> People:
    store, _ = open_workspace(workspace)
    return open_people(store)


def _hand_out(workspace: Path, people: People, ticket: Ticket, set_password: bool, reviewer_url: str | None) -> None:
    if set_password:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        people.invitations.take(ticket.token, password, ON_THIS_MACHINE)
        console.print(f"{escape(ticket.name or '')} can sign in.")
        return
    console.print(f"Give {escape(ticket.name or '')} this link; it works once, while the app runs:")
    _print_link(workspace, reviewer_url, f"/join?token={ticket.token}")
    console.print(f"It works until {ticket.expires_at:%Y-%m-%d %H:%M} UTC.")


def _print_link(workspace: Path, reviewer_url: str | None, path: str) -> None:
    """Print an address of the app; where nobody said where it is, what to put before the path."""
    links = read_links(Workspace(workspace))
    known = reviewer_url or (None if links is None else links.reviewer_url)
    console.print(f"  {(known or '').rstrip('/')}{path}", markup=False)
    if known is None:
        console.print(
            f"Put before it where people open the app, for example {REVIEWER_URL}; --reviewer-url does that for you."
        )
