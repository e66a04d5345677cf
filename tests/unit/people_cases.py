"""A store with people in it, and a clock that tests set."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.config import Workspace
from app.domain.roles import Actor, Role
from app.services.accounts import AccountService
from app.services.api_tokens import ApiTokens
from app.services.invitations import Invitations
from app.services.people_types import Origin
from app.services.sign_ins import SignIns
from app.storage.database import Store, open_store

HERE = Origin("10.0.0.3", "Firefox")
PASSWORD = "four words in a row"
OPERATOR = Actor("root (command line)", Role.LEAD)


class SetClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **distance: float) -> None:
        self.now += timedelta(**distance)


class Team:
    """All services about people over one store and one clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = SetClock()
        self.accounts = AccountService(store, self.clock)
        self.invitations = Invitations(store, self.clock)
        self.sign_ins = SignIns(store, self.clock)
        self.tokens = ApiTokens(store, self.clock)

    def add(self, name: str, role: Role, password: str = PASSWORD) -> Actor:
        """A person who has chosen a password."""
        ticket = self.accounts.create(OPERATOR, name, role)
        self.invitations.take(ticket.token, password, HERE)
        return Actor(name, role)


def make_team(root: Path) -> Team:
    """Ann leads, ben annotates."""
    team = Team(open_store(Workspace(root / "workspace"), create=True))
    team.add("ann", Role.LEAD)
    team.add("ben", Role.ANNOTATOR)
    return team
