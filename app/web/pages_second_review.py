"""The second review page: what somebody did not know, and what people asked."""

from app.web.context import WebContext
from app.web.overview import second_review
from app.web.pages_panels import panel


def build_second_review_page(context: WebContext) -> None:
    """Lay out the page."""
    panel("panels/second_review.js", lambda: second_review(context), elem_id="second-review")
