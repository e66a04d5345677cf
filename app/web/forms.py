"""Plain HTML pages without any script: signing in, choosing a password, one's own account, and refusals."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from app.domain.people import MIN_PASSWORD_LENGTH
from app.domain.roles import Actor

TEMPLATES = Path(__file__).parent / "templates"
STYLE = TEMPLATES / "forms.css"

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_HEADINGS = {403: "Not for your role", 404: "There is no such page", 405: "Not possible here"}
_AFTER_SIGN_IN = "/"
_NEVER_NEXT = ("/login", "/logout", "/join", "/setup", "/api/")

_templates = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - what the template shows
    """One page; every value is escaped. It may hold a secret, so nothing keeps it."""
    shown = {"error": None, "done": None, "min_length": MIN_PASSWORD_LENGTH, **values}
    return HTMLResponse(_templates.get_template(template).render(shown), status, headers=_HEADERS)


def refusal_page(refusal: Response, actor: Actor) -> HTMLResponse:
    """What the gate says, for a person in front of a browser."""
    sentence = json.loads(bytes(refusal.body))["error"]
    heading = _HEADINGS.get(refusal.status_code, "Refused")
    return page("refused.html", refusal.status_code, heading=heading, error=sentence, name=actor.name)


def own_path(text: str) -> str:
    """Where to go after signing in: a path on this server, whatever a link asked for; else the start page."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable() or "\\" in text:
        return _AFTER_SIGN_IN
    try:
        parts = urlsplit(text)
    except ValueError:
        return _AFTER_SIGN_IN
    is_own = not parts.scheme and not parts.netloc and not parts.path.startswith(_NEVER_NEXT)
    return text if is_own else _AFTER_SIGN_IN
