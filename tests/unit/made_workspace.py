"""A small workspace with made-up images, labels and predictions, shared by the tests of the application."""

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import Connection, Table, create_engine, select

from app.config import Workspace
from app.domain.states import DecisionKind, ImageRole, ModelStatus
from app.services.importing import import_dataset
from app.services.proposals import store_proposal
from app.services.review_types import DecisionRequest, QueueFilter
from app.services.reviewing import ReviewService
from app.storage import dump
from app.storage.database import Store, open_store
from app.storage.location import DATABASE_URL_VARIABLE, database_url
from app.storage.models import Image, Model
from app.storage.trust_settings import TrustSettings, write_trust_settings
from datasets.images import encode_plane_png, read_image
from datasets.labels import ClassSet
from datasets.sample import Sample
from export.session import Prediction

CLASSES = ClassSet.from_names(("sky", "road", "car"))
SIZE_HW = (60, 80)


class FilesDataset:
    """Images (and labels) that were written to a folder by the test."""

    def __init__(self, folder: Path, labels: dict[str, np.ndarray | None], class_set: ClassSet = CLASSES):
        self.class_set = class_set
        self._folder = folder
        self._labels = labels

    def __len__(self):
        return len(self._labels)

    @property
    def sample_ids(self):
        return tuple(self._labels)

    def image_path(self, index):
        return self._folder / f"{self.sample_ids[index]}.png"

    def is_labeled(self, index):
        return self._labels[self.sample_ids[index]] is not None

    def __getitem__(self, index):
        name = self.sample_ids[index]
        return Sample(name, read_image(self.image_path(index)), self._labels[name])


def write_picture(folder: Path, name: str, seed: int, size_hw: tuple[int, int] = SIZE_HW) -> None:
    """A smooth random RGB picture; another seed gives other bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC))


def random_label(seed: int, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """Class ids in coarse blocks, with some void."""
    blocks = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (4, 5))
    return cv2.resize(blocks, size_hw[::-1], interpolation=cv2.INTER_NEAREST)


def make_dataset(folder: Path, labeled: Sequence[str], pool: Sequence[str]) -> FilesDataset:
    """A data set of PNG files."""
    labels: dict[str, np.ndarray | None] = {}
    for seed, name in enumerate([*labeled, *pool]):
        write_picture(folder, name, seed)
        labels[name] = random_label(seed) if name in labeled else None
    return FilesDataset(folder, labels)


NO_PROBES = TrustSettings(audit_share=0, planted_share=0, control_share=0)
"""Every region that anybody is given comes from the queue."""


def make_store(root: Path, pool: Sequence[str] = ("pool_0",), trust: TrustSettings = NO_PROBES) -> Store:
    """A workspace with two labeled images, one gold image, the pool images and a model."""
    dataset = make_dataset(root / "source", ("labeled_0", "labeled_1", "gold_0"), pool)
    store = open_store(Workspace(root / "workspace"), create=True)
    import_dataset(store, dataset, {"labeled_0", "labeled_1"}, {"gold_0"})
    set_trust(store, trust)
    add_model(store, ModelStatus.CURRENT)
    return store


def set_trust(store: Store, trust: TrustSettings = NO_PROBES) -> None:
    """Choose how many probes a workspace has, before anything is predicted."""
    with store.session() as session:
        write_trust_settings(session, trust)


def make_reviewable(root: Path, pool: Sequence[str] = ("pool_0",)) -> Store:
    """`make_store` with a proposal for every pool image."""
    store = make_store(root, pool)
    for seed, image_id in enumerate(pool_ids(store)):
        store_proposal(store, image_id, 1, make_prediction(seed))
    return store


def add_model(store: Store, status: ModelStatus) -> int:
    """A model's row; its file does not exist."""
    with store.session() as session:
        model = Model(round=1, onnx_path="rounds/001/student.onnx", onnx_sha256="0" * 64, status=status, method="csl")
        session.add(model)
        session.flush()
        return model.id


def pool_ids(store: Store) -> list[int]:
    """Ids of the pool images, by name."""
    with store.reader() as session:
        statement = select(Image.id).where(Image.role == ImageRole.POOL).order_by(Image.sample_id)
        return list(session.scalars(statement))


def make_prediction(seed: int, size_hw: tuple[int, int] = SIZE_HW) -> Prediction:
    """Three broad classes side by side, and a few round blobs in which the model is unsure."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    label = np.broadcast_to(np.arange(width) * 3 // width, size_hw).astype(np.uint8)
    confidence = np.full(size_hw, 0.95, np.float32)
    for column in range(4):
        center = (int((column + 0.5) * width / 4), int(rng.integers(12, height - 12)))
        blob = cv2.circle(np.zeros(size_hw, np.uint8), center, int(rng.integers(6, 9)), 1, -1) > 0
        confidence[blob] = 0.4 + 0.05 * column + 0.02 * rng.random()
    probabilities = np.broadcast_to((1 - confidence) / 2, (3, *size_hw)).copy()
    np.put_along_axis(probabilities, label[None].astype(np.int64), confidence[None], axis=0)
    reliable = confidence > 0.9
    return Prediction(
        label=label,
        confidence=confidence,
        margin=2 * confidence - 1,
        residual_variance=np.zeros(size_hw, np.float32),
        weight=np.where(reliable, np.float32(0.8), np.float32(0.3)),
        reliable=reliable,
        probabilities=probabilities,
    )


def request(kind: DecisionKind, op_id: str, image_id: int, version: int, **fields) -> DecisionRequest:
    """A request of Ann in her first tab."""
    defaults = {"user": "ann", "session": "tab-1"}
    return DecisionRequest(op_id, kind, image_id, version, **{**defaults, **fields})


def write_label(path: Path, label: np.ndarray) -> None:
    """A label as a gray PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_plane_png(label))


