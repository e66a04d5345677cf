"""The home page: where the project stands, the one next action, the next round, and the jobs."""

from typing import Any

import gradio as gr

from app.domain.presets import WORKSPACE_PRESETS
from app.domain.roles import Permission
from app.services.explorer_folder import read_links
from app.web.context import WebContext
from app.web.overview import summary
from app.web.pages_listeners import allowed, may
from app.web.pages_panels import (
    ACTION,
    POLL_SECONDS,
    REFRESH,
    listed_jobs,
    on_job_pick,
    panel,
    show_to,
    submit_job,
)

_OWN_PRESET = "the workspace's own"


def build_rounds_page(context: WebContext) -> None:
    """Lay out the page and wire its events."""
    overview = panel("panels/summary.js", lambda: _summary(context), elem_id="summary")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300) as training:
            _lay_out_training(context, overview)
        with gr.Column(scale=2, min_width=420):
            _lay_out_jobs(context, overview)
    show_to(Permission.RUN_JOBS, training)


def _summary(context: WebContext) -> dict[str, Any]:
    """The one next action has a button for those only who may do it."""
    found = summary(context)
    if found["next"]["action"] and not may(Permission.RUN_JOBS):
        found["next"] |= {"label": None, "action": None}
    return found


def _lay_out_training(context: WebContext, overview: gr.HTML) -> None:
    gr.Markdown("### Next round")
    preset = gr.Dropdown(
        [_OWN_PRESET, *WORKSPACE_PRESETS], value=_OWN_PRESET, label="Preset", elem_id="preset",
        info="The workspace's own fits this machine; docs/training.md describes the others.",
    )  # fmt: skip
    scratch = gr.Checkbox(False, label="Start from scratch instead of the current model", elem_id="from-scratch")
    train = gr.Button("Train the next round", variant="primary", elem_id="train")
    predict = gr.Button("Predict proposals again", elem_id="predict")
    explore = gr.Button("Bring FiftyOne up to date", elem_id="explore", visible=False)

    @allowed(Permission.RUN_JOBS)
    def start_training(chosen: str, from_scratch: bool) -> None:
        own = None if chosen == _OWN_PRESET else chosen
        submit_job(context, "round", {"preset": own, "from_scratch": from_scratch})

    @allowed(Permission.RUN_JOBS)
    def start_prediction() -> None:
        submit_job(context, "predict", {})

    @allowed(Permission.RUN_JOBS)
    def start_sync() -> None:
        submit_job(context, "explore", {})

    @allowed(Permission.RUN_JOBS)
    def start_next(chosen: str, from_scratch: bool, event: gr.EventData) -> None:
        if event.action == "predict":
            start_prediction()
        elif event.action == "train":
            start_training(chosen, from_scratch)

    train.click(start_training, [preset, scratch], None, **ACTION)
    predict.click(start_prediction, None, None, **ACTION)
    explore.click(start_sync, None, None, **ACTION)
    gr.on(None, lambda: gr.update(visible=read_links(context.workspace) is not None), None, explore, **REFRESH)
    overview.pick(start_next, [preset, scratch], None, **ACTION)


def _lay_out_jobs(context: WebContext, overview: gr.HTML) -> None:
    gr.Markdown("### Jobs")
    jobs = panel("panels/jobs.js", lambda: listed_jobs(context, None), elem_id="jobs")
    shown_log = gr.State(None)
    jobs.pick(on_job_pick(context), [shown_log], [shown_log], **ACTION)

    def refresh(log_of: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        return _summary(context), listed_jobs(context, log_of)

    gr.Timer(POLL_SECONDS).tick(refresh, [shown_log], [overview, jobs], **REFRESH)
