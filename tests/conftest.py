"""What every test may use. Nothing here reaches the network."""

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def missing(reason: str) -> None:
    """Skip the test on a developer's machine; fail it where the full suite must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (required when CI=true)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The CamVid folder with images/, masks/, splits/ and classes.json."""
    root = Path(os.environ.get("PIXELSIEVE_CAMVID", REPOSITORY.parent / "shared" / "data" / "camvid"))
    if not (root / "classes.json").is_file():
        missing(
            f"no CamVid at {root}; set PIXELSIEVE_CAMVID to a folder with images/, masks/, splits/ and classes.json"
        )
    return root


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser that Playwright drives."""
    found = os.environ.get("PIXELSIEVE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        missing("no Chromium found; install Debian's package chromium or set PIXELSIEVE_CHROMIUM to the program")
    return str(found)
