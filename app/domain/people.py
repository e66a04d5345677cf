"""Rules for names and passwords, and which account may be switched off."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.roles import Role

MIN_PASSWORD_LENGTH = 12
"""Characters. OWASP Application Security Verification Standard 4.0.3, 2.1.1."""
MAX_PASSWORD_LENGTH = 256
"""Longer ones are refused, so that nobody makes the server hash a megabyte."""
MIN_DISTINCT = 5
"""Different characters that a password holds at least; chosen by us against "aaaaaaaaaaaa"."""
MAX_NAME_LENGTH = 64

_SIGNS = frozenset("._-@+")


@dataclass(frozen=True)
class Member:
    """What the rules about switching accounts off need to know of one account."""

    name: str
    role: Role
    is_active: bool


class LastLeadError(ValueError):
    """Without this person nobody could manage accounts any more. Nothing was changed."""


def normalize_name(text: str) -> str:
    """The one spelling of a person's name: composed, in small letters, without spaces around it.

    Raises:
        ValueError: empty, too long, or with characters that are neither letters, digits nor one of . _ - @ +.
    """
    name = unicodedata.normalize("NFKC", text).strip().casefold()
    name = unicodedata.normalize("NFKC", name)  # Folding the case may decompose.
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise ValueError(f"a name needs 1-{MAX_NAME_LENGTH} characters, got {len(name)}")
    wrong = sorted({character for character in name if not (character.isalnum() or character in _SIGNS)})
    if wrong or not name[0].isalnum():
        raise ValueError(f"a name starts with a letter or digit and holds letters, digits and . _ - @ +; got {name!r}")
    return name


def check_password(password: str, name: str) -> str:
    """The password as it is hashed; the same keys on another keyboard may send other code points.

    Args:
        password: as typed.
        name: whose it is; the password must not be the name.

    Raises:
        ValueError: too short, too long, too simple or the name itself.
    """
    normalized = normalize_password(password)
    if not MIN_PASSWORD_LENGTH <= len(normalized) <= MAX_PASSWORD_LENGTH:
        raise ValueError(
            f"a password needs {MIN_PASSWORD_LENGTH}-{MAX_PASSWORD_LENGTH} characters, this one has {len(normalized)}; "
            "several words in a row are easy to remember"
        )
    if len(set(normalized)) < MIN_DISTINCT:
        raise ValueError(f"this password has fewer than {MIN_DISTINCT} different characters; choose another one")
    if normalized.casefold() == name:
        raise ValueError("the password must not be the name; choose another one")
    return normalized


def normalize_password(password: str) -> str:
    """Composed code points (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def check_lead_stays(members: Iterable[Member], name: str) -> None:
    """Refuse to disable or demote the last lead who can sign in.

    Args:
        members: all accounts as they are now.
        name: who is to be disabled or to get another role.

    Raises:
        LastLeadError: there is no other one.
    """
    leads = {member.name for member in members if member.role is Role.LEAD and member.is_active}
    if leads == {name}:
        raise LastLeadError(
            f"{name} is the only lead who can sign in; make somebody else a lead first. Nothing was changed"
        )
