"""`pixelsieve audit-log` as people type it."""

import csv
import json
from pathlib import Path

from tests.unit.test_app_cli import imported, one_error_line, run, source, workspace

__all__ = ["imported", "source", "workspace"]  # Fixtures.


def test_what_changed_settings_is_listed_filtered_and_written(imported: Path, tmp_path: Path) -> None:
    run("trust", "-w", imported, "--audit-share", "0.1")
    run("users", "setup", "-w", imported)
    listed = run("audit-log", "-w", imported)
    assert "settings changed" in listed.stdout and "admin token made" in listed.stdout
    only = run("audit-log", "-w", imported, "--action", "settings_changed")
    assert "settings changed" in only.stdout and "admin token made" not in only.stdout
    assert "No entry" in run("audit-log", "-w", imported, "--user", "nobody at all").stdout
    assert "No entry" in run("audit-log", "-w", imported, "--until", "2020-01-01").stdout
    run("audit-log", "-w", imported, "--out", tmp_path / "log.csv")
    run("audit-log", "-w", imported, "--out", tmp_path / "log.jsonl")
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["action"] for row in rows] == [entry["action"] for entry in entries]
    assert {"settings_changed", "admin_token_made"} <= {row["action"] for row in rows}


def test_another_ending_is_refused_before_anything_is_written(imported: Path, tmp_path: Path) -> None:
    refused = run("audit-log", "-w", imported, "--out", tmp_path / "log.txt")
    assert refused.exit_code != 0
    assert "must end in .csv or .jsonl" in one_error_line(refused)
    assert not (tmp_path / "log.txt").exists()
