"""The reviewer page: the place where reviewer/main.js puts its canvas. Everything else goes through the HTTP API."""

from app.web.context import WebContext
from app.web.pages_panels import panel


def build_reviewer_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("reviewer/main.js", elem_id="reviewer")
