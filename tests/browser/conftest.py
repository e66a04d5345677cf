"""A running application over a generated workspace, and a real browser in front of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pytest
import uvicorn
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    Request,
    ViewportSize,
    sync_playwright,
)

from app.config import Workspace
from app.web.listening import listen
from app.web.server import create_app
from tests.browser.workspace import build_workspace

REPOSITORY = Path(__file__).resolve().parents[2]
SCREENSHOTS = REPOSITORY / "artifacts" / "screenshots"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_S = 90.0
WAIT_MS = 20_000
WINDOW = ViewportSize(width=1440, height=900)
_SERVE = (
    "import sys; from pathlib import Path; from app.config import ListenOn, Workspace;"
    "from app.web.server import serve;"
    "serve(Workspace(Path(sys.argv[1])), ListenOn(port=int(sys.argv[2])))"
)


@dataclass
class LiveApp:
    """An application that answers at `url`."""

    workspace: Workspace
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class ProcessApp(LiveApp):
    """In a process of its own: may be killed and started again on the same port."""

    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.workspace.root.parent / "server.log"

    def start(self) -> None:
        """Serve, and wait until the health check answers."""
        with self.log.open("ab") as output:
            command = [sys.executable, "-c", _SERVE, str(self.workspace.root), str(self.port)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=output, env=environment)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the application did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        if self.port == 0:
            found = re.findall(r"http://127\.0\.0\.1:(\d+)", self.log.read_text())
            if not found:
                return False
            self.port = int(found[-1])
        try:
            with urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@contextmanager
def in_thread(workspace: Workspace) -> Iterator[LiveApp]:
    """Serve from this process: starts ten times faster, but cannot be killed."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(workspace), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield LiveApp(workspace, listener.getsockname()[1])
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="session")
def live_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """One application for all tests that do not care what others decided; in its own process, as users have it."""
    app = ProcessApp(build_workspace(tmp_path_factory.mktemp("live"), pool=10))
    app.start()
    yield app
    app.kill()


