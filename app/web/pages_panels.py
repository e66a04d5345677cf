"""Components that show data of ours: a script of app/web/panels builds the elements and sets all text as text.

Names of files, classes and people never pass through a template, so none of them can become markup.
"""

import html
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components.navbar import Navbar

from app.domain.roles import Permission
from app.domain.states import JobKind
from app.services.worker_lock import worker_is_running
from app.web.context import WebContext, refuse_unless_permitted
from app.web.overview import job_list
from app.web.pages_listeners import acting, acting_identity, allowed, may
from app.web.static_files import static_address

POLL_SECONDS = 1.5
"""How often a page asks how its jobs are doing."""

ACTION: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""For listeners that do something, which say with `allowed` what they ask for: no overlay while they run, and no public
endpoint (api.py is). Messages need the queue."""

REFRESH: dict[str, Any] = {**ACTION, "queue": False}
"""For listeners that only look: they do not wait behind others, and ask for what their page asks for."""

# The whole address: a browser that compiled this for one workspace would load another one's parts from the first.
_ON_LOAD = """
/* 'pick' */
const script = new URL('%s', location.origin);
import(script).then(({ mount }) => mount(element, { props, watch, trigger })).catch((error) => {
  element.textContent = `This part of the page could not start: ${error.message}`;
});
"""


def panel(script: str, look: Callable[[], dict[str, Any]] | None = None, elem_id: str | None = None) -> gr.HTML:
    """A part of a page that `script` (below app/web) draws from what `look` returns, anew whenever a page is loaded.

    A click may report a small object as the event `pick`. A function and no subclass, because Gradio writes an
    interface file beside the source of every subclass.
    """
    component = gr.HTML(
        html_template='<div class="ps-panel"></div>',
        js_on_load=_ON_LOAD % static_address(script),
        apply_default_css=False,
        elem_id=elem_id,
    )
    if look is not None:
        on_load(look, component)
    return component


def on_load(look: Callable[[], Any], component: gr.components.Component) -> None:
    """Set a component from `look` whenever its page is loaded.

    Not by giving `look` as the component's value: Gradio then shows its progress, and tells screen readers
    "common.complete", a text that its own translations lack.
    """
    gr.on(None, look, None, component, **REFRESH)


def show_to(permission: Permission, block: gr.blocks.BlockContext) -> None:
    """Hide a part of a page from people who could do nothing with it. What it calls is refused in any case."""
    gr.on(None, lambda: gr.update(visible=may(permission)), None, block, **REFRESH)


def navigation(context: WebContext, permission_of_path: Mapping[str, Permission]) -> None:
    """The bar that leads from page to page, with the workspace's and the person's name in it; every page needs its own.

    Args:
        permission_of_path: what each page asks for; links to those that one may not open are hidden.
    """
    Navbar(visible=True, main_page_name="Rounds")
    root = context.workspace.root.resolve()

    def look() -> dict[str, Any]:
        identity = acting_identity()
        hidden = [path for path, permission in permission_of_path.items() if not may(permission)]
        is_signed_in = identity.sign_in_id is not None
        person = {"name": identity.actor.name, "role": identity.actor.role} if is_signed_in else None
        return {"name": root.name, "path": str(root), "hidden": hidden, "person": person}

    panel("panels/workspace.js", look, elem_id="workspace")


def submit_job(context: WebContext, kind: str, arguments: dict[str, Any]) -> None:
    """Queue a job and say so on the page; what is wrong with it is said there, too."""
    try:
        job_id = context.jobs.submit(kind, arguments, acting())
    except (ValueError, RuntimeError) as error:
        raise shown_error(error) from error
    if worker_is_running(context.workspace):
        gr.Info(f"Job {job_id} is in the queue.")
    else:
        gr.Warning(f"Job {job_id} waits: no worker is running. Start one with: pixelsieve worker")


def shown_error(error: Exception) -> gr.Error:
    """A failure as a message on the page. Gradio shows messages as HTML, so the sentence is escaped."""
    return gr.Error(html.escape(str(error)), print_exception=False)


def listed_jobs(context: WebContext, shown_log: int | None, kinds: frozenset[JobKind] | None = None) -> dict[str, Any]:
    """See `app.web.overview.job_list`; logs and buttons are for those who may run jobs."""
    found = {**job_list(context, shown_log, kinds), "may_run": may(Permission.RUN_JOBS), "is_all": kinds is None}
    return found if found["may_run"] else {**found, "log": None}


def on_job_pick(context: WebContext) -> Callable[..., int | None]:
    """Handler of a job list: `cancel` stops a job, `log` chooses whose log is shown."""

    @allowed(Permission.SEE_MODELS)
    def pick(shown_log: int | None, event: gr.EventData) -> int | None:
        if event.action == "cancel":
            refuse_unless_permitted(acting(), Permission.RUN_JOBS)
            context.jobs.cancel(int(event.job_id), acting())
            return shown_log
        return int(event.job_id)

    return pick
