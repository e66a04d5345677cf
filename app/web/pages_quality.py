"""The quality page: a place for panels/quality.js. Everything else goes through the HTTP API."""

from app.web.context import WebContext
from app.web.pages_panels import panel


def build_quality_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("panels/quality.js", elem_id="quality")
