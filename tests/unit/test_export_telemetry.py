"""ONNX Runtime tells nobody that it is used."""

import mmap
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"
CODE = f"""
import os, sys
sys.modules["onnxruntime"] = None  # Loading it now fails.
try:
    import {{module}}
except ImportError as error:
    assert "onnxruntime" in str(error), error
    assert os.environ["{VARIABLE}"] == "1"
else:
    raise SystemExit("it does not load ONNX Runtime")
"""


@pytest.mark.parametrize("module", ["export.session", "export.providers", "export.onnx_check"])
def test_it_is_told_so_before_it_is_loaded(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    result = subprocess.run([sys.executable, "-c", CODE.format(module=module)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_installed_version_listens_to_it() -> None:
    spec = find_spec("onnxruntime")
    assert spec is not None and spec.origin is not None
    libraries = list((Path(spec.origin).parent / "capi").glob("*.so*"))
    assert libraries
    for library in libraries:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            reports = content.find(b"events.data.microsoft.com") >= 0
            assert not reports or content.find(VARIABLE.encode()) >= 0, library
