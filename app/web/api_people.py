"""One's own account; and for leads everybody's: people, roles, sessions, tokens, the audit log."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, Field

from app.domain.audit import AuditAction
from app.domain.roles import Permission, Role, permits
from app.services.audit import AuditFilter, list_entries, to_csv
from app.services.people_types import Ticket
from app.web.bodies import Body
from app.web.context import Context, CurrentActor, requires
from app.web.form_routes import Here, require_session

_USE = [requires(Permission.USE)]
_ADMINISTER = [requires(Permission.ADMINISTER)]

Moment = Annotated[AwareDatetime | None, Query(description="ISO 8601 with a time zone.")]
AuditLimit = Annotated[int, Query(ge=1, le=10_000)]

router = APIRouter()


class NewPersonBody(Body):
    """Who is invited, and as what."""

    name: str = Field(max_length=256)
    role: Annotated[Role, Field(strict=False)]


class RoleBody(Body):
    """What a person becomes."""

    role: Annotated[Role, Field(strict=False)]


class TokenBody(Body):
    """What a new token is for."""

    name: str = Field(max_length=256)


class PasswordBody(Body):
    """The present password and the new one."""

    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


@router.get("/me", dependencies=_USE)
def me(actor: CurrentActor) -> dict[str, Any]:
    """Who is asking, and what that person may do."""
    allowed = sorted(permission.value for permission in Permission if permits(actor.role, permission))
    return {"name": actor.name, "role": actor.role, "permissions": allowed}


@router.post("/me/password", dependencies=_USE)
def change_password(context: Context, actor: CurrentActor, here: Here, body: PasswordBody) -> dict[str, Any]:
    """Choose another password; all other sessions of the person end."""
    require_session(here)
    context.people.accounts.change_password(actor, body.old, body.new, here.sign_in_id)
    return {"changed": True}


@router.get("/me/sessions", dependencies=_USE)
def own_sessions(context: Context, actor: CurrentActor, here: Here) -> dict[str, Any]:
    """Where the person is signed in; `current` is the session of this request, if it has one."""
    found = context.people.sign_ins.sessions(actor.name)
    return {"sessions": [session.to_json() for session in found], "current": here.sign_in_id}


@router.post("/me/sessions/{session_id}/end", dependencies=_USE)
def end_own_session(context: Context, actor: CurrentActor, session_id: int) -> dict[str, Any]:
    """Sign another browser of one's own out."""
    context.people.sign_ins.end(actor, session_id, only_own=True)
    return {"ended": session_id}


@router.get("/me/tokens", dependencies=_USE)
def own_tokens(context: Context, actor: CurrentActor) -> dict[str, Any]:
    """The person's tokens for scripts, without their secrets."""
    return {"tokens": [token.to_json() for token in context.people.tokens.tokens(actor.name)]}


@router.post("/me/tokens", status_code=201, dependencies=_USE)
def make_token(context: Context, actor: CurrentActor, here: Here, body: TokenBody) -> dict[str, str]:
    """A new token; its secret is in this answer and nowhere else. Not for requests that come with a token."""
    require_session(here)
    return {"token": context.people.tokens.make(actor, actor.name, body.name)}


@router.post("/me/tokens/{token_id}/revoke", dependencies=_USE)
def revoke_own_token(context: Context, actor: CurrentActor, token_id: int) -> dict[str, Any]:
    """Let a token of one's own stop working."""
    context.people.tokens.revoke(actor, token_id, only_own=True)
    return {"revoked": token_id}


@router.get("/people", dependencies=_ADMINISTER)
def people(context: Context) -> dict[str, Any]:
    """All accounts by name."""
    return {"people": [person.to_json() for person in context.people.accounts.people()]}


@router.post("/people", status_code=201, dependencies=_ADMINISTER)
def invite(context: Context, actor: CurrentActor, body: NewPersonBody) -> dict[str, Any]:
    """Make an account; the answer has the link, once, with which its person chooses a password."""
    return _link(context.people.accounts.create(actor, body.name, body.role))


