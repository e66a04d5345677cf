"""What keeps a workspace safe: backups, snapshots, and images that were deleted."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import Field

from app.domain.audit import AuditAction
from app.domain.roles import Permission
from app.services import backups, deleting, snapshots
from app.services.audit import note
from app.web.api_jobs import submit
from app.web.bodies import Body
from app.web.context import Context, CurrentActor, requires

router = APIRouter(dependencies=[requires(Permission.ADMINISTER)])


class BackupBody(Body):
    """How a new backup is called."""

    name: str = Field(max_length=64)


class NamesBody(Body):
    """Names of images."""

    names: list[str] = Field(min_length=1, max_length=10_000)


@router.get("/backups")
def list_backups(context: Context) -> dict[str, Any]:
    """The backups that were made here, newest first."""
    return {"backups": [backup.to_json() for backup in backups.list_backups(context.workspace)]}


@router.post("/backups", status_code=201)
def back_up(context: Context, actor: CurrentActor, body: BackupBody) -> dict[str, int]:
    """Queue a backup of the whole workspace; people go on working meanwhile."""
    return {"job_id": submit(context, actor, "backup", body.model_dump())}


@router.get("/backups/{name}/download")
def download_backup(context: Context, actor: CurrentActor, name: str) -> FileResponse:
    """One backup. It holds everything, the hashes of passwords too."""
    path = backups.find_backup(context.workspace, name)
    note(context.store, actor, AuditAction.DOWNLOAD, f"backup {name}")
    return FileResponse(path, media_type="application/zip", filename=path.name)


@router.get("/snapshots")
def list_snapshots(context: Context) -> dict[str, Any]:
    """Earlier states of the workspace, newest first. `pixelsieve snapshots restore` goes back to one."""
    return {"snapshots": [snapshot.to_json() for snapshot in snapshots.list_snapshots(context.workspace)]}


@router.get("/deleted")
def list_deleted(context: Context) -> dict[str, Any]:
    """Deleted images, the latest first."""
    return {"images": [image.to_json() for image in deleting.list_deleted(context.store)]}


@router.post("/deleted")
def delete(context: Context, actor: CurrentActor, body: NamesBody) -> dict[str, int]:
    """Take images out of queue, training, exports and counts; their files stay until `pixelsieve images purge`."""
    return {"deleted": deleting.delete_images(context.store, actor, body.names)}


@router.post("/deleted/restore")
def undelete(context: Context, actor: CurrentActor, body: NamesBody) -> dict[str, int]:
    """Bring deleted images back, with all decisions about them."""
    return {"restored": deleting.undelete_images(context.store, actor, body.names)}