class Reviewer:
    """Ann at work: sends requests with fresh ids and the image version she saw last."""

    def __init__(self, store, user="ann", session="tab-1"):
        self.store = store
        self.service = ReviewService(store)
        self.name = {"user": user, "session": session}
        self._numbers = itertools.count()

    def new_id(self):
        return f"{self.name['user']}-{self.name['session']}-{next(self._numbers)}"

    def region(self, index=0):
        return self.service.region(self.service.queue(QueueFilter())[index].region_id)

    def decide(self, kind, view, **fields):
        fields = {"region_id": view.row.region_id, **fields}
        version = fields.pop("version", None)
        if version is None:
            version = self.service.image(view.row.image_id).image_version
        return self.service.decide(request(kind, self.new_id(), view.row.image_id, version, **self.name, **fields))

    def draw(self, image_id, delta, **fields):
        version = fields.pop("version", self.service.image(image_id).image_version)
        sent = request(DecisionKind.DRAW, self.new_id(), image_id, version, delta=delta, **self.name, **fields)
        return self.service.decide(sent)

    def undo(self):
        return self.service.undo(**self.name, op_id=self.new_id())

    def redo(self):
        return self.service.redo(**self.name, op_id=self.new_id())

    def state(self, image_id):
        planes = self.service.image_planes(image_id)
        rows = self.service.queue(QueueFilter(image_id=image_id), limit=500)
        states = [(row.region_id, row.state.value) for row in rows]
        return planes.label.tobytes(), planes.provenance.tobytes(), states, self.service.image(image_id).state


def mask_of(planes, view) -> np.ndarray:
    """(H, W) True on the pixels of a region."""
    return planes.region_map == view.row.number


def make_template(root: Path, pool: Sequence[str]) -> Path:
    """`make_reviewable`, closed, so that tests can copy it."""
    store = make_reviewable(root, pool)
    store.close()
    return store.workspace.root


def copy_store(template: Path, root: Path) -> Store:
    """A store of its own with everything in a closed template."""
    workspace = Workspace(root / "workspace")
    if os.environ.get(DATABASE_URL_VARIABLE) is None:
        shutil.copytree(template, workspace.root)
        return open_store(workspace)
    shutil.copytree(template, workspace.root, ignore=shutil.ignore_patterns("pixelsieve.db*"))
    store = open_store(workspace, create=True)
    copy_rows(template / "pixelsieve.db", store)
    return store


def copy_rows(source: Path, store: Store) -> None:
    """The rows of a closed template, put into a store that has none; it stays the workspace that it is."""
    with store.session() as session:
        writing = session.connection()
        tables = _tables_of(writing)
        for table in tables:
            rows = _rows_in(source)[table.name]
            if table.name == "setting":
                rows = [line for line in rows if b'"key":"workspace_id"' not in line]
            dump.insert(writing, table, rows)
        dump.continue_ids(writing, tables)


@cache
def _rows_in(source: Path) -> dict[str, list[bytes]]:
    engine = create_engine(f"sqlite:///{source}")
    with engine.connect() as reading:
        found = {table.name: list(dump.lines(reading, table)) for table in dump.tables_of(reading)}
    engine.dispose()
    return found


_tables: dict[str, list[Table]] = {}


def _tables_of(connection: Connection) -> list[Table]:
    """The tables of this version; to look them up takes longer than to copy a small store's rows."""
    kind = connection.dialect.name
    if kind not in _tables:
        _tables[kind] = dump.tables_of(connection)
    return _tables[kind]


@contextmanager
def raw_connection(workspace: Workspace) -> Iterator[Connection]:
    """A connection as another program makes it: without our settings, locks and checks."""
    engine = create_engine(database_url(workspace) or f"sqlite:///{workspace.database}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def everything_stored(store: Store) -> bytes:
    """All rows as text, and the bytes of the database's files where it has files."""
    with store.reader() as session:
        connection = session.connection()
        rows = b"".join(line for table in _tables_of(connection) for line in dump.lines(connection, table))
    return rows + b"".join(path.read_bytes() for path in sorted(store.workspace.root.glob("pixelsieve.db*")))


def changing_statement(kind: str, table: str, column: str, dialect: str) -> str:
    """SQL that would change or remove rows: update, delete, replace or truncate."""
    statements = {
        "update": f"UPDATE {table} SET \"{column}\" = 'eve'",
        "delete": f"DELETE FROM {table}",
        "replace": f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "truncate": f"DELETE FROM {table} WHERE true",
    }
    if dialect == "postgresql":
        statements["replace"] = (
            f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET \"{column}\" = 'eve'"
        )
        statements["truncate"] = f"TRUNCATE {table} CASCADE"
    return statements[kind]
