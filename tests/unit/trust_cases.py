"""A workspace with street scenes in which audits, planted errors and control images are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image as Picture
from sqlalchemy import select

from app.config import Workspace
from app.domain.regions import RegionRules
from app.domain.states import DecisionKind, ImageRole, ModelStatus, RegionKind
from app.services.controls import choose_controls
from app.services.decoys import are_decoys_wanted, decoys_and_others
from app.services.importing import import_dataset
from app.services.predicting import prediction_order
from app.services.probe_mixing import activate_probes
from app.services.proposals import store_proposal
from app.services.review_types import QueueFilter, RegionView
from app.storage.database import Store, open_store
from app.storage.models import Image, Region
from app.storage.probes import ControlImage, Probe
from app.storage.settings import ReviewSettings, write_review_settings
from app.storage.trust_settings import TrustSettings
from datasets.images import read_image
from datasets.labels import ClassSet
from export.session import Prediction
from tests.browser.workspace import (
    NAMES,
    SceneFiles,
    add_model,
    draw_scene,
    paint_picture,
    predict_scene,
)  # fmt: skip
from tests.unit.made_workspace import Reviewer, copy_store, set_trust

SEED = 20_261_126
TRUST = TrustSettings(audit_share=0.05, planted_share=0.04, control_share=0.1, seed=SEED, intensity=1 / 4000)
SIZE_HW = (120, 160)
SMALL_REGIONS = RegionRules(max_area_share=0.04)
"""A blob of doubt covers a tenth of these small pictures: in one piece, few would have one true class."""


@dataclass(frozen=True)
class Scene:
    """The workspace's folder and what is true about its images, by name."""

    root: Path
    truth: Mapping[str, np.ndarray]


def make_scene(root: Path, pool: int = 10, trust: TrustSettings = TRUST) -> Scene:
    """Six labeled images, one gold image and a pool, predicted with errors in doubtful blobs; closed."""
    rng = np.random.default_rng(11)
    names = [f"a_{i}" for i in range(6)] + ["gold_0"] + [f"pool_{i:02d}" for i in range(pool)]
    truth = {name: draw_scene(rng, SIZE_HW) for name in names}
    folder = root / "source"
    folder.mkdir(parents=True)
    for name, label in truth.items():
        Picture.fromarray(paint_picture(label, rng)).save(folder / f"{name}.png")
    store = open_store(Workspace(root / "workspace"), create=True)
    import_dataset(store, SceneFiles(folder, truth, ClassSet.from_names(NAMES)), set(names[:6]), {"gold_0"})
    set_trust(store, trust)
    with store.session() as session:
        write_review_settings(session, ReviewSettings(region_rules=SMALL_REGIONS))
    add_model(store, 1, ModelStatus.CURRENT, miou=0.6)
    predict(store, truth, 1)
    store.close()
    return Scene(store.workspace.root, truth)


def predict(store: Store, truth: Mapping[str, np.ndarray], model_id: int) -> None:
    """What `predict_pool` does, with made-up predictions."""
    choose_controls(store)
    with store.reader() as session:
        pool = session.scalars(select(Image).where(Image.role == ImageRole.POOL)).all()
    decoys, others = decoys_and_others(store)
    for image in prediction_order(pool, [*decoys, *others]):
        if image not in others or are_decoys_wanted(store):
            rng = np.random.default_rng([model_id, image.id])
            store_proposal(store, image.id, model_id, predict_scene(truth[image.sample_id], rng))
    activate_probes(store)


def copy_scene(scene: Scene, root: Path) -> Store:
    """A store of its own."""
    return copy_store(scene.root, root)


def kind_of(store: Store, region_id: int) -> RegionKind:
    """What a region really is."""
    with store.reader() as session:
        return session.get_one(Region, region_id).kind


def probes(store: Store, kind: RegionKind) -> list[tuple[Region, Probe]]:
    """All probes of a kind, in the order of drawing."""
    with store.reader() as session:
        statement = select(Region, Probe).join(Probe, Probe.region_id == Region.id).where(Probe.kind == kind)
        return [(region, probe) for region, probe in session.execute(statement.order_by(Probe.draw_order))]


def control_ids(store: Store) -> set[int]:
    """Ids of the control images."""
    with store.reader() as session:
        return set(session.scalars(select(ControlImage.image_id)))


def image_named(store: Store, name: str) -> Image:
    """An image by its name."""
    with store.reader() as session:
        return session.scalars(select(Image).where(Image.sample_id == name)).one()


class Annotator(Reviewer):
    """Somebody who takes one region after the other as the reviewer page does: always the head of their queue."""

    def head(self, **filters: object) -> RegionView | None:
        rows = self.service.queue(QueueFilter(person=self.name["user"], **filters), limit=40)
        return self.service.region(rows[0].region_id) if rows else None

    def take(self, kind: DecisionKind = DecisionKind.ACCEPT, **fields: object) -> RegionView | None:
        """Decide the head of the queue; None when it is empty."""
        view = self.head()
        if view is not None and kind_of(self.store, view.row.region_id) is RegionKind.CONTROL:
            self.decide(DecisionKind.DRAW, view, closes_region=True)
        elif view is not None:
            self.decide(kind, view, **fields)
        return view


def roles(store: Store) -> dict[int, ImageRole]:
    """Role of each image by id."""
    with store.reader() as session:
        return {image.id: image.role for image in session.scalars(select(Image))}


class ScenePredictor:
    """Says about a picture what the template's model said; counts its calls."""

    device = "cpu"
    metadata = SimpleNamespace(method="csl", calibration=None)
    class_set = ClassSet.from_names(NAMES)

    def __init__(self, store: Store, scene: Scene) -> None:
        self.calls = 0
        self.fails: Exception | None = None
        with store.reader() as session:
            self._said = {
                read_image(store.workspace.absolute(image.path)).tobytes(): (image.id, scene.truth[image.sample_id])
                for image in session.scalars(select(Image))
            }

    def predict(self, picture: np.ndarray) -> Prediction:
        self.calls += 1
        if self.fails is not None:
            raise self.fails
        image_id, truth = self._said[picture.tobytes()]
        return predict_scene(truth, np.random.default_rng([1, image_id]))
