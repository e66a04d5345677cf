"""Signing in and out, taking an invitation, making the first account, and one's own account, as plain forms."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import FileResponse, RedirectResponse
from starlette.responses import Response

from app.domain.roles import Permission
from app.services.people_types import Origin, PeopleError, SignInRefusedError, TooManyAttemptsError
from app.services.sign_ins import SignedIn
from app.web.context import Context, CurrentActor, WebContext, requires
from app.web.errors import ForbiddenError, answer_to
from app.web.forms import STYLE, own_path, page
from app.web.identity import Identity, SessionCookie
from app.web.rules import public

Typed = Annotated[str, Form(max_length=1024)]
_USE = [requires(Permission.USE)]

FORM_RULES = (
    public("/login", "GET", "POST"),
    public("/join", "GET", "POST"),
    public("/setup", "GET", "POST"),
    public("/static/forms.css", "GET"),
)
"""What everybody reaches who has not signed in; next to the health check the only such addresses."""


def from_own_page(request: Request) -> None:
    """Signing in needs a browser that names the page: nobody is to be signed in as somebody else by another site.

    Raises:
        ForbiddenError: neither Origin nor Sec-Fetch-Site is there. Foreign ones were refused before (security.py).
    """
    if "origin" not in request.headers and "sec-fetch-site" not in request.headers:
        raise ForbiddenError("forms are sent from Pixelsieve's own pages only; programs use a token instead")


def get_identity(request: Request) -> Identity:
    """Whose request it is, and through which session."""
    identity: Identity = request.state.identity
    return identity


def get_origin(request: Request) -> Origin:
    """Where the request comes from."""
    origin: Origin = request.state.origin
    return origin


Here = Annotated[Identity, Depends(get_identity)]
From = Annotated[Origin, Depends(get_origin)]
_OWN_PAGE = [Depends(from_own_page)]

router = APIRouter(include_in_schema=False)


@router.get("/static/forms.css")
def style() -> FileResponse:
    """The look of the forms."""
    return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "no-cache"})


@router.get("/login")
def login_page(request: Request, context: Context, here: Here, next: str = "/") -> Response:  # noqa: A002
    """The form, or the page that was asked for when nobody needs to sign in."""
    wanted = own_path(next)
    if here.actor.role is not None:
        return RedirectResponse(wanted, 303)
    if request.headers.get("sec-fetch-site") == "cross-site":
        # A link on another site: the browser kept the session's cookie back. From our own page it sends it.
        return page("elsewhere.html", address=f"/login?{urlencode({'next': wanted})}")
    if not context.people.accounts.exist():
        return RedirectResponse("/setup", 303)
    return page("login.html", next=wanted, name="")


@router.post("/login", dependencies=_OWN_PAGE)
def sign_in(
    request: Request,
    context: Context,
    origin: From,
    name: Typed = "",
    password: Typed = "",
    next: Typed = "/",  # noqa: A002
) -> Response:
    """Sign in and go where the person wanted to."""
    try:
        token = context.people.sign_ins.sign_in(name, password, origin)
    except (SignInRefusedError, TooManyAttemptsError) as error:
        return _again(error, "login.html", next=own_path(next), name=name)
    return _signed_in(request, token, own_path(next))


@router.post("/logout", dependencies=_USE)
def sign_out(request: Request, context: Context, here: Here) -> Response:
    """End this session. What the browser could not send yet stays in it, for the same person only."""
    if here.sign_in_id is not None:
        context.people.sign_ins.sign_out(SignedIn(here.actor, here.sign_in_id))
    response = RedirectResponse("/login", 303, headers={"Clear-Site-Data": '"cache"'})
    _cookie(request).clear(response)
    return response


@router.get("/join")
def join_page(context: Context, origin: From, token: str = "") -> Response:
    """Where an invitation leads."""
    try:
        name = context.people.invitations.name_of(token, origin)
    except (SignInRefusedError, TooManyAttemptsError) as error:
        return _again(error, "join.html", name=None, token="")
    if name is None:
        return RedirectResponse(f"/setup?{urlencode({'token': token})}", 303)
    return page("join.html", name=name, token=token)


@router.post("/join", dependencies=_OWN_PAGE)
def join(
    request: Request, context: Context, origin: From, token: Typed = "", password: Typed = "", again: Typed = ""
) -> Response:
    """Choose the password that an invitation asks for, and sign in."""
    name: str | None = None
    try:
        name = context.people.invitations.name_of(token, origin)
        _check_same(password, again)
        context.people.invitations.take(token, password, origin)
    except (SignInRefusedError, TooManyAttemptsError, PeopleError) as error:
        is_usable = isinstance(error, PeopleError)
        return _again(error, "join.html", name=name if is_usable else None, token=token if is_usable else "")
    return _signed_in(request, context.people.sign_ins.sign_in(name or "", password, origin), "/")


@router.get("/setup")
def setup_page(context: Context, token: str = "") -> Response:
    """Where the first lead's account is made."""
    if context.people.accounts.exist():
        return RedirectResponse("/login", 303)
    return page("setup.html", token=token, name="")


