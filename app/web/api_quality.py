"""How good the labels are, and the raw rows that say so. Only for people who may know which regions were tests."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from app.domain.audit import AuditAction
from app.domain.roles import Permission
from app.services.action_log import ActionFilter, LogFormat, read_actions, write_actions
from app.services.audit import note
from app.services.quality_report import own_report, quality_report
from app.storage.models import utc_now
from app.web.context import Context, CurrentActor, requires

router = APIRouter()

_MEDIA_TYPES = {
    LogFormat.CSV: "text/csv; charset=utf-8",
    LogFormat.JSON: "application/json",
    LogFormat.JSONL: "application/x-ndjson",
}

SeesQuality = requires(Permission.SEE_QUALITY)
Moment = Annotated[AwareDatetime | None, Query(description="ISO 8601 with a time zone.")]


def _filters(user: str | None = None, since: Moment = None, until: Moment = None) -> ActionFilter:
    return ActionFilter(user, since, until)


Filters = Annotated[ActionFilter, Depends(_filters)]


@router.get("/quality", dependencies=[SeesQuality])
def quality(context: Context, filters: Filters) -> dict[str, Any]:
    """Audited error, catch rates, seconds, changes, agreement, gold per hour and effort saved, over all people."""
    return quality_report(context.store, filters, context.kept_actions).to_json()


@router.get("/quality/mine", dependencies=[requires(Permission.REVIEW)])
def own_quality(context: Context, actor: CurrentActor) -> dict[str, Any]:
    """The asking person's own numbers, up to the last midnight (UTC)."""
    report, until = own_report(context.store, actor.name, utc_now(), context.kept_actions)
    return {**asdict(report), "until": until.isoformat()}


@router.get("/actions", dependencies=[SeesQuality])
def actions(
    context: Context,
    actor: CurrentActor,
    filters: Filters,
    log_format: Annotated[LogFormat, Query(alias="format")] = LogFormat.JSONL,
) -> StreamingResponse:
    """Every action there is, as a file; the columns are those of app/domain/actions.py. Holds no pixels."""
    note(context.store, actor, AuditAction.DOWNLOAD, "action log", {"user": filters.user})
    found = read_actions(context.store, filters)
    return StreamingResponse(
        write_actions(found, log_format),
        media_type=_MEDIA_TYPES[log_format],
        headers={"Content-Disposition": f'attachment; filename="actions.{log_format}"'},
    )
