"""The queue page: which regions wait, in the order in which they come, and whose images they are in."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.domain.roles import Permission
from app.domain.states import ImageState, RegionState
from app.services.assigning import ImageFilter, assign_images, present_owners, share_images
from app.services.review_types import QueueFilter, ReviewError
from app.web.context import WebContext, refuse_unless_permitted
from app.web.errors import ForbiddenError
from app.web.overview import image_rows, queue_rows
from app.web.pages_listeners import acting, allowed, may
from app.web.pages_panels import ACTION, REFRESH, panel, shown_error

_STATES = [("To do: open, then skipped", ""), ("Open", "open"), ("Skipped", "skipped"),
           ("Second review", "second_review"), ("Decided", "decided")]  # fmt: skip
_IMAGE_STATES = [("Every state", ""), ("Open", "open"), ("Enough", "enough"), ("Done", "done"),
                 ("No proposal yet", "waiting")]  # fmt: skip
_ANY_CLASS = -1
_MINE, _EVERYBODY, _NOBODY = "mine", "everybody", "nobody"
_OWNERS = [("Mine and nobody's", _MINE), ("Nobody's", _NOBODY)]
_PERSON = "person:"


def build_queue_page(context: WebContext) -> None:
    """Lay out the page and wire its events."""
    with gr.Row():
        owner = gr.Dropdown(_OWNERS, value=_MINE, label="Whose images", elem_id="owner-filter")
        text = gr.Textbox("", label="Image name holds", elem_id="text-filter", max_length=255)
    gr.on(None, lambda: gr.update(choices=_owners(context)), None, owner, **REFRESH)
    with gr.Tab("Regions", elem_id="regions-tab"):
        regions = _lay_out_regions(context, owner, text)
    with gr.Tab("Images", elem_id="images-tab"):
        changed = _lay_out_images(context, owner, text)
    changed.then(regions.show, regions.filters, regions.shown, **REFRESH)


@dataclass(frozen=True)
class _Regions:
    """The table of regions: what shows it from its start, from which filters, and where."""

    show: Callable[..., tuple[dict[str, Any], int]]
    filters: Sequence[gr.components.Component]
    shown: Sequence[gr.components.Component]


def _lay_out_regions(context: WebContext, owner: gr.Dropdown, text: gr.Textbox) -> _Regions:
    names = context.review.class_set().names
    with gr.Row():
        state = gr.Dropdown(_STATES, value="", label="State", elem_id="state-filter")
        class_id = gr.Dropdown(
            [("Every class", _ANY_CLASS), *((name, index) for index, name in enumerate(names))],
            value=_ANY_CLASS, label="Model says", elem_id="class-filter",
        )  # fmt: skip
        asked = gr.Checkbox(False, label="Only with an open question", elem_id="asked-filter")
    page = gr.State(0)
    table = panel("panels/queue.js", lambda: show(_MINE, "", "", _ANY_CLASS, False), elem_id="queue")

    def show(
        whose: str, name: str, chosen_state: str, chosen_class: int, only_asked: bool, number: int = 0
    ) -> dict[str, Any]:
        person, assignee = _chosen(whose)
        region_state = RegionState(chosen_state) if chosen_state else None
        class_filter = None if chosen_class == _ANY_CLASS else chosen_class
        wanted = QueueFilter(region_state, class_filter, person=person, assignee=assignee, text=name, asked=only_asked)
        return queue_rows(context, wanted, number)

    def turn(
        whose: str, name: str, chosen_state: str, chosen_class: int, only_asked: bool, number: int, event: gr.EventData
    ) -> tuple[dict[str, Any], int]:
        number = max(0, number + (1 if event.step > 0 else -1))
        return show(whose, name, chosen_state, chosen_class, only_asked, number), number

    def from_start(
        whose: str, name: str, chosen_state: str, chosen_class: int, only_asked: bool
    ) -> tuple[dict[str, Any], int]:
        return show(whose, name, chosen_state, chosen_class, only_asked), 0

    filters = [owner, text, state, class_id, asked]
    changes = [owner.change, text.change, state.change, class_id.change, asked.change]
    gr.on(changes, from_start, filters, [table, page], **REFRESH)
    table.pick(turn, [*filters, page], [table, page], **REFRESH)
    return _Regions(from_start, filters, [table, page])


def _lay_out_images(context: WebContext, owner: gr.Dropdown, text: gr.Textbox) -> gr.events.Dependency:
    """The table of images; what happens when somebody changes one."""
    state = gr.Dropdown(_IMAGE_STATES, value="", label="State", elem_id="image-state-filter")
    page = gr.State(0)
    table = panel("panels/images.js", lambda: show(_MINE, "", ""), elem_id="images")

    def show(whose: str, name: str, chosen_state: str, number: int = 0) -> dict[str, Any]:
        person, assignee = _chosen(whose)
        wanted = ImageFilter(ImageState(chosen_state) if chosen_state else None, assignee, name, person)
        return image_rows(context, wanted, number, may(Permission.ASSIGN), may(Permission.ADMINISTER))

    def from_start(whose: str, name: str, chosen_state: str) -> tuple[dict[str, Any], int]:
        return show(whose, name, chosen_state), 0

    @allowed(Permission.REVIEW)
    def pick(
        whose: str, name: str, chosen_state: str, number: int, event: gr.EventData
    ) -> tuple[dict[str, Any], int, dict[str, Any]]:
        if event.action == "turn":
            number = max(0, number + (1 if event.step > 0 else -1))
        elif event.action != "deleted":  # Done through the HTTP API; here the table follows.
            _change_owner(context, event)
            whose = _still_shows(whose, event)
        return show(whose, name, chosen_state, number), number, gr.update(value=whose)

    filters = [owner, text, state]
    gr.on([owner.change, text.change, state.change], from_start, filters, [table, page], **REFRESH)
    picked: gr.events.Dependency = table.pick(pick, [*filters, page], [table, page, owner], **ACTION)
    return picked


def _change_owner(context: WebContext, event: gr.EventData) -> None:
    """Assign chosen images to somebody, or share out those that are nobody's."""
    actor = acting()
    try:
        refuse_unless_permitted(actor, Permission.ASSIGN)
        if event.action == "share":
            shared = share_images(context.store, actor, [str(name) for name in event.people])
            said = ", ".join(f"{name}: {number}" for name, number in shared.items())
            gr.Info(html.escape(f"Images given out. {said}"))
            return
        assignee = None if event.assignee is None else str(event.assignee)
        changed = assign_images(context.store, actor, [int(image_id) for image_id in event.image_ids], assignee)
        gr.Info(html.escape(_said_about(changed, assignee)))
    except (ReviewError, ForbiddenError) as error:
        raise shown_error(error) from error


