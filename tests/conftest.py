"""What every test may use. Nothing here reaches the network."""

import gc
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from app.storage.location import DATABASE_URL_VARIABLE
from tests.mongodb import PROGRAM_VARIABLE, MongodbServer, find_program
from tests.postgresql import PROGRAMS_VARIABLE, PostgresqlServer, find_programs

settings.register_profile("untimed", deadline=None)  # A machine that others use takes its time.
settings.load_profile("untimed")

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # As export/__init__.py does; some tests load ONNX Runtime first.

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """What was imported stays: looking through all of torch for garbage again and again takes a sixth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


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


def find_chromium() -> str | None:
    """The program, or None."""
    return os.environ.get("PIXELSIEVE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser that Playwright drives."""
    found = find_chromium()
    if found is None:
        missing("no Chromium found; install Debian's package chromium or set PIXELSIEVE_CHROMIUM to the program")
    return str(found)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A server that runs until the last test has ended."""
    programs = find_programs()
    if programs is None:
        missing(f"no PostgreSQL found; install Debian's package postgresql or set {PROGRAMS_VARIABLE} to its programs")
    assert programs is not None
    server = PostgresqlServer(programs)
    try:
        server.make()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[MongodbServer]:
    """A server that runs until the last test has ended, and in which FiftyOne keeps its data sets."""
    if find_spec("fiftyone") is None:
        missing("FiftyOne is not installed; install it with: pip install -e '.[explore]'")
    program = find_program()
    if program is None:
        missing(f"no MongoDB found; fetch one with make mongodb, or set {PROGRAM_VARIABLE} to the program mongod")
    assert program is not None
    server = MongodbServer(program)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FIFTYONE_DATABASE_NAME", "pixelsieve_tests")
        try:
            server.start()
            environment.setenv("FIFTYONE_DATABASE_URI", server.uri)
            yield server
        finally:
            server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The test runs twice: its workspace has its rows in a SQLite file, then in a PostgreSQL database."""
    monkeypatch.delenv(DATABASE_URL_VARIABLE, raising=False)
    if request.param == "sqlite":
        yield "sqlite"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    url = server.lent_database()
    monkeypatch.setenv(DATABASE_URL_VARIABLE, url)
    yield "postgresql"
    server.give_back(url)
