"""One's own account; and for leads everybody's, and the audit log."""

from typing import Any

from app.client.connection import Connection, Json


class PeopleCalls:
    """Accounts, roles, sessions, tokens and the audit log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def me(self) -> Json:
        """Who the server takes this client for, and what that person may do."""
        return self._connection.get("/api/me")

    def change_password(self, old: str, new: str) -> None:
        """Choose another password. Only from a session, not with a token."""
        self._connection.post("/api/me/password", {"old": old, "new": new})

    def own_sessions(self) -> list[Json]:
        """Where the person is signed in."""
        return list(self._connection.get("/api/me/sessions")["sessions"])

    def end_own_session(self, session_id: int) -> None:
        """Sign another browser of one's own out."""
        self._connection.post("/api/me/sessions/{session_id}/end", None, session_id=session_id)

    def own_tokens(self) -> list[Json]:
        """One's own tokens, without their secrets."""
        return list(self._connection.get("/api/me/tokens")["tokens"])

    def make_token(self, name: str) -> str:
        """A new token; shown this once. Only from a session, not with a token."""
        return str(self._connection.post("/api/me/tokens", {"name": name})["token"])

    def revoke_own_token(self, token_id: int) -> None:
        """Let a token of one's own stop working."""
        self._connection.post("/api/me/tokens/{token_id}/revoke", None, token_id=token_id)

    def people(self) -> list[Json]:
        """All accounts by name."""
        return list(self._connection.get("/api/people")["people"])

    def invite(self, name: str, role: str) -> Json:
        """Make an account; `path` is the link with which its person chooses a password."""
        return self._connection.post("/api/people", {"name": name, "role": role})

    def set_role(self, name: str, role: str) -> None:
        """Give a person another role."""
        self._connection.post("/api/people/{name}/role", {"role": role}, name=name)

    def disable(self, name: str) -> None:
        """Lock a person out at once."""
        self._connection.post("/api/people/{name}/disable", None, name=name)

    def enable(self, name: str) -> None:
        """Let a person sign in again."""
        self._connection.post("/api/people/{name}/enable", None, name=name)

    def reset(self, name: str) -> Json:
        """Take a person's password away; `path` is the link for choosing a new one."""
        return self._connection.post("/api/people/{name}/reset", None, name=name)

    def end_sessions(self, name: str) -> int:
        """Sign a person out everywhere; how many sessions there were."""
        return int(self._connection.post("/api/people/{name}/end-sessions", None, name=name)["ended"])

    def sessions(self) -> list[Json]:
        """Everybody who is signed in."""
        return list(self._connection.get("/api/sessions")["sessions"])

    def end_session(self, session_id: int) -> None:
        """Sign one browser out."""
        self._connection.post("/api/sessions/{session_id}/end", None, session_id=session_id)

    def tokens(self) -> list[Json]:
        """Everybody's tokens, without their secrets."""
        return list(self._connection.get("/api/tokens")["tokens"])

    def revoke_token(self, token_id: int) -> None:
        """Let somebody's token stop working."""
        self._connection.post("/api/tokens/{token_id}/revoke", None, token_id=token_id)

    def audit(self, **filters: Any) -> list[Json]:  # noqa: ANN401 - query values
        """Entries of the audit log, newest first; filters are actor, action, target, since, until, before_id, limit."""
        return list(self._connection.get("/api/audit", query=filters)["entries"])

    def audit_actions(self) -> list[str]:
        """The words for what is written down."""
        return list(self._connection.get("/api/audit/actions")["actions"])

    def audit_table(self, **filters: Any) -> bytes:  # noqa: ANN401 - query values
        """The same as CSV; filters are actor, action, target, since and until."""
        return self._connection.read("/api/audit.csv", query=filters)
