"""The services about people, opened together."""

from dataclasses import dataclass

from app.config import is_loopback
from app.services.accounts import AccountService
from app.services.api_tokens import ApiTokens
from app.services.invitations import Invitations
from app.services.sign_ins import SignIns
from app.storage.database import Store


@dataclass(frozen=True)
class People:
    """Accounts, links, sessions and tokens of one workspace."""

    accounts: AccountService
    invitations: Invitations
    sign_ins: SignIns
    tokens: ApiTokens


def open_people(store: Store) -> People:
    """All of them over one store."""
    return People(AccountService(store), Invitations(store), SignIns(store), ApiTokens(store))


def require_accounts(people: People, host: str, is_local: bool) -> None:
    """Refuse to let others reach a server on which everybody could do everything.

    Args:
        people: of the workspace that is to be served.
        host: what the server listens on.
        is_local: no other name leads to it, and no proxy.

    Raises:
        ValueError: says which commands make accounts, and how to do without.
    """
    if (is_loopback(host) and is_local) or people.accounts.exist():
        return
    raise ValueError(
        f"refusing to listen on {host} for others: there are no accounts yet, so everybody could change "
        "labels. Make the first one: pixelsieve users add NAME --role lead --set-password -w WORKSPACE. Or stay on "
        "127.0.0.1, with an SSH tunnel from another machine: ssh -L 7860:127.0.0.1:7860 HOST"
    )
