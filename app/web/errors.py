"""Failures as answers: the sentence as JSON, with the status that tells the browser whether to send it again."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.domain.people import LastLeadError
from app.services.model_changes import ModelsChangedError, PromotionRefusedError
from app.services.people_types import PeopleError, SignInRefusedError, TooManyAttemptsError, UnknownPersonError
from app.services.review_types import ConflictError, LockedPixelsError, NotAllowedError, NotFoundError, ReviewError
from app.storage.errors import DiskFullError, StoreBusyError, StoreError, StoreUnreachableError
from app.storage.runs import RunsError
from app.web.security import BodyTooLargeError

logger = logging.getLogger(__name__)


class OtherPersonError(RuntimeError):
    """A decision of somebody who is not signed in now. Nothing was saved."""


class OtherWorkspaceError(RuntimeError):
    """A decision about a workspace that is not served here now. Nothing was saved."""


class ForbiddenError(RuntimeError):
    """The person may not do this; the message says as whom they are known."""


class UserError(ValueError):
    """Arguments that a service refused; the message is for the person who sent them."""


STATUS_OF: dict[type[Exception], int] = {
    BodyTooLargeError: 413,
    RunsError: 400,
    OtherPersonError: 401,
    SignInRefusedError: 401,
    OtherWorkspaceError: 421,
    ForbiddenError: 403,
    NotAllowedError: 403,
    UnknownPersonError: 404,
    NotFoundError: 404,
    LockedPixelsError: 423,
    ConflictError: 409,
    LastLeadError: 409,
    PromotionRefusedError: 409,
    ModelsChangedError: 409,
    PeopleError: 422,
    UserError: 422,
    ReviewError: 422,
    TooManyAttemptsError: 429,
    LookupError: 404,
    DiskFullError: 507,
    StoreBusyError: 503,
    StoreUnreachableError: 503,
    StoreError: 500,
}
"""Statuses from 500 upwards, 401, 421 and 429 make the browser keep the decision and send it again."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a service's refusal of what it was asked for into an answer; refusals with a status of their own keep it.

    Raises:
        UserError: a ValueError came out of the block.
    """
    try:
        yield
    except tuple(STATUS_OF):
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def install(app: FastAPI) -> None:
    """Answer every failure of the API with {"error": sentence}."""
    for kind in STATUS_OF:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OverflowError, _overflow)
    for bug in (KeyError, IndexError, Exception):  # The first two are LookupErrors, but never meant for people.
        app.add_exception_handler(bug, _unexpected)


def answer_to(error: Exception) -> JSONResponse:
    """The sentence and status of an error that STATUS_OF lists, or that is one of those."""
    content: dict[str, Any] = {"error": str(error.args[0]) if error.args else str(error)}
    headers = None
    if isinstance(error, ConflictError):
        content["user"] = error.user
        content["decided_at"] = error.decided_at.isoformat() if error.decided_at else None
    if isinstance(error, TooManyAttemptsError):
        headers = {"Retry-After": str(math.ceil(error.wait_s))}
    status = next(STATUS_OF[kind] for kind in type(error).mro() if kind in STATUS_OF)
    return JSONResponse(content, status, headers=headers)


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    return answer_to(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": validation_sentence(error.errors())}, 422)


async def _overflow(request: Request, error: Exception) -> JSONResponse:
    if "SQLite INTEGER" not in str(error):
        return await _unexpected(request, error)
    return JSONResponse({"error": "a number in the request is too large: no id, place or count is"}, 422)


def validation_sentence(errors: Any) -> str:  # noqa: ANN401 - pydantic's own list of dictionaries
    """The first thing wrong with a request, by its name."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"]) or "the request"
    return f"{where}: {first['msg']}"


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    sentence = f"an unexpected error ({type(error).__name__}); the server's output says where. Nothing was changed"
    return JSONResponse({"error": sentence}, 500)