def _still_shows(whose: str, event: gr.EventData) -> str:
    """The filter that shows what was just given away: own images and nobody's are fewer by them."""
    is_given = event.action == "share" or event.assignee is not None
    return _EVERYBODY if is_given and whose in (_MINE, _NOBODY) else whose


def _said_about(changed: int, assignee: str | None) -> str:
    """How many images changed hands, and whose they are now."""
    images = "1 image" if changed == 1 else f"{changed or 'No'} images"
    if assignee is None:
        return f"{images} given back to everybody."
    return f"{images} given to {assignee}." if changed else f"All of them were {assignee}'s before."


def _owners(context: WebContext) -> list[tuple[str, str]]:
    """What the asking person can choose from."""
    if not may(Permission.ASSIGN):
        return _OWNERS
    people = ((f"{name}'s", f"{_PERSON}{name}") for name in present_owners(context.store))
    return [*_OWNERS, ("Everybody's", _EVERYBODY), *people]


def _chosen(whose: str) -> tuple[str | None, str | None]:
    """Person and assignee of a filter. Whoever does not assign sees own images and nobody's, whatever the page sent."""
    person = None if may(Permission.ASSIGN) and whose != _MINE else acting().name
    if whose.startswith(_PERSON):
        return person, whose.removeprefix(_PERSON)
    return person, "" if whose == _NOBODY else None
