"""An annotator who asks for everything that is told, and keeps every answer to lay them side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.domain.decisions import UNTOUCHED
from app.domain.states import RegionKind
from app.services.assigning import list_image_work
from app.services.review_states import refresh_states
from app.storage.database import Store
from app.storage.models import Image, Region
from app.storage.runs import deflate_runs
from app.storage.settings import read_review_settings, write_review_settings
from app.web.wire import pack_frame
from tests.browser.workspace import NAMES
from tests.unit.trust_cases import SIZE_HW, kind_of
from tests.unit.wire_cases import read_planes, see_image

DISGUISED = (RegionKind.AUDIT, RegionKind.PLANTED)
DECIDED = 90
STATES = ("open", "skipped", "second_review", "decided", "superseded")


def call_enough(store: Store, share: float) -> None:
    """Set the limit so that about this share of the images is good enough at once."""
    images = [work for work in list_image_work(store, limit=1000) if work.num_open > 0]
    limit = float(np.quantile([work.expected_errors for work in images], share)) / (SIZE_HW[0] * SIZE_HW[1])
    with store.session() as session:
        settings = read_review_settings(session)
        write_review_settings(session, settings.model_copy(update={"enough_share": limit}))
        session.flush()
        for work in images:
            refresh_states(session, session.get_one(Image, work.image_id))


@dataclass(frozen=True)
class Everything:
    """All that an annotator is told at one moment, image by image and region by region.

    Attributes:
        counts: of the whole workspace.
        rows: the queue.
        images: lines of the list of images, by id.
        pending: by image, the regions that wait in its picture.
        queued: by image, the rows that the queue lists of it.
        all_rows: the same, with images that are good enough.
        pictures: by image, header and planes.
        etags: by image, what a browser keeps to ask whether its planes still hold.
        lookalikes: by region, how many look like it.
        views: by region, what the reviewer opens.
        refusals: of ids that no picture shows, from 1 to behind the last region: the status of each address that takes
            a region's id.
    """

    counts: dict[str, int]
    rows: list[dict[str, Any]]
    images: dict[int, dict[str, Any]]
    pending: dict[int, set[int]]
    queued: dict[int, list[dict[str, Any]]]
    all_rows: dict[int, list[dict[str, Any]]]
    pictures: dict[int, tuple[dict[str, Any], dict[str, np.ndarray]]]
    etags: dict[int, str]
    lookalikes: dict[int, int]
    views: dict[int, dict[str, Any]]
    refusals: set[tuple[int, ...]]

    @classmethod
    def told(cls, client: TestClient, last_region: int, last_image: int) -> "Everything":
        def rows(query: str) -> list[dict[str, Any]]:
            return client.get(f"/api/queue?limit=1000{query}").json()["rows"]

        images = {row["image_id"]: row for row in client.get("/api/images?limit=1000").json()["images"]}
        etags, pictures = {}, {}
        for image_id in range(1, last_image + 1):
            answer = client.get(f"/api/images/{image_id}/planes")
            if answer.status_code == 200:
                etags[image_id], pictures[image_id] = answer.headers["etag"], see_image(client, image_id)
        every = rows("")
        pending = {
            image_id: {region["region_id"] for region in header["regions"]}
            for image_id, (header, _) in pictures.items()
        }
        unseen = set(range(1, last_region + 5)).difference(*pending.values())
        return cls(
            counts=client.get("/api/session").json()["counts"],
            rows=every,
            images=images,
            pending=pending,
            queued={image_id: rows(f"&image_id={image_id}") for image_id in images},
            all_rows={image_id: rows(f"&image_id={image_id}&include_enough=true") for image_id in images},
            pictures=pictures,
            etags=etags,
            lookalikes={
                row["region_id"]: len(client.get(f"/api/regions/{row['region_id']}/lookalikes").json()["rows"])
                for row in every
            },
            views={row["region_id"]: client.get(f"/api/regions/{row['region_id']}").json() for row in every},
            refusals={statuses(client, images, region_id) for region_id in unseen},
        )


def statuses(client: TestClient, images: Iterable[int], region_id: int) -> tuple[int, ...]:
    """What becomes of everything that can be asked or said about a region; saying needs to guess its image."""
    asked = [client.get(f"/api/regions/{region_id}{what}").status_code for what in ("", "/lookalikes", "/thumbnail")]
    said = {
        client.post(
            f"/api/images/{image_id}/comments", json={"text": "what is this?", "region_id": region_id}
        ).status_code
        for image_id in images
    }
    return (*asked, *said)


class Session:
    """What one annotator saw: everything before the first decision, and then region by region."""

    def __init__(self, client: TestClient, store: Store) -> None:
        self.client, self.store = client, store
        with store.reader() as session:
            last_region = session.scalar(select(func.max(Region.id))) or 0
            last_image = session.scalar(select(func.max(Image.id))) or 0
        self.start = Everything.told(client, last_region, last_image)
        self.seen: list[dict[str, Any]] = []
        self.lists: list[list[dict[str, Any]]] = [self.start.rows]
        while (rows := self.lists[-1]) and len(self.seen) < DECIDED:
            self.seen.append(self.review(rows[0]))
            self.lists.append(client.get("/api/queue?limit=1000").json()["rows"])

    def review(self, row: dict[str, Any]) -> dict[str, Any]:
        region_id, image_id = row["region_id"], row["image_id"]
        left = self.client.get("/api/session").json()["counts"]
        view = self.client.get(f"/api/regions/{region_id}").json()
        planes = see_image(self.client, image_id)
        relabel = len(self.seen) % 3 == 1
        sent = {
            "op_id": f"op-{len(self.seen)}", "kind": "relabel" if relabel else "accept", "image_id": image_id,
            "image_version": view["image_version"], "region_id": region_id,
            "class_id": (row["class_id"] + 1) % len(NAMES) if relabel else None, "session": "tab-1",
        }  # fmt: skip
        answer = self.client.post("/api/decisions", json=sent)
        assert answer.status_code == 200, answer.text
        after = see_image(self.client, image_id)
        kind = kind_of(self.store, region_id)
        return {"kind": kind, "row": row, "view": view, "planes": planes, "answer": answer.json(), "sent": sent,
                "after": after, "left": left}  # fmt: skip

    def of(self, *kinds: RegionKind) -> list[dict[str, Any]]:
        return [each for each in self.seen if each["kind"] in kinds]


def shape(value: Any) -> Any:
    """The keys and types of a JSON value."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


