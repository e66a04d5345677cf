"""docs/api.md says what the server does."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_about_the_api_is_what_the_code_says():
    command = [sys.executable, "-m", "scripts.write_api_docs", "--check"]
    checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
