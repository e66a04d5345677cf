"""The Gradio application: four pages with one navigation bar, mounted into the FastAPI application."""

import os
import warnings

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Read at import: no request may leave this machine.

import gradio as gr  # noqa: E402
from fastapi import FastAPI  # noqa: E402

from app.web.context import WebContext  # noqa: E402
from app.web.pages_export import build_export_page  # noqa: E402
from app.web.pages_queue import build_queue_page  # noqa: E402
from app.web.pages_reviewer import build_reviewer_page  # noqa: E402
from app.web.pages_rounds import build_rounds_page  # noqa: E402

_HEAD = """
<link rel="stylesheet" href="/static/panels/panels.css">
<link rel="stylesheet" href="/static/reviewer/reviewer.css">
"""
_MAX_UPLOAD = "1mb"  # No page takes files.


def build_pages(context: WebContext) -> gr.Blocks:
    """All pages. Rounds is the home page."""
    with gr.Blocks(title="Pixelsieve", fill_width=True, analytics_enabled=False) as pages:
        build_rounds_page(context)
    for name, path, build in (
        ("Queue", "/queue", build_queue_page),
        ("Review", "/review", build_reviewer_page),
        ("Export", "/export", build_export_page),
    ):
        with pages.route(name, path):
            build(context)
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
    """Neutral surfaces and one accent; fonts of the system, so that nothing is fetched."""
    return gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
