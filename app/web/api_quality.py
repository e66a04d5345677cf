"""How good the labels are, and the raw rows that say so. Only for people who may know which regions were tests."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from app.domain.audit import AuditAction
from app.domain.roles import Permission
from app.services.action_log import ActionFilter, LogFormat, read_actions, write_actions
from app.services.audit import note
from app.web.context import Context, CurrentActor, requires

router = APIRouter()

_MEDIA_TYPES = {LogFormat.CSV: "text/csv; charset=utf-8", LogFormat.JSONL: "application/x-ndjson"}

SeesQuality = requires(Permission.SEE_QUALITY)
Moment = Annotated[AwareDatetime | None, Query(description="ISO 8601 with a time zone.")]


@router.get("/actions", dependencies=[SeesQuality])
def actions(
    context: Context,
    actor: CurrentActor,
    log_format: Annotated[LogFormat, Query(alias="format")] = LogFormat.JSONL,
    user: str | None = None,
    since: Moment = None,
    until: Moment = None,
) -> StreamingResponse:
    """Every action there is, as a file; the columns are those of app/domain/actions.py. Holds no pixels."""
    note(context.store, actor, AuditAction.DOWNLOAD, "action log", {"user": user})
    found = read_actions(context.store, ActionFilter(user, since, until))
    return StreamingResponse(
        write_actions(found, log_format),
        media_type=_MEDIA_TYPES[log_format],
        headers={"Content-Disposition": f'attachment; filename="actions.{log_format}"'},
    )
