"""Backups, snapshots and deleted images."""

from collections.abc import Sequence
from pathlib import Path

from app.client.connection import Connection, Json


class UpkeepCalls:
    """What keeps a workspace safe; for leads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def backups(self) -> list[Json]:
        """The backups that were made on the server, newest first."""
        return list(self._connection.get("/api/backups")["backups"])

    def start_backup(self, name: str) -> int:
        """Queue a backup of the whole workspace; the job's id."""
        return int(self._connection.post("/api/backups", {"name": name})["job_id"])

    def download_backup(self, name: str, path: Path) -> None:
        """Save one backup. It holds everything, the hashes of passwords too."""
        self._connection.save(path, "/api/backups/{name}/download", name=name)

    def snapshots(self) -> list[Json]:
        """Earlier states of the workspace, newest first."""
        return list(self._connection.get("/api/snapshots")["snapshots"])

    def deleted(self) -> list[Json]:
        """Deleted images, the latest first."""
        return list(self._connection.get("/api/deleted")["images"])

    def delete(self, names: Sequence[str]) -> int:
        """Take images out of queue, training, exports and counts; how many were there until now."""
        return int(self._connection.post("/api/deleted", {"names": list(names)})["deleted"])

    def undelete(self, names: Sequence[str]) -> int:
        """Bring deleted images back, with all decisions about them; how many."""
        return int(self._connection.post("/api/deleted/restore", {"names": list(names)})["restored"])
