"""Background jobs and COCO exports. The work happens in the worker's processes; here jobs are submitted and watched."""

from typing import Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from app.domain.audit import AuditAction
from app.domain.roles import Actor, Permission, permission_for_job
from app.services.audit import note
from app.web.archives import export_archive, list_exports
from app.web.bodies import ExportBody, JobBody
from app.web.context import Context, CurrentActor, WebContext, refuse_unless_permitted, requires
from app.web.errors import user_errors

router = APIRouter()

_SEE = [requires(Permission.SEE_MODELS)]
_RUN = [requires(Permission.RUN_JOBS)]
_EXPORT = [requires(Permission.EXPORT)]


@router.get("/jobs", dependencies=_SEE)
def jobs(context: Context, limit: int = Query(50, ge=1, le=500)) -> dict[str, Any]:
    """The latest jobs, newest first."""
    return {"jobs": [job.to_json() for job in context.jobs.list(limit)]}


@router.post("/jobs", status_code=201, dependencies=_RUN)
def start(context: Context, actor: CurrentActor, body: JobBody) -> dict[str, int]:
    """Queue a job; some kinds ask for more than running jobs."""
    refuse_unless_permitted(actor, permission_for_job(body.kind))
    return {"job_id": submit(context, actor, body.kind, body.arguments)}


@router.get("/jobs/{job_id}", dependencies=_SEE)
def job(context: Context, job_id: int) -> dict[str, Any]:
    """One job."""
    return context.jobs.get(job_id).to_json()


@router.get("/jobs/{job_id}/log", dependencies=_RUN)
def log(context: Context, job_id: int, lines: int = Query(100, ge=1, le=5000)) -> dict[str, str]:
    """The end of a job's output."""
    return {"log": context.jobs.log_tail(job_id, lines)}


@router.post("/jobs/{job_id}/cancel", dependencies=_RUN)
def cancel(context: Context, actor: CurrentActor, job_id: int) -> dict[str, Any]:
    """Ask a job to stop after its current step."""
    return context.jobs.cancel(job_id, actor).to_json()


@router.get("/exports", dependencies=_EXPORT)
def exports(context: Context) -> dict[str, list[str]]:
    """Names of the finished exports, newest first."""
    return {"exports": list_exports(context.workspace)}


@router.post("/exports", status_code=201, dependencies=_EXPORT)
def export(context: Context, actor: CurrentActor, body: ExportBody) -> dict[str, int]:
    """Queue a COCO export."""
    return {"job_id": submit(context, actor, "coco", body.model_dump())}


@router.get("/exports/{name}/download", dependencies=_EXPORT)
def download(context: Context, actor: CurrentActor, name: str) -> FileResponse:
    """One finished export as a zip file."""
    archive = export_archive(context.workspace, name)
    note(context.store, actor, AuditAction.DOWNLOAD, f"export {name}")
    remove = BackgroundTask(archive.unlink, missing_ok=True)
    return FileResponse(archive, media_type="application/zip", filename=f"{name}.zip", background=remove)


def submit(context: WebContext, actor: Actor, kind: str, arguments: dict[str, Any]) -> int:
    """Queue a job.

    Raises:
        UserError: unknown kind or wrong arguments.
    """
    with user_errors():
        return context.jobs.submit(kind, arguments, actor)
