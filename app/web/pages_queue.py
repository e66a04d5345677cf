"""The queue page: which regions wait, in the order in which they come, with filters."""

from typing import Any

import gradio as gr

from app.web.context import WebContext
from app.web.overview import queue_rows
from app.web.pages_panels import REFRESH, navigation, panel

_STATES = [("To do: open, then skipped", ""), ("Open", "open"), ("Skipped", "skipped"),
           ("Second review", "second_review"), ("Decided", "decided")]  # fmt: skip
_ANY_CLASS = -1


def build_queue_page(context: WebContext) -> None:
    """Lay out the page and wire its events."""
    navigation(context)
    names = context.review.class_set().names
    with gr.Row():
        state = gr.Dropdown(_STATES, value="", label="State", elem_id="state-filter")
        class_id = gr.Dropdown(
            [("Every class", _ANY_CLASS), *((name, index) for index, name in enumerate(names))],
            value=_ANY_CLASS, label="Model says", elem_id="class-filter",
        )  # fmt: skip
    page = gr.State(0)
    table = panel("panels/queue.js", lambda: queue_rows(context, None, None, 0), elem_id="queue")

    def show(chosen_state: str, chosen_class: int, number: int) -> dict[str, Any]:
        return queue_rows(context, chosen_state or None, None if chosen_class == _ANY_CLASS else chosen_class, number)

    def turn(chosen_state: str, chosen_class: int, number: int, event: gr.EventData) -> tuple[dict[str, Any], int]:
        number = max(0, number + (1 if event.step > 0 else -1))
        return show(chosen_state, chosen_class, number), number

    def from_start(chosen_state: str, chosen_class: int) -> tuple[dict[str, Any], int]:
        return show(chosen_state, chosen_class, 0), 0

    gr.on([state.change, class_id.change], from_start, [state, class_id], [table, page], **REFRESH)
    table.pick(turn, [state, class_id, page], [table, page], **REFRESH)
