"""Several people review at once for a while: how long saving and the next region take, what it costs in memory, and
whether everything that was acknowledged is in the store exactly once.

python -m benchmarks.review_load [--annotators 8] [--images 1000] [--minutes 5] [--workspace folder]

Every annotator has an account and a token, keeps one connection, and does what the reviewer page does: take the next
region of the queue, fetch its picture and planes when the image is another one, hold that image and give the last one
back, decide, sometimes draw or undo. Nothing is fetched ahead, as the page does it, so a switch takes here what it
takes at worst there; unpacking, which the browser does, is not counted. Everything stays on loopback and ends by
itself.
"""

import argparse
import json
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from app.client.client import Client
from app.client.connection import ApiError
from app.config import Workspace
from app.domain.decisions import UNTOUCHED
from app.domain.roles import Role
from app.services.accounts import AccountService
from app.services.api_tokens import ApiTokens
from app.services.local_actor import command_line_actor
from app.storage.database import open_store
from app.storage.models import Decision
from benchmarks.large_workspace import build, parse_size
from benchmarks.served import served
from benchmarks.side_by_side import RESULTS_FOLDER, describe_machine, summary

ANNOTATORS, IMAGES, MINUTES, PAUSE_S = 8, 1000, 5.0, 1.0
SIZE_WH, CLASSES = (480, 360), 11
SAMPLE_S = 2.0
"""How often the server's memory is read."""
MIX = {"accept": 0.6, "relabel": 0.2, "draw": 0.1, "skip": 0.05, "undo": 0.05}
"""What people do, chosen by us: mostly one key, sometimes a drawing, sometimes an undo."""


@dataclass
class Annotator:
    """One person with a token, and what happened to what they sent."""

    name: str
    token: str
    switch_ms: dict[str, list[float]] = field(default_factory=lambda: {"same image": [], "other image": []})
    save_ms: list[float] = field(default_factory=list)
    lease_ms: list[float] = field(default_factory=list)
    met_others: int = 0
    """Images that somebody else had opened a moment earlier."""
    acknowledged: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    failure: str | None = None

    def work(self, url: str, until: float, pause_s: float, seed: int) -> None:
        """Decide region after region."""
        rng = np.random.default_rng(seed)
        try:
            with httpx.Client(base_url=url, timeout=60.0) as http:
                self._work(Client(token=self.token, http=http), http, until, pause_s, rng)
        except Exception as error:  # noqa: BLE001 - said in the result; the others go on
            self.failure = f"{type(error).__name__}: {error}"

    def _work(self, client: Client, http: httpx.Client, until: float, pause_s: float, rng: np.random.Generator) -> None:
        held: int | None = None
        beat_at = 0.0
        after = None
        while time.monotonic() < until:
            start = time.perf_counter()
            after = client.review.next_region(after)
            if after is None:
                return
            view = client.review.region(after)
            image_id = view["row"]["image_id"]
            is_same = image_id == held
            if not is_same:
                client.review.picture(image_id)
                http.get(f"/api/images/{image_id}/planes").raise_for_status()
            self.switch_ms["same image" if is_same else "other image"].append(_ms_since(start))
            if not is_same or time.monotonic() > beat_at:
                lease = self._hold(client, image_id, held)
                held = image_id if lease["is_mine"] else None
                beat_at = time.monotonic() + lease["beat_s"]
            if held is None:
                self.met_others += 1
                continue
            time.sleep(float(rng.exponential(pause_s)))
            self._decide(client, view, rng)

    def _hold(self, client: Client, image_id: int, before: int | None) -> dict[str, Any]:
        """Hold an image, or say that one is still there, and give the one before back."""
        start = time.perf_counter()
        lease = client.review.hold(image_id, opens=image_id != before)
        if before is not None and before != image_id:
            client.review.release(before)
        self.lease_ms.append(_ms_since(start))
        return lease

    def _decide(self, client: Client, view: dict[str, Any], rng: np.random.Generator) -> None:
        kind = str(rng.choice(list(MIX), p=list(MIX.values())))
        drawn = _drawing(client, view, rng) if kind == "draw" else None
        start = time.perf_counter()
        try:
            answer = _send(client, view, kind, rng, drawn)
        except ApiError as error:
            if error.is_temporary:
                raise
            self.refused[str(error)[:60]] = self.refused.get(str(error)[:60], 0) + 1
            return
        self.save_ms.append(_ms_since(start))
        self.acknowledged.add(answer["op_id"])


