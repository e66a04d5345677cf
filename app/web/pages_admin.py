"""The admin page: a place for panels/admin.js. Everything else goes through the HTTP API."""

from app.web.context import WebContext
from app.web.pages_panels import panel


def build_admin_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("panels/admin.js", elem_id="admin")
