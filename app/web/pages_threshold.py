"""The threshold page: a place for panels/threshold.js. Everything else goes through the HTTP API."""

from app.web.context import WebContext
from app.web.pages_panels import panel


def build_threshold_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("panels/threshold.js", elem_id="threshold")
