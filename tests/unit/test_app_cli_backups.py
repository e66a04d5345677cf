"""`pixelsieve backup` and `restore` as people type them."""

import re
from pathlib import Path

import pytest

from app.config import Workspace
from app.storage.database import open_store
from app.storage.location import DATABASE_URL_VARIABLE
from tests.postgresql import PostgresqlServer
from tests.unit.test_app_cli import imported, one_error_line, run, source, workspace

__all__ = ["imported", "source", "workspace"]  # Fixtures.


@pytest.fixture(autouse=True)
def _no_url_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)


def hashes(output: str) -> list[str]:
    return re.findall(r"sha256 ([0-9a-f]{64})", output)


def test_backup_check_and_restore_print_the_same_hashes(imported: Path, tmp_path: Path) -> None:
    saved = run("backup", tmp_path / "saved.zip", "-w", imported)
    checked = run("restore", tmp_path / "saved.zip", "--check")
    restored = run("restore", tmp_path / "saved.zip", "-w", tmp_path / "new")
    assert saved.exit_code == checked.exit_code == restored.exit_code == 0
    assert len(hashes(saved.stdout)) == 2
    assert hashes(saved.stdout) == hashes(checked.stdout) == hashes(restored.stdout)
    assert run("status", "-w", tmp_path / "new").stdout == run("status", "-w", imported).stdout.replace(
        str(imported), str(tmp_path / "new")
    )


def test_a_workspace_moves_to_postgresql(imported: Path, tmp_path: Path, postgresql_server: PostgresqlServer) -> None:
    run("backup", tmp_path / "saved.zip", "-w", imported)
    url = postgresql_server.new_database(is_empty=True)
    assert run("restore", tmp_path / "saved.zip", "-w", tmp_path / "new", "--database-url", url).exit_code == 0
    assert "postgresql" in open_store(Workspace(tmp_path / "new")).database_name


def test_a_new_workspace_keeps_its_rows_in_postgresql(
    source: Path, workspace: Path, postgresql_server: PostgresqlServer
) -> None:
    url = postgresql_server.new_database(is_empty=True)
    assert run("import", source, "-w", workspace, "--database-url", url).exit_code == 0
    assert not (workspace / "pixelsieve.db").exists()
    assert "gold" in run("status", "-w", workspace).stdout


def test_restoring_without_a_place_is_one_error_line(tmp_path: Path) -> None:
    assert "name the new folder" in one_error_line(run("restore", tmp_path / "saved.zip"))


def test_restoring_over_a_workspace_is_one_error_line(imported: Path, tmp_path: Path) -> None:
    run("backup", tmp_path / "saved.zip", "-w", imported)
    assert "is not overwritten" in one_error_line(run("restore", tmp_path / "saved.zip", "-w", imported))


def test_a_damaged_backup_is_one_error_line(tmp_path: Path) -> None:
    (tmp_path / "saved.zip").write_bytes(b"PK damaged")
    assert "is no backup, or was cut off" in one_error_line(run("restore", tmp_path / "saved.zip", "--check"))


def test_a_second_import_can_be_taken_back(imported: Path, source: Path) -> None:
    assert "No snapshot yet" in run("snapshots", "list", "-w", imported).stdout
    before = run("status", "-w", imported).stdout
    assert run("import", source, "-w", imported).exit_code == 0
    listed = run("snapshots", "list", "-w", imported).stdout
    assert re.search(r"^ 1 .* import .* import of source", listed, re.MULTILINE)
    assert "Snapshot 2 is taken" in run("snapshots", "take", "-w", imported).stdout
    result = run("snapshots", "restore", 1, "-w", imported)
    assert f"pixelsieve snapshots restore 3 -w {imported}" in result.stdout
    assert run("status", "-w", imported).stdout == before


def test_an_unknown_snapshot_is_one_error_line(imported: Path) -> None:
    assert "there is no snapshot 9" in one_error_line(run("snapshots", "restore", 9, "-w", imported))


def test_images_are_deleted_listed_brought_back_and_purged(imported: Path) -> None:
    before = run("status", "-w", imported).stdout
    assert "1 images are deleted" in run("images", "delete", "s_00", "-w", imported).stdout
    assert run("status", "-w", imported).stdout != before
    assert re.search(r"^ s_00 .*stay", run("images", "deleted", "-w", imported).stdout, re.MULTILINE)
    assert "1 images are back" in run("images", "undelete", "s_00", "-w", imported).stdout
    assert run("status", "-w", imported).stdout == before
    run("images", "delete", "s_00", "-w", imported)
    assert "of 0 images are gone" in run("images", "purge", "-w", imported, "--yes").stdout


def test_purging_asks_first(imported: Path) -> None:
    assert run("images", "purge", "-w", imported).exit_code == 1


def test_a_name_that_no_image_has_is_one_error_line(imported: Path) -> None:
    assert "there is no image 'nothing'" in one_error_line(run("images", "delete", "nothing", "-w", imported))
