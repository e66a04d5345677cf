"""Listeners of the pages behind permissions. Whoever may open one page can call the listeners of all of them."""

import functools
import html
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import gradio as gr
from gradio.context import LocalContext

from app.domain.roles import Actor, Permission, permits
from app.web.context import refuse_unless_permitted
from app.web.errors import ForbiddenError
from app.web.identity import Identity

Listener = TypeVar("Listener", bound=Callable[..., Any])


def allowed(permission: Permission) -> Callable[[Listener], Listener]:
    """Decorator of a listener that does something: what it asks for."""

    def declare(listener: Listener) -> Listener:
        listener.permission = permission  # type: ignore[attr-defined]
        return listener

    return declare


def acting() -> Actor:
    """Who caused the event that is being handled.

    Raises:
        RuntimeError: called outside of a listener.
    """
    return acting_identity().actor


def acting_identity() -> Identity:
    """Who caused the event that is being handled, and through which session.

    Raises:
        RuntimeError: called outside of a listener.
    """
    request = LocalContext.request.get(None)
    if request is None or request.request is None:
        raise RuntimeError("only a listener of a page can ask who caused its event")
    identity: Identity = request.request.state.identity
    return identity


def may(permission: Permission) -> bool:
    """Whether who caused the event that is being handled has a permission."""
    return permits(acting().role, permission)


def guard_listeners(pages: gr.Blocks, permission_of_page: Mapping[str, Permission]) -> None:
    """Let every listener check who calls it.

    One that only looks (outside of Gradio's queue, see REFRESH in pages_panels.py) asks for what its page asks for. One
    that does something has to say with `allowed` what it asks for.

    Raises:
        TypeError: one that does something declares nothing, or cannot be guarded; names it.
    """
    for event in pages.fns.values():
        if event.fn is None:
            continue
        if inspect.isgeneratorfunction(event.fn) or inspect.iscoroutinefunction(event.fn):
            raise TypeError(f"listener {event.fn.__qualname__} must be a plain function, or it runs without its check")
        permission = getattr(event.fn, "permission", None)
        if permission is None and event.queue:
            raise TypeError(
                f"listener {event.fn.__qualname__} of page {event.page!r} does not say what it asks for; "
                "put @allowed(Permission...) above it"
            )
        event.fn = _guarded(event.fn, permission or permission_of_page[event.page])


def _guarded(listener: Callable[..., Any], permission: Permission) -> Callable[..., Any]:
    @functools.wraps(listener)
    def guarded(*arguments: Any) -> Any:  # noqa: ANN401 - whatever Gradio passes and takes
        try:
            refuse_unless_permitted(acting(), permission)
        except ForbiddenError as error:
            raise gr.Error(html.escape(str(error)), print_exception=False) from error
        return listener(*arguments)

    return guarded
