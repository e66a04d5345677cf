"""Backups, snapshots and deleted images through the HTTP API."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from app.client.client import Client
from app.client.connection import ApiError
from app.domain.audit import AuditAction
from app.domain.roles import Role
from app.services.audit import AuditFilter, list_entries
from app.services.backup_restoring import check_backup
from app.services.job_kinds import work_of
from app.services.jobs import check_arguments
from app.services.processes import Monitor
from app.services.snapshots import take_snapshot
from app.storage.database import Store
from app.web.api import create_api
from app.web.context import WebContext
from tests.browser.workspace import build_workspace


@pytest.fixture
def http(tmp_path: Path) -> Iterator[TestClient]:
    app = create_api(build_workspace(tmp_path, pool=2))
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def client(http: httpx.Client) -> Client:
    return Client(http=http)


@pytest.fixture
def store(http: TestClient) -> Store:
    context: WebContext = http.app.state.context  # type: ignore[attr-defined]
    return context.store


def back_up(store: Store, name: str) -> None:
    """What the worker does with the job."""
    kind, arguments = check_arguments("backup", {"name": name})
    work_of(kind)(store, store.workspace, arguments, Monitor())


def image_name(client: Client) -> str:
    return str(client.work.images()[0]["sample_id"])


def test_a_backup_is_queued_made_listed_and_downloaded_whole(client: Client, store: Store, tmp_path: Path) -> None:
    assert client.upkeep.backups() == []
    job = client.jobs.job(client.upkeep.start_backup("monday"))
    assert (job["kind"], job["state"], job["arguments"]) == ("backup", "queued", {"name": "monday"})
    back_up(store, "monday")
    [listed] = client.upkeep.backups()
    client.upkeep.download_backup("monday", tmp_path / "saved.zip")
    assert listed["name"] == "monday"
    assert listed["num_bytes"] == (tmp_path / "saved.zip").stat().st_size
    assert check_backup(tmp_path / "saved.zip", Monitor()).files > 0
    assert [row.target for row in list_entries(store, AuditFilter(action=AuditAction.DOWNLOAD), 9)] == ["backup monday"]


def test_a_backup_is_readable_by_its_owner_only(client: Client, store: Store) -> None:
    back_up(store, "monday")
    assert (store.workspace.backups / "monday.zip").stat().st_mode & 0o777 == 0o600


def test_an_earlier_backup_is_never_replaced(store: Store) -> None:
    back_up(store, "monday")
    before = (store.workspace.backups / "monday.zip").read_bytes()
    with pytest.raises(FileExistsError, match="not overwritten"):
        back_up(store, "monday")
    assert (store.workspace.backups / "monday.zip").read_bytes() == before


@pytest.mark.parametrize("name", ["../monday", "a/b", ".hidden", "", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(client: Client, name: str) -> None:
    with pytest.raises(ApiError) as refused:
        client.upkeep.start_backup(name)
    assert refused.value.status == 422


@pytest.mark.parametrize("name", ["absent", "..%2Fpixelsieve.db", "%2e%2e"])
def test_only_backups_are_downloaded(http: httpx.Client, store: Store, name: str) -> None:
    back_up(store, "monday")
    answer = http.get(f"/api/backups/{name}/download")
    assert answer.status_code == 404


def test_snapshots_are_listed_newest_first(client: Client, store: Store) -> None:
    for reason in ("import", "round"):
        take_snapshot(store, reason, "lea")
    found = client.upkeep.snapshots()
    assert [(each["number"], each["reason"], each["made_by"]) for each in found] == [
        (2, "round", "lea"), (1, "import", "lea"),
    ]  # fmt: skip


def test_a_deleted_image_leaves_the_lists_and_comes_back_with_its_decisions(client: Client) -> None:
    region_id = client.review.next_region()
    assert region_id is not None
    view = client.review.region(region_id)
    client.review.decide(view, "accept")
    before = client.work.images()
    name = next(row["sample_id"] for row in before if row["image_id"] == view["row"]["image_id"])
    assert client.upkeep.delete([name]) == 1
    assert name not in [row["sample_id"] for row in client.work.images()]
    assert [image["sample_id"] for image in client.upkeep.deleted()] == [name]
    assert client.upkeep.undelete([name]) == 1
    assert client.upkeep.deleted() == []
    assert client.work.images() == before


def test_one_unknown_name_changes_nothing(client: Client) -> None:
    name = image_name(client)
    with pytest.raises(ApiError, match="there is no image 'nowhere'") as refused:
        client.upkeep.delete([name, "nowhere"])
    assert refused.value.status == 404
    assert client.upkeep.deleted() == []


def test_the_log_names_the_lead_who_deleted(client: Client, store: Store) -> None:
    name = image_name(client)
    client.upkeep.delete([name])
    [entry] = list_entries(store, AuditFilter(action=AuditAction.DELETED), 9)
    assert (entry.target, entry.role) == (f"image {name}", Role.LEAD.value)
