"""Child processes: progress, endings, and that nothing is left running."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.services import processes
from app.services.processes import ChildFailedError, Monitor, WorkCancelledError, read_tail, run_child
from datasets.progress import Progress


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(path: Path, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.02)


def assert_gone(pid: int) -> None:
    """A zombie counts as gone: reaping it is the init process's business."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)
    os.kill(pid, 9)
    raise AssertionError(f"process {pid} was left running")


def test_progress_written_by_the_child_reaches_the_monitor(tmp_path: Path) -> None:
    seen: list[Progress] = []
    file = tmp_path / "progress.json"
    code = (
        "from datasets.progress import *; from pathlib import Path; "
        f"ProgressFile(Path({str(file)!r})).write(Progress(3, 7, 'step', {{'loss': 0.5}}))"
    )
    run_child(python(code), Monitor(seen.append), tmp_path / "log", file)
    assert seen == [Progress(3, 7, "step", {"loss": 0.5})]


def test_progress_of_an_earlier_child_is_not_reported(tmp_path: Path) -> None:
    seen: list[Progress] = []
    file = tmp_path / "progress.json"
    file.write_text('{"done": 9, "total": 9, "message": "old", "metrics": {}}')
    run_child(python("pass"), Monitor(seen.append), tmp_path / "log", file)
    assert seen == []


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        pytest.param("print('disk is full'); raise SystemExit(1)", "exit code 1: disk is full", id="any-failure"),
        pytest.param("print('loss is nan'); raise SystemExit(3)", "NaN or infinite", id="diverged"),
        pytest.param("print('Error: unknown preset'); raise SystemExit(2)", "^unknown preset$", id="user-error"),
        pytest.param("print('python -m x: error: bad flag'); raise SystemExit(2)", "^bad flag$", id="wrong-flag"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL", id="killed"),
    ],
)
def test_a_bad_end_becomes_a_sentence(tmp_path: Path, code: str, sentence: str) -> None:
    with pytest.raises(ChildFailedError, match=sentence):
        run_child(python(code), Monitor(), tmp_path / "log")


def test_a_failure_is_explained_by_its_own_output_not_by_that_of_an_earlier_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("something from yesterday\n")
    with pytest.raises(ChildFailedError) as failure:
        run_child(python("raise SystemExit(1)"), Monitor(), log)
    assert "yesterday" not in str(failure.value)


def test_exit_code_130_means_that_the_child_was_stopped(tmp_path: Path) -> None:
    with pytest.raises(WorkCancelledError):
        run_child(python("raise SystemExit(130)"), Monitor(), tmp_path / "log")


def test_a_cancelled_child_gets_sigterm_and_time_to_finish(tmp_path: Path) -> None:
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    code = (
        "import signal, sys, time, pathlib\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(saved)!r}).touch(), sys.exit(130)))\n"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    with pytest.raises(WorkCancelledError):
        run_child(python(code), Monitor(should_cancel=ready.exists), tmp_path / "log")
    assert saved.exists()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    ready = tmp_path / "ready"
    code = (
        "import os, signal, time, pathlib\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(ready)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    with pytest.raises(WorkCancelledError):
        run_child(
            python(code), Monitor(should_cancel=lambda: ready.exists() and bool(ready.read_text())), tmp_path / "log"
        )
    assert not psutil.pid_exists(int(ready.read_text()))


def test_grandchildren_do_not_outlive_the_child(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(p.pid))"
    )
    run_child(python(code), Monitor(), tmp_path / "log")
    assert_gone(int(pid_file.read_text()))


def test_an_exception_in_the_monitor_stops_the_child(tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def explode() -> bool:
        if ready.exists():
            raise RuntimeError("the monitor broke")
        return False

    code = f"import os, time, pathlib; pathlib.Path({str(ready)!r}).write_text(str(os.getpid())); time.sleep(60)"
    with pytest.raises(RuntimeError, match="the monitor broke"):
        run_child(python(code), Monitor(should_cancel=explode), tmp_path / "log")
    assert_gone(int(ready.read_text()))


def test_the_tail_of_a_log_has_no_terminal_codes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n\x1b[31mtwo\x1b[0m\nthr\xffee\n")
    assert read_tail(log, 2) == "two\nthr\ufffdee"


def test_a_part_of_a_monitor_reports_its_share_of_the_whole() -> None:
    seen: list[Progress] = []
    Monitor(seen.append).part(0.5, 0.9, "Export").progress(Progress(1, 2, "checking"))
    assert (seen[0].done, seen[0].total, seen[0].message) == (700, 1000, "Export: checking 1/2")


def test_training_without_its_packages_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[train\]'"):
        processes.require_training()


def test_children_inherit_no_terminal_input(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match="EOFError"):
        run_child(python("input()"), Monitor(), tmp_path / "log")
