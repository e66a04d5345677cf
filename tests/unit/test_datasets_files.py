"""Writing, hashing and progress: a crash leaves the old content or the new one."""

import hashlib
import os

import pytest

from datasets.files import sha256_of, write_atomically
from datasets.progress import Progress, ProgressFile, read_progress


def test_written_content_is_on_disk_and_nothing_else_is(tmp_path):
    write_atomically(tmp_path / "deep" / "a.txt", b"new")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "deep").iterdir()] == [("a.txt", b"new")]


def test_failed_write_keeps_the_old_content_and_leaves_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.txt", b"old")]


def test_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"pixels")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"pixels").hexdigest()


def test_progress_is_read_back(tmp_path):
    progress = Progress(3, 10, "training", {"loss": 0.5})
    ProgressFile(tmp_path / "p.json").write(progress)
    assert read_progress(tmp_path / "p.json") == progress


def test_no_progress_is_known_before_the_first_write(tmp_path):
    assert read_progress(tmp_path / "p.json") is None


def test_progress_within_the_pause_is_left_out_except_the_last(tmp_path):
    file = ProgressFile(tmp_path / "p.json", seconds_between_writes=3600)
    for done in (1, 2):
        file.write(Progress(done, 3, "working"))
    assert read_progress(tmp_path / "p.json").done == 1
    file.write(Progress(3, 3, "finished"))
    assert read_progress(tmp_path / "p.json").done == 3