def _drawing(client: Client, view: dict[str, Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The region's box, with the region in some class and everything else as it is."""
    x0, y0, x1, y1 = view["row"]["bbox"]
    _, planes = client.review.planes(view["row"]["image_id"])
    inside = planes["regions"][y0:y1, x0:x1] == view["row"]["number"]
    return np.where(inside, int(rng.integers(CLASSES)), UNTOUCHED).astype(np.uint8)


def _send(
    client: Client, view: dict[str, Any], kind: str, rng: np.random.Generator, drawn: NDArray[np.uint8] | None
) -> dict[str, Any]:
    if kind == "undo":
        return client.review.undo()
    if drawn is not None:
        x0, y0, _, _ = view["row"]["bbox"]
        return client.review.draw(view, x0, y0, drawn, closes_region=True)
    return client.review.decide(view, kind, int(rng.integers(CLASSES)) if kind == "relabel" else None)


def _ms_since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)


def hire(workspace: Workspace, number: int) -> list[Annotator]:
    """People with accounts and tokens, made as the command line makes them."""
    actor = command_line_actor()
    with closing(open_store(workspace)) as store:
        accounts, tokens = AccountService(store), ApiTokens(store)
        names = [f"annotator-{secrets.token_hex(3)}" for _ in range(number)]
        for name in names:
            accounts.create(actor, name, Role.ANNOTATOR)
        return [Annotator(name, tokens.make(actor, name, "load")) for name in names]


def run(workspace: Workspace, annotators: int, minutes: float, pause_s: float) -> dict[str, Any]:
    """Let them work; what was measured and what the store holds afterwards."""
    people = hire(workspace, annotators)
    memory_mb: list[float] = []
    with served(workspace) as server:
        process = psutil.Process(server.pid)
        until = time.monotonic() + 60 * minutes
        threads = [
            threading.Thread(target=person.work, args=(server.url, until, pause_s, seed))
            for seed, person in enumerate(people)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory_mb.append(process.memory_info().rss / 2**20)
            time.sleep(SAMPLE_S)
    met = {"met_others": sum(person.met_others for person in people)}
    return {**_timings(people), **_memory(memory_mb), **met, **verify(workspace, people)}


def _timings(people: Sequence[Annotator]) -> dict[str, Any]:
    saves = [value for person in people for value in person.save_ms]
    switches = {kind: [value for person in people for value in person.switch_ms[kind]] for kind in people[0].switch_ms}
    everything = [value for values in switches.values() for value in values]
    return {
        "save": summary(saves),
        "switch": summary(everything),
        **{f"switch, {kind}": summary(values) for kind, values in switches.items() if values},
        "lease": summary([value for person in people for value in person.lease_ms]),
    }


def _memory(samples: Sequence[float]) -> dict[str, Any]:
    """Growth is the median of the last quarter minus that of the second one: the first fills caches."""
    quarter = max(1, len(samples) // 4)
    early, late = (statistics.median(part or samples) for part in (samples[quarter : 2 * quarter], samples[-quarter:]))
    return {"memory_mb": {"early": round(early), "late": round(late), "growth": round(late - early, 1)}}


def verify(workspace: Workspace, people: Sequence[Annotator]) -> dict[str, Any]:
    """Compare what people were told with what the store holds."""
    with closing(open_store(workspace)) as store, store.reader() as session:
        names = [person.name for person in people]
        stored = list(session.scalars(select(Decision.op_id).where(Decision.user.in_(names))))
        doubled = session.scalars(select(Decision.op_id).group_by(Decision.op_id).having(func.count() > 1)).all()
    acknowledged = set().union(*(person.acknowledged for person in people))
    refused: dict[str, int] = {}
    for person in people:
        for sentence, number in person.refused.items():
            refused[sentence] = refused.get(sentence, 0) + number
    return {
        "decisions": {
            "acknowledged": len(acknowledged),
            "lost": len(acknowledged - set(stored)),
            "doubled": len(doubled),
            "not_acknowledged": len(set(stored) - acknowledged),
        },
        "refused": refused,
        "failures": [person.failure for person in people if person.failure is not None],
    }


def show(result: dict[str, Any]) -> None:
    """Print what matters."""
    table = Table(title="review_load", title_justify="left")
    for heading in ("what", "count", "median ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, spread in result.items():
        if isinstance(spread, dict) and "median_ms" in spread:
            table.add_row(name, *(str(spread[key]) for key in ("count", "median_ms", "p95_ms")))
    console = Console()
    console.print(table)
    for name in ("memory_mb", "met_others", "decisions", "refused", "failures"):
        console.print(f"  {name}: {result[name]}", highlight=False)


def main() -> None:
    """Build or take a workspace, let people work in it, and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=ANNOTATORS, help=f"people at once (default {ANNOTATORS})")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"of the workspace that is made (default {IMAGES})")
    parser.add_argument("--size", type=parse_size, default=SIZE_WH, help="of every image (default 480x360)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of work (default {MINUTES:g}, at most 60)")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help=f"mean seconds of thought (default {PAUSE_S:g})")
    parser.add_argument("--workspace", type=Path, help="an existing one, whose regions get decided")
    parser.add_argument("--out", type=Path, default=RESULTS_FOLDER / "review_load.json", help="where the result goes")
    arguments = parser.parse_args()
    if not (1 <= arguments.annotators <= 64 and 0 < arguments.minutes <= 60):
        parser.error("--annotators is 1-64 and --minutes at most 60")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(arguments.workspace) if arguments.workspace else None
        if workspace is None:
            workspace = build(Path(folder), arguments.size, arguments.images, CLASSES)
        result = run(workspace, arguments.annotators, arguments.minutes, arguments.pause)
    setting = {"annotators": arguments.annotators, "images": arguments.images, "minutes": arguments.minutes,
               "pause_s": arguments.pause, "size_wh": list(arguments.size)}  # fmt: skip
    show(result)
    content = {"setting": setting, **result, "machine": describe_machine()}
    arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if result["decisions"]["lost"] or result["decisions"]["doubled"] or result["failures"]:
        raise SystemExit("decisions were lost or doubled, or somebody could not go on; see above")


if __name__ == "__main__":
    main()