@router.post("/setup", dependencies=_OWN_PAGE)
def setup(
    request: Request,
    context: Context,
    origin: From,
    token: Typed = "",
    name: Typed = "",
    password: Typed = "",
    again: Typed = "",
) -> Response:
    """Make the first lead's account with the one-time token, and sign in."""
    try:
        _check_same(password, again)
        lead = context.people.invitations.take(token.strip(), password, origin, name)
    except (SignInRefusedError, TooManyAttemptsError, PeopleError) as error:
        return _again(error, "setup.html", token=token, name=name)
    return _signed_in(request, context.people.sign_ins.sign_in(lead, password, origin), "/")


@router.get("/account", dependencies=_USE)
def account_page(request: Request, context: Context, here: Here) -> Response:
    """One's own sessions, tokens and password."""
    return _account(context, here)


@router.post("/account/password", dependencies=_USE)
def change_password(
    context: Context, actor: CurrentActor, here: Here, old: Typed = "", password: Typed = "", again: Typed = ""
) -> Response:
    """Choose another password."""
    try:
        _check_same(password, again)
        context.people.accounts.change_password(actor, old, password, here.sign_in_id)
    except (PeopleError, TooManyAttemptsError) as error:
        return _account(context, here, error=error)
    return _account(context, here, done="Your password is changed, and your other sessions have ended.")


@router.post("/account/sessions/{session_id}/end", dependencies=_USE)
def end_session(context: Context, actor: CurrentActor, here: Here, session_id: int) -> Response:
    """Sign out another browser of one's own."""
    context.people.sign_ins.end(actor, session_id, only_own=True)
    return _account(context, here, done="That session has ended.")


@router.post("/account/tokens", dependencies=_USE)
def make_token(context: Context, actor: CurrentActor, here: Here, name: Typed = "") -> Response:
    """A token for scripts, shown once. Whoever found a token makes no second one with it."""
    require_session(here)
    try:
        token = context.people.tokens.make(actor, actor.name, name)
    except PeopleError as error:
        return _account(context, here, error=error)
    return _account(context, here, token=token)


@router.post("/account/tokens/{token_id}/revoke", dependencies=_USE)
def revoke_token(context: Context, actor: CurrentActor, here: Here, token_id: int) -> Response:
    """Let a token of one's own stop working."""
    context.people.tokens.revoke(actor, token_id, only_own=True)
    return _account(context, here, done="That token does not work any more.")


def _account(
    context: WebContext, here: Identity, error: Exception | None = None, done: str | None = None, token: str = ""
) -> Response:
    require_session(here)
    shown: dict[str, Any] = {
        "name": here.actor.name,
        "role": here.actor.role,
        "here": here.sign_in_id,
        "sessions": context.people.sign_ins.sessions(here.actor.name),
        "tokens": context.people.tokens.tokens(here.actor.name),
        "token": token,
        "done": done,
    }
    return page("account.html", **shown) if error is None else _again(error, "account.html", **shown)


def require_session(here: Identity) -> None:
    """Refuse what only a signed-in browser may do, so that a token that was found opens no more doors.

    Raises:
        ForbiddenError: the request came with a token, or there are no accounts.
    """
    if here.sign_in_id is None:
        raise ForbiddenError("there are no accounts here, or this request came with a token; open this page signed in")


def _again(error: Exception, template: str, **values: object) -> Response:
    """The form once more, with what was wrong."""
    answer = answer_to(error)
    shown = page(template, answer.status_code, **{**values, "error": f"{str(error)[:1].upper()}{str(error)[1:]}."})
    if "retry-after" in answer.headers:
        shown.headers["Retry-After"] = answer.headers["retry-after"]
    return shown


def _check_same(password: str, again: str) -> None:
    if password != again:
        raise PeopleError("the two passwords differ; type the same one twice")


def _cookie(request: Request) -> SessionCookie:
    cookie: SessionCookie = request.app.state.cookie
    return cookie


def _signed_in(request: Request, token: str, where: str) -> Response:
    response = RedirectResponse(where, 303)
    _cookie(request).write(response, token)
    return response