class Person:
    """Somebody who does the same thing to a region of each kind and compares the answers."""

    def __init__(self, client: TestClient, store: Store) -> None:
        self.client, self.store = client, store
        rows = client.get("/api/queue?limit=1000").json()["rows"]
        self.rows: dict[RegionKind, dict[str, Any]] = {}
        by_kind: dict[RegionKind, list[dict[str, Any]]] = {}
        for row in rows:
            by_kind.setdefault(kind_of(store, row["region_id"]), []).append(row)
        # Of each kind one in an image of its own, and regions of the pool and of decoys.
        taken: set[int] = set()
        for kind in (*DISGUISED, RegionKind.QUEUE):
            self.rows[kind] = next(row for row in by_kind[kind] if row["image_id"] not in taken)
            taken.add(self.rows[kind]["image_id"])

    def ids(self, query: str) -> set[int]:
        return {row["region_id"] for row in self.get(f"/api/queue?limit=1000&{query}")["rows"]}

    def get(self, address: str) -> Any:
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, address: str, **body: Any) -> Any:
        answer = self.client.post(address, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def decide(self, row: dict[str, Any], kind: str, **fields: Any) -> Any:
        return self.post("/api/decisions", **self.decision(row, kind), **fields)

    def decision(self, row: dict[str, Any], kind: str) -> dict[str, Any]:
        version = self.get(f"/api/regions/{row['region_id']}")["image_version"]
        return {
            "op_id": f"{kind}-{row['region_id']}-{version}", "kind": kind, "image_id": row["image_id"],
            "region_id": row["region_id"], "image_version": version, "session": "tab-1",
        }  # fmt: skip

    def draw(self, row: dict[str, Any]) -> Any:
        """Draw a region with the class that it is said to have."""
        _, planes = see_image(self.client, row["image_id"])
        x0, y0, x1, y1 = row["bbox"]
        mask = planes["regions"][y0:y1, x0:x1] == row["number"]
        drawn = deflate_runs(np.where(mask, row["class_id"], UNTOUCHED).astype(np.uint8))
        header = {**self.decision(row, "draw"), "bbox": row["bbox"], "closes_region": True}
        answer = self.client.post(
            "/api/decisions", content=pack_frame(header, [drawn]), headers={"content-type": "application/octet-stream"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def listed(self, row: dict[str, Any]) -> dict[str, Any]:
        """Where a region stands now, told by every address that lists any, in words that hold for every kind."""
        header, planes = see_image(self.client, row["image_id"])
        x0, y0, x1, y1 = row["bbox"]
        patch, cut = read_planes(
            self.client.get(f"/api/images/{row['image_id']}/patch?x0={x0}&y0={y0}&x1={x1}&y1={y1}").content
        )
        mask = cut["regions"] == row["number"]
        assert patch["regions"] == header["regions"]
        assert (planes["regions"][y0:y1, x0:x1] == cut["regions"]).all()
        return {
            "lists": [row["region_id"] in self.ids(f"image_id={row['image_id']}&state={state}") for state in STATES],
            "view": shape({**self.get(f"/api/regions/{row['region_id']}"), "top_classes": []}),
            "state": self.get(f"/api/regions/{row['region_id']}")["row"]["state"],
            "pending": [each["state"] for each in header["regions"] if each["number"] == row["number"]],
            "human": bool(planes["human"][planes["regions"] == row["number"]].all()),
            "patch": (mask.sum() == row["area"], bool(cut["reliable"][mask].any()), len(np.unique(cut["label"][mask]))),
            "comments": shape(self.get(f"/api/images/{row['image_id']}/comments")),
            "questions": [
                shape(each) for each in self.get("/api/questions")["questions"] if each["region_id"] == row["region_id"]
            ],
            "own": {
                name: value for name, value in self.get("/api/quality/mine").items() if isinstance(value, (int, float))
            },
        }  # fmt: skip


def act(ann: Person, row: dict[str, Any], what: str) -> Any:
    if what == "comment":
        body = {"text": "what is this?", "region_id": row["region_id"], "is_question": True}
        return ann.post(f"/api/images/{row['image_id']}/comments", **body)
    if what == "rest":
        version = ann.get(f"/api/regions/{row['region_id']}")["image_version"]
        sent = {"op_id": f"rest-{row['region_id']}", "kind": "accept_rest", "image_id": row["image_id"]}
        return ann.post(f"/api/images/{row['image_id']}/accept-rest", **sent, image_version=version, session="tab-1")
    if what == "flag":
        _, planes = see_image(ann.client, row["image_id"])
        y, x = np.argwhere((planes["reliable"] > 0) & (planes["human"] == 0))[0]
        op_id = f"flag-{row['region_id']}"
        return ann.post("/api/flags", op_id=op_id, image_id=row["image_id"], x=int(x), y=int(y), session="tab-1")
    fields: dict[str, Any] = {}
    if what == "relabel":
        fields["class_id"] = (row["class_id"] + 1) % len(NAMES)
    if what == "draw":
        return ann.draw(row)
    return ann.decide(row, what, **fields)
