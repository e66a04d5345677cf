"""Every page of the application, found in the application itself: a new one is tested without being told."""

from dataclasses import dataclass

from fastapi.routing import APIRoute
from playwright.sync_api import Page

from app.web.form_routes import router
from app.web.pages import PAGES


@dataclass(frozen=True)
class Address:
    """A page and how to know that it is drawn.

    Attributes:
        name: for file names and test ids.
        path: below the application's address.
        drawn: selector of what appears last.
    """

    name: str
    path: str
    drawn: str


_DRAWN = {
    "/": "#summary .pp",
    "/queue": "#queue .pp",
    "/review": "#reviewer .ps[data-hydrated]",
    "/second-review": "#second-review .pp",
    "/models": "#models .pp[data-drawn]",
    "/threshold": "#threshold .pp[data-drawn]",
    "/export": "#exports .pp",
}
"""By path, where more than the head of the page has to be there."""


def every_page() -> list[Address]:
    """In the order of the navigation bar."""
    return [
        Address(
            page.name.lower().replace(" ", "-"), page.path,
            _DRAWN.get(page.path, "#workspace.pp h1, #workspace .pp h1"),
        )
        for page in PAGES
    ]  # fmt: skip


def every_form() -> list[str]:
    """Paths of the pages without scripts: signing in, one's own account."""
    routes = [route for route in router.routes if isinstance(route, APIRoute) and "GET" in route.methods]
    return [route.path for route in routes if not route.path.startswith("/static/")]


def open_address(page: Page, url: str, address: Address) -> None:
    """Go there and wait until the scripts have drawn it and the pictures are there."""
    page.goto(url + address.path)
    page.wait_for_selector(address.drawn, state="attached")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.ps-panel')].every(({ childElementCount: drawn }) => drawn > 0)"
    )
