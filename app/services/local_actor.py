"""The person who runs the program: on the command line, and in the browser as long as there are no accounts."""

import getpass

from app.domain.roles import Actor, Role


def local_actor() -> Actor:
    """Whoever started this process owns the workspace's files, and may therefore do everything."""
    return Actor(_user_name(), Role.LEAD)


def command_line_actor() -> Actor:
    """The same person, told apart in the audit log from somebody who signed in under that name."""
    return Actor(f"{_user_name()} (command line)", Role.LEAD)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user id without a name.
        return "local"
