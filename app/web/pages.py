"""The Gradio application: pages with one navigation bar, mounted into the FastAPI application."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Read at import: no request may leave this machine.

import gradio as gr  # noqa: E402
from fastapi import FastAPI  # noqa: E402

from app.domain.roles import Permission  # noqa: E402
from app.web.context import WebContext  # noqa: E402
from app.web.pages_admin import build_admin_page  # noqa: E402
from app.web.pages_export import build_export_page  # noqa: E402
from app.web.pages_listeners import guard_listeners  # noqa: E402
from app.web.pages_models import build_models_page  # noqa: E402
from app.web.pages_panels import navigation  # noqa: E402
from app.web.pages_quality import build_quality_page  # noqa: E402
from app.web.pages_queue import build_queue_page  # noqa: E402
from app.web.pages_reviewer import build_reviewer_page  # noqa: E402
from app.web.pages_rounds import build_rounds_page  # noqa: E402
from app.web.pages_second_review import build_second_review_page  # noqa: E402
from app.web.pages_threshold import build_threshold_page  # noqa: E402
from app.web.static_files import static_address  # noqa: E402

_HEAD = f"""
<link rel="stylesheet" href="{static_address("panels/panels.css")}">
<link rel="stylesheet" href="{static_address("reviewer/reviewer.css")}">
<script type="module" src="{static_address("panels/theme.js")}"></script>
"""
_MAX_UPLOAD = "1mb"  # No page takes files.


@dataclass(frozen=True)
class Page:
    """One page: its name in the navigation bar, its address, what it asks for, and what lays it out."""

    name: str
    path: str
    permission: Permission
    build: Callable[[WebContext], None]


PAGES = (
    Page("Rounds", "/", Permission.SEE_MODELS, build_rounds_page),
    Page("Queue", "/queue", Permission.REVIEW, build_queue_page),
    Page("Review", "/review", Permission.REVIEW, build_reviewer_page),
    Page("Second review", "/second-review", Permission.SECOND_REVIEW, build_second_review_page),
    Page("Models", "/models", Permission.SEE_MODELS, build_models_page),
    Page("Threshold", "/threshold", Permission.RUN_JOBS, build_threshold_page),
    Page("Quality", "/quality", Permission.REVIEW, build_quality_page),
    Page("Export", "/export", Permission.EXPORT, build_export_page),
    Page("Admin", "/admin", Permission.ADMINISTER, build_admin_page),
)
"""In the order of the navigation bar. The first one is the home page."""


def build_pages(context: WebContext) -> gr.Blocks:
    """All pages, each listener behind its permission."""
    home, *others = PAGES
    permission_of_path = {page.path: page.permission for page in PAGES}
    with gr.Blocks(title="Pixelsieve", fill_width=True, analytics_enabled=False) as pages:
        navigation(context, permission_of_path)
        home.build(context)
    for page in others:
        with pages.route(page.name, page.path):
            navigation(context, permission_of_path)
            page.build(context)
    guard_listeners(pages, {path.strip("/"): permission for path, permission in permission_of_path.items()})
    return pages  # type: ignore[no-any-return]  # Gradio's stubs type a context manager as Any.


def mount_pages(app: FastAPI, context: WebContext) -> FastAPI:
    """The application with the pages at "/"; routes that exist already come first."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode is not supported", UserWarning)  # Said although we switch it off.
        mounted: FastAPI = gr.mount_gradio_app(
            app,
            build_pages(context),
            path="/",
            theme=_theme(),
            head=_HEAD,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            max_file_size=_MAX_UPLOAD,
        )
    return mounted


def _theme() -> gr.themes.Base:
    """Neutral surfaces and one accent; fonts of the system, so that nothing is fetched.

    Where Soft's own shades stay below the contrast of 4.5 that WCAG 2.2 asks for (1.4.3), darker ones of the same hues.
    """
    theme = gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return theme.set(
        background_fill_primary="*neutral_50",  # As Soft has it; set() forgets it.
        body_text_color_subdued="*neutral_600",
        block_title_text_color="*primary_700",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
    )