@router.post("/people/{name}/role", dependencies=_ADMINISTER)
def set_role(context: Context, actor: CurrentActor, name: str, body: RoleBody) -> dict[str, Any]:
    """Give a person another role; it counts from their next request on."""
    context.people.accounts.set_role(actor, name, body.role)
    return people(context)


@router.post("/people/{name}/disable", dependencies=_ADMINISTER)
def disable(context: Context, actor: CurrentActor, name: str) -> dict[str, Any]:
    """Lock a person out at once: sessions, tokens and links end."""
    context.people.accounts.disable(actor, name)
    return people(context)


@router.post("/people/{name}/enable", dependencies=_ADMINISTER)
def enable(context: Context, actor: CurrentActor, name: str) -> dict[str, Any]:
    """Let a person sign in again who was locked out."""
    context.people.accounts.enable(actor, name)
    return people(context)


@router.post("/people/{name}/reset", dependencies=_ADMINISTER)
def reset(context: Context, actor: CurrentActor, name: str) -> dict[str, Any]:
    """Take a person's password, sessions and tokens away; the answer has the link for choosing a new password."""
    return _link(context.people.accounts.reset(actor, name))


@router.post("/people/{name}/end-sessions", dependencies=_ADMINISTER)
def end_sessions(context: Context, actor: CurrentActor, name: str) -> dict[str, Any]:
    """Sign a person out everywhere."""
    return {"ended": context.people.sign_ins.end_all(actor, name)}


@router.get("/sessions", dependencies=_ADMINISTER)
def sessions(context: Context) -> dict[str, Any]:
    """Everybody who is signed in, and where."""
    return {"sessions": [session.to_json() for session in context.people.sign_ins.sessions()]}


@router.post("/sessions/{session_id}/end", dependencies=_ADMINISTER)
def end_session(context: Context, actor: CurrentActor, session_id: int) -> dict[str, Any]:
    """Sign one browser out."""
    context.people.sign_ins.end(actor, session_id, only_own=False)
    return {"ended": session_id}


@router.get("/tokens", dependencies=_ADMINISTER)
def tokens(context: Context) -> dict[str, Any]:
    """Everybody's tokens for scripts, without their secrets."""
    return {"tokens": [token.to_json() for token in context.people.tokens.tokens()]}


@router.post("/tokens/{token_id}/revoke", dependencies=_ADMINISTER)
def revoke_token(context: Context, actor: CurrentActor, token_id: int) -> dict[str, Any]:
    """Let somebody's token stop working."""
    context.people.tokens.revoke(actor, token_id, only_own=False)
    return {"revoked": token_id}


@router.get("/audit", dependencies=_ADMINISTER)
def audit(
    context: Context,
    actor: str | None = None,
    action: AuditAction | None = None,
    target: str | None = None,
    since: Moment = None,
    until: Moment = None,
    before_id: int | None = None,
    limit: AuditLimit = 100,
) -> dict[str, Any]:
    """Entries of the audit log, newest first."""
    filters = AuditFilter(actor, action, target, since, until, before_id)
    return {"entries": [row.to_json() for row in list_entries(context.store, filters, limit)]}


@router.get("/audit/actions", dependencies=_ADMINISTER)
def audit_actions() -> dict[str, list[str]]:
    """The words for what is written down, for filters."""
    return {"actions": sorted(action.value for action in AuditAction)}


@router.get("/audit.csv", dependencies=_ADMINISTER)
def audit_table(
    context: Context,
    actor: str | None = None,
    action: AuditAction | None = None,
    target: str | None = None,
    since: Moment = None,
    until: Moment = None,
) -> Response:
    """The latest 100,000 entries of the audit log as a table that is safe to open in a spreadsheet."""
    rows = list_entries(context.store, AuditFilter(actor, action, target, since, until), 100_000)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return Response(to_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)


def _link(ticket: Ticket) -> dict[str, Any]:
    """Where the person goes, below this server's address."""
    return {"name": ticket.name, "path": f"/join?token={ticket.token}", "expires_at": ticket.expires_at.isoformat()}
