"""The tables of people: accounts, sessions, tokens, invitations, failed attempts, and who holds which image.

Secrets are never stored, only what is needed to recognize them: passwords as Argon2 hashes, random tokens as SHA-256.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.roles import Role
from app.storage.models import Base, UtcDateTime, utc_now, word

HASH_LENGTH = 64


class Account(Base):
    """One person. Never removed, because decisions and the audit log name it; `password_hash` None cannot sign in."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[Role] = mapped_column(word(Role, "role"))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SignIn(Base):
    """One session of a browser: who signed in where, until when it counts."""

    __tablename__ = "sign_in"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(255))


class ApiToken(Base):
    """A named key with which a person's scripts act as that person."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Invitation(Base):
    """A link that works once: with it a person chooses a password. Without an account it makes the first lead's."""

    __tablename__ = "invitation"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FailedAttempts(Base):
    """Wrong passwords or tokens in a row; `key` says for which name or from which address."""

    __tablename__ = "failed_attempts"

    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Lease(Base):
    """Who works on an image, in which tab. `beats` grows with every sign of life, so that no clock is compared."""

    __tablename__ = "lease"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(String(255))
    tab: Mapped[str] = mapped_column(String(255))
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)
    beats: Mapped[int]
