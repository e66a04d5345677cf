"""The export page: labels as COCO, made by a background job, downloaded as one file."""

from datetime import datetime
from typing import Any

import gradio as gr

from app.domain.exporting import SELECTIONS
from app.domain.roles import Permission
from app.domain.states import JobKind
from app.web.context import WebContext
from app.web.overview import export_list
from app.web.pages_listeners import allowed
from app.web.pages_panels import (
    ACTION,
    POLL_SECONDS,
    REFRESH,
    listed_jobs,
    on_job_pick,
    on_load,
    panel,
    submit_job,
)

_WHICH = [(f"{name.capitalize()}: {what}", name) for name, what in SELECTIONS.items()]
_KINDS = frozenset({JobKind.COCO})


def build_export_page(context: WebContext) -> None:
    """Lay out the page and wire its events."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=320):
            gr.Markdown("## Export labels as COCO")
            which = gr.Radio(_WHICH, value="reviewed", label="Images", elem_id="which")
            name = gr.Textbox(label="Name", elem_id="export-name", max_length=64,
                              info="Letters (a-z), digits, - and _; starts with a letter or a digit.")  # fmt: skip
            on_load(_suggested_name, name)
            start = gr.Button("Export", variant="primary", elem_id="start-export")
        with gr.Column(scale=2, min_width=420):
            gr.Markdown("## Finished exports")
            finished = panel("panels/exports.js", lambda: export_list(context), elem_id="exports")
            gr.Markdown("## Export jobs")
            jobs = panel("panels/jobs.js", lambda: listed_jobs(context, None, _KINDS), elem_id="jobs")
    shown_log = gr.State(None)

    @allowed(Permission.EXPORT)
    def export(chosen: str, folder: str) -> str:
        submit_job(context, "coco", {"name": folder.strip(), "which": chosen})
        return _suggested_name()

    def refresh(log_of: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        return export_list(context), listed_jobs(context, log_of, _KINDS)

    start.click(export, [which, name], [name], **ACTION)
    jobs.pick(on_job_pick(context), [shown_log], [shown_log], **ACTION)
    gr.Timer(POLL_SECONDS).tick(refresh, [shown_log], [finished, jobs], **REFRESH)


def _suggested_name() -> str:
    return datetime.now().strftime("coco-%Y%m%d-%H%M%S")
