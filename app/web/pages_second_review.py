"""The second review page: what somebody did not know, and what people asked."""

from app.domain.roles import Permission
from app.web.context import WebContext
from app.web.overview import second_review
from app.web.pages_listeners import may
from app.web.pages_panels import panel


def build_second_review_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("panels/second_review.js", lambda: second_review(context, may(Permission.ASSIGN)), elem_id="second-review")
