"""What people start, stop and take away is in the audit log, with who it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.domain.roles import Role
from app.services.audit import AuditFilter, list_entries
from tests.unit.web_people import NAMES, browser, context_of, make_app


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path)


@pytest.fixture
def engineer(app: FastAPI) -> Iterator[httpx.Client]:
    with browser(app, NAMES[Role.ENGINEER]) as client:
        yield client


def newest(app: FastAPI) -> tuple[str, str | None, str, str, dict[str, Any]]:
    entry = list_entries(context_of(app).store, AuditFilter(), 1)[0]
    return entry.actor, entry.role, entry.action, entry.target, entry.details


def test_a_job_is_logged_when_it_is_started_and_stopped(app: FastAPI, engineer: httpx.Client) -> None:
    job_id = engineer.post("/api/jobs", json={"kind": "predict", "arguments": {}}).json()["job_id"]
    assert newest(app) == ("eve", "engineer", "job_started", f"job {job_id}", {"kind": "predict", "model_id": None})
    engineer.post(f"/api/jobs/{job_id}/cancel")
    assert newest(app)[:4] == ("eve", "engineer", "job_cancelled", f"job {job_id}")
    engineer.post(f"/api/jobs/{job_id}/cancel")
    entries = list_entries(context_of(app).store, AuditFilter(target=f"job {job_id}"), 10)
    assert [entry.action for entry in entries] == ["job_cancelled", "job_started"]


def test_a_job_that_is_refused_is_not_logged(app: FastAPI, engineer: httpx.Client) -> None:
    before = newest(app)
    assert engineer.post("/api/jobs", json={"kind": "predict", "arguments": {"x": 1}}).status_code == 422
    assert newest(app) == before


def test_an_export_is_logged_when_it_is_made_and_when_it_is_fetched(app: FastAPI, engineer: httpx.Client) -> None:
    job_id = engineer.post("/api/exports", json={"name": "all", "which": "all"}).json()["job_id"]
    assert newest(app)[2:4] == ("job_started", f"job {job_id}")
    folder = context_of(app).workspace.exports / "all"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    assert engineer.get("/api/exports/all/download").status_code == 200
    assert newest(app)[:4] == ("eve", "engineer", "download", "export all")


def test_fetching_the_action_log_is_logged(app: FastAPI) -> None:
    with browser(app, NAMES[Role.LEAD]) as lead:
        assert lead.get("/api/actions?user=ann").status_code == 200
    assert newest(app) == ("lea", "lead", "download", "action log", {"user": "ann"})


def test_jobs_that_ask_for_more_are_not_started_by_everybody_who_runs_jobs(
    app: FastAPI, engineer: httpx.Client
) -> None:
    answer = engineer.post("/api/jobs", json={"kind": "backup", "arguments": {}})
    assert answer.status_code == 403 and "may not change people, settings or backups" in answer.json()["error"]
