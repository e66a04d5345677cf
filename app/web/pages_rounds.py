"""The home page: where the project stands, the next round, its comparison with the current one, and the jobs."""

from typing import Any

import gradio as gr

from app.domain.roles import Permission
from app.services import rounds
from app.web.context import WebContext
from app.web.overview import PRESET_CHOICES, comparison, summary
from app.web.pages_listeners import allowed, may
from app.web.pages_panels import (
    ACTION,
    POLL_SECONDS,
    REFRESH,
    listed_jobs,
    navigation,
    on_job_pick,
    panel,
    show_to,
    shown_error,
    submit_job,
)

_OWN_PRESET = "the workspace's own"
_WHY_A_REASON = "Needed only when gold got worse or cannot be compared; kept with the model."


def build_rounds_page(context: WebContext) -> None:
    """Lay out the page and wire its events."""
    navigation(context)
    overview = panel("panels/summary.js", lambda: _summary(context), elem_id="summary")
    _lay_out_comparison(context)
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
        [_OWN_PRESET, *PRESET_CHOICES], value=_OWN_PRESET, label="Preset", elem_id="preset",
        info="How long and how large: see python -m training fit --help",
    )  # fmt: skip
    scratch = gr.Checkbox(False, label="Start from scratch instead of the current model", elem_id="from-scratch")
    train = gr.Button("Train the next round", variant="primary", elem_id="train")
    predict = gr.Button("Predict proposals again", elem_id="predict")

    @allowed(Permission.RUN_JOBS)
    def start_training(chosen: str, from_scratch: bool) -> None:
        own = None if chosen == _OWN_PRESET else chosen
        submit_job(context, "round", {"preset": own, "from_scratch": from_scratch})

    @allowed(Permission.RUN_JOBS)
    def start_prediction() -> None:
        submit_job(context, "predict", {})

    @allowed(Permission.RUN_JOBS)
    def start_next(chosen: str, from_scratch: bool, event: gr.EventData) -> None:
        if event.action == "predict":
            start_prediction()
        elif event.action == "train":
            start_training(chosen, from_scratch)

    train.click(start_training, [preset, scratch], None, **ACTION)
    predict.click(start_prediction, None, None, **ACTION)
    overview.pick(start_next, [preset, scratch], None, **ACTION)


def _lay_out_jobs(context: WebContext, overview: gr.HTML) -> None:
    gr.Markdown("### Jobs")
    jobs = panel("panels/jobs.js", lambda: listed_jobs(context, None), elem_id="jobs")
    shown_log = gr.State(None)
    jobs.pick(on_job_pick(context), [shown_log], [shown_log], **ACTION)

    def refresh(log_of: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        return _summary(context), listed_jobs(context, log_of)

    gr.Timer(POLL_SECONDS).tick(refresh, [shown_log], [overview, jobs], **REFRESH)


def _lay_out_comparison(context: WebContext) -> None:
    """Shown while a candidate waits. Replacing the current model takes a second click, and a reason if gold fell."""
    found = comparison(context)
    shown_id = gr.State(_candidate_id(found))
    with gr.Column(visible=bool(found), elem_id="comparison") as box:
        table = panel("panels/comparison.js", lambda: comparison(context))
        with gr.Row() as choices:
            promote = gr.Button("Promote this round…", variant="primary", elem_id="promote")
            discard = gr.Button("Discard this round…", elem_id="discard")
        with gr.Column(visible=False, elem_id="confirm-promote") as confirm_promote:
            reason = gr.Textbox("", label="Reason", info=_WHY_A_REASON, elem_id="reason", max_length=1000)
            with gr.Row():
                yes_promote = gr.Button("Yes, replace the current model", variant="stop", elem_id="yes-promote")
                no_promote = gr.Button("Keep the current model", elem_id="no-promote")
        with gr.Column(visible=False, elem_id="confirm-discard") as confirm_discard, gr.Row():
            yes_discard = gr.Button("Yes, discard the new round", variant="stop", elem_id="yes-discard")
            no_discard = gr.Button("Do not discard it", elem_id="no-discard")

    show_to(Permission.PROMOTE, choices)
    questions = [confirm_promote, confirm_discard]
    promote.click(_show(True, False), None, questions, **ACTION)
    discard.click(_show(False, True), None, questions, **ACTION)
    gr.on([no_promote.click, no_discard.click], _show(False, False), None, questions, **ACTION)

    @allowed(Permission.SEE_MODELS)
    def look(shown: int | None) -> tuple[Any, ...]:
        """Redraw only when another candidate appeared or this one is gone, so that a reason being typed stays."""
        now = comparison(context)
        if _candidate_id(now) == shown:
            return (gr.skip(),) * 6
        return gr.update(visible=bool(now)), now, _candidate_id(now), "", *_show(False, False)()

    outputs = [box, table, shown_id, reason, *questions]
    yes_promote.click(_promote(context), [shown_id, reason], None, **ACTION).then(look, [shown_id], outputs, **ACTION)
    yes_discard.click(_discard(context), [shown_id], None, **ACTION).then(look, [shown_id], outputs, **ACTION)
    gr.Timer(POLL_SECONDS).tick(look, [shown_id], outputs, **REFRESH)


def _candidate_id(found: dict[str, Any]) -> int | None:
    return found["candidate"]["id"] if found else None


def _show(promote: bool, discard: bool) -> Any:  # noqa: ANN401 - a Gradio handler
    @allowed(Permission.PROMOTE)
    def show() -> tuple[Any, Any]:
        return gr.update(visible=promote), gr.update(visible=discard)

    return show


def _promote(context: WebContext) -> Any:  # noqa: ANN401 - a Gradio handler
    @allowed(Permission.PROMOTE)
    def promote(model_id: int | None, reason: str) -> None:
        try:
            rounds.promote(context.store, _required(model_id), reason)
        except (ValueError, LookupError) as error:
            raise shown_error(error) from error
        gr.Info("Promoted. Its proposals for the pool are predicted now.")
        submit_job(context, "predict", {})

    return promote


def _discard(context: WebContext) -> Any:  # noqa: ANN401 - a Gradio handler
    @allowed(Permission.PROMOTE)
    def discard(model_id: int | None) -> None:
        try:
            rounds.reject(context.store, _required(model_id))
        except (ValueError, LookupError) as error:
            raise shown_error(error) from error
        gr.Info("Discarded. Its files stay, so it can still be promoted later.")

    return discard


def _required(model_id: int | None) -> int:
    if model_id is None:
        raise LookupError("no round waits for a decision any more; reload the page")
    return model_id
