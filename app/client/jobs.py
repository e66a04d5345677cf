"""Background jobs and COCO exports."""

import time
from pathlib import Path
from typing import Any

from app.client.connection import Connection, Json


class JobCalls:
    """Jobs, and exports, which are made by jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def jobs(self, limit: int = 50) -> list[Json]:
        """The latest jobs, newest first."""
        return list(self._connection.get("/api/jobs", query={"limit": limit})["jobs"])

    def start_job(self, kind: str, **arguments: Any) -> int:  # noqa: ANN401 - as the kind of job takes them
        """Queue a job, for example `start_job("predict")`; its id."""
        return int(self._connection.post("/api/jobs", {"kind": kind, "arguments": arguments})["job_id"])

    def job(self, job_id: int) -> Json:
        """One job."""
        return self._connection.get("/api/jobs/{job_id}", job_id=job_id)

    def job_log(self, job_id: int, lines: int = 100) -> str:
        """The end of a job's output."""
        return str(self._connection.get("/api/jobs/{job_id}/log", query={"lines": lines}, job_id=job_id)["log"])

    def cancel_job(self, job_id: int) -> Json:
        """Ask a job to stop after its current step."""
        return self._connection.post("/api/jobs/{job_id}/cancel", None, job_id=job_id)

    def wait_for_job(self, job_id: int, timeout_s: float = 3600.0, poll_s: float = 1.0) -> Json:
        """Wait until a job has ended, however it ended.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.job(job_id)
            if found["finished_at"] is not None:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} has not ended within {timeout_s:g} s; it goes on")
            time.sleep(poll_s)

    def exports(self) -> list[str]:
        """Names of the finished COCO exports, newest first."""
        return list(self._connection.get("/api/exports")["exports"])

    def start_export(self, name: str, which: str = "reviewed") -> int:
        """Queue a COCO export of "reviewed", "gold" or "all" images; the job's id."""
        return int(self._connection.post("/api/exports", {"name": name, "which": which})["job_id"])

    def download_export(self, name: str, path: Path) -> None:
        """Save one finished export as a zip file."""
        self._connection.save(path, "/api/exports/{name}/download", name=name)
