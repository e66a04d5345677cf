"""People with accounts in a workspace that browsers reach."""

from contextlib import closing

from playwright.sync_api import Page

from app.config import Workspace
from app.domain.roles import Role
from app.services.local_actor import command_line_actor
from app.services.people import open_people
from app.services.people_types import Origin
from app.storage.database import open_store

PASSWORD = "four words in a row"


def add_people(workspace: Workspace, **roles: Role) -> None:
    """Accounts by name, all with the same password."""
    with closing(open_store(workspace)) as store:
        people = open_people(store)
        for name, role in roles.items():
            ticket = people.accounts.create(command_line_actor(), name, role)
            people.invitations.take(ticket.token, PASSWORD, Origin("command line"))


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fill the form in that is shown, by keyboard alone."""
    page.get_by_label("Name").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
