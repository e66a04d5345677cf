"""The models page: a place for panels/models.js. Everything else goes through the HTTP API."""

from app.web.context import WebContext
from app.web.pages_panels import panel


def build_models_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("panels/models.js", elem_id="models")