@pytest.fixture(scope="session")
def untouched_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Built once and copied: a copied folder is a copied project."""
    return build_workspace(tmp_path_factory.mktemp("untouched"), pool=3)


@pytest.fixture
def own_workspace(untouched_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace that one test has to itself."""
    shutil.copytree(untouched_workspace.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def module_app(untouched_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """An application that the tests of one module have to themselves."""
    root = tmp_path_factory.mktemp("module") / "workspace"
    shutil.copytree(untouched_workspace.root, root)
    with in_thread(Workspace(root)) as app:
        yield app


@pytest.fixture
def own_app(own_workspace: Workspace) -> Iterator[LiveApp]:
    """An application that one test has to itself."""
    with in_thread(own_workspace) as app:
        yield app


@pytest.fixture
def mortal_app(own_workspace: Workspace) -> Iterator[ProcessApp]:
    """An application that the test may kill."""
    app = ProcessApp(own_workspace)
    app.start()
    yield app
    app.kill()


@pytest.fixture
def worker(own_app: LiveApp) -> Iterator[None]:
    """A worker for the application's jobs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "worker", "-w", str(own_app.workspace.root)], cwd=REPOSITORY
    )
    yield
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Not for the whole session: while Playwright runs, no later test can start an event loop of its own."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(chromium_path: str, playwright: Playwright) -> Iterator[Browser]:
    """One browser for the tests of a module."""
    started = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
    yield started
    started.close()


@dataclass
class Watched:
    """What a page did that it should not do."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)

    def leave(self, page: Page) -> None:
        page.remove_listener("console", self._console)
        page.remove_listener("pageerror", self._error)
        page.remove_listener("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _error(self, error: Error) -> None:
        self.errors.append(str(error))

    def _request(self, request: Request) -> None:
        if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", request.url):
            self.outside.append(request.url)


def new_context(browser: Browser) -> BrowserContext:
    made = browser.new_context(viewport=WINDOW, reduced_motion="reduce")
    made.set_default_timeout(WAIT_MS)
    return made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = new_context(browser)
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_tab(browser: Browser) -> Iterator[Page]:
    made = new_context(browser)
    yield made.new_page()
    made.close()


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def open_reviewer(context: BrowserContext, watched: Watched) -> Iterator[Callable[..., "ReviewerPage"]]:
    """Opens the reviewer page of an application. At the end, no script may have failed and nothing have left."""

    def open_page(app: LiveApp, query: str = "") -> ReviewerPage:
        page = context.new_page()
        watched.follow(page)
        page.goto(f"{app.url}/review{query}")
        return ReviewerPage(page).ready()

    yield open_page
    assert watched.outside == []


@pytest.fixture
def tab(module_tab: Page, watched: Watched) -> Iterator[Page]:
    """One tab for the tests of a module, one after the other: it loads and compiles the scripts once."""
    module_tab.set_viewport_size(WINDOW)
    module_tab.emulate_media(color_scheme="light", reduced_motion="reduce")
    watched.follow(module_tab)
    yield module_tab
    module_tab.unroute_all()
    module_tab.goto("about:blank")
    watched.leave(module_tab)
    assert watched.outside == []


def visit(tab: Page, app: LiveApp, path: str) -> None:
    """Open a page as if the tab had never been there."""
    tab.goto(f"{app.url}/healthz")
    tab.evaluate("(sessionStorage.clear(), localStorage.clear())")
    tab.goto(app.url + path)


@pytest.fixture
def reviewer(module_app: LiveApp, tab: Page) -> Iterator["ReviewerPage"]:
    """The reviewer of the module's application, loaded anew. What a test draws and does not finish is taken back."""
    visit(tab, module_app, "/review")
    yield ReviewerPage(tab).ready()
    tab.unroute_all()
    ReviewerPage(tab).take_back()


@pytest.fixture
def own_reviewer(own_app: LiveApp, tab: Page) -> "ReviewerPage":
    """The reviewer of an application that one test has to itself."""
    visit(tab, own_app, "/review")
    return ReviewerPage(tab).ready()


class ReviewerPage:
    """The reviewer as a person uses it; states are read from the data attributes of its root."""

    ROOT = "#reviewer .ps"

    def __init__(self, page: Page) -> None:
        self.page = page

    def ready(self) -> "ReviewerPage":
        self.wait("root.dataset.hydrated === '1'")
        return self

    def wait(self, condition: str, argument: object = None) -> None:
        """Wait until a condition over `root`, `app` (the reviewer) and `argument` holds."""
        self.page.wait_for_function(
            f"(argument) => {{ const root = document.querySelector('{self.ROOT}'); "
            f"const app = root?.pixelsieve; return root && ({condition}); }}",
            arg=argument,
        )

    def get(self, expression: str) -> object:
        """A value out of `app`, the reviewer."""
        return self.page.evaluate(
            f"async () => {{ const root = document.querySelector('{self.ROOT}'); const app = root.pixelsieve; "
            f"return ({expression}); }}"
        )

    @property
    def region(self) -> int:
        return int(str(self.get("root.dataset.region")))

    @property
    def image(self) -> int:
        return int(str(self.get("root.dataset.image")))

    @property
    def saved(self) -> int:
        return int(str(self.get("root.dataset.saved ?? 0")))

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def decide(self, key: str) -> None:
        """Press a key that decides, and wait until the next region is shown and everything is saved."""
        region = self.region
        self.press(key)
        self.wait("root.dataset.region !== argument && !app.isBusy", str(region))
        self.all_saved()

    def take_back(self) -> None:
        """What is begun, then the tool, then the strokes on this region."""
        for _ in range(3):
            self.press("Escape")
            self.wait("!app.isBusy")
        self.wait("root.dataset.tool === 'none' && root.dataset.strokes === '0'")
        self.all_saved()

    def hear_nothing_of_others(self) -> None:
        """This tab does not learn what other tabs do, as in another browser, between two signs of life."""
        self.get("(clearTimeout(app.lease.timer), app.outbox.others.onmessage = null)")

    def take_over(self) -> None:
        """Work on the image in this tab, whoever works on it in another one."""
        self.get("app.lease.beat(true)")
        self.wait("app.lease.held?.is_mine && !app.isBusy")

    def all_saved(self) -> None:
        """Wait until the server has answered everything that was done here."""
        self.wait(
            "root.dataset.saving === 'saved' && app.editing.unanswered.size === 0 && app.editing.asked.size === 0 && "
            "app.editing.waiting === 0 && !app.isBusy"
        )

    def hash_of(self, plane: str) -> str:
        """SHA-1 of one of the browser's planes: label or provenance."""
        digest = f"""Array.from(new Uint8Array(await crypto.subtle.digest('SHA-1', app.image.{plane})),
                     (byte) => byte.toString(16).padStart(2, '0')).join('')"""
        return str(self.get(digest))

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Page coordinates of a point of the image."""
        point = self.page.evaluate(
            f"""([x, y]) => {{ const app = document.querySelector('{self.ROOT}').pixelsieve;
            const box = app.view.stage.getBoundingClientRect(); const at = app.viewport.toScreen(x, y);
            return [box.left + at[0] / app.viewport.ratio, box.top + at[1] / app.viewport.ratio]; }}""",
            [x, y],
        )
        return float(point[0]), float(point[1])

    def stroke(self, points: list[tuple[float, float]]) -> None:
        """Draw with the mouse through points of the image."""
        mouse = self.page.mouse
        mouse.move(*self.on_screen(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.on_screen(*point), steps=3)
        mouse.up()

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
