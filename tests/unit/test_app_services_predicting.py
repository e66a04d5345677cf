"""Proposals for the pool: one bad image, an interruption or a changed model file never spoil the rest."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select, update

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services import predicting
from app.services.decoys import join_decoys, may_decoys_join
from app.services.failed_predictions import failed_images
from app.services.predicting import predict_pool
from app.services.processes import WorkCancelledError
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import Store, open_store
from app.storage.errors import DiskFullError
from app.storage.models import Image, Model, Proposal
from app.storage.trust_settings import TrustSettings
from datasets.files import sha256_of
from datasets.labels import ClassSet
from datasets.progress import Progress
from export.session import Prediction
from tests.unit.made_workspace import set_trust

pytestmark = pytest.mark.usefixtures("each_database")

CLASSES = ClassSet.from_names(["left", "right"])


class FakePredictor:
    """Every pixel is class 0 and reliable; counts its calls and can be told to fail."""

    device = "cpu"
    metadata = SimpleNamespace(method="csl")

    def __init__(self) -> None:
        self.class_set = CLASSES
        self.calls = 0
        self.failing_call: int | None = None

    def predict(self, image: np.ndarray) -> Prediction:
        self.calls += 1
        if self.calls == self.failing_call:
            raise RuntimeError("out of memory on this picture")
        size = image.shape[:2]
        ones, probabilities = np.ones(size, np.float32), np.zeros((2, *size), np.float32)
        probabilities[0] = 1
        return Prediction(np.zeros(size, np.uint8), ones, ones, ones, ones, np.ones(size, bool), probabilities)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Four pool images, one labeled one and a current model."""
    source = tmp_path / "source"
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (source / kind).mkdir(parents=True)
    for name in ("labeled", "p1", "p2", "p3", "p4"):
        Picture.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(source / "images" / f"{name}.png")
    Picture.fromarray(np.ones((20, 30), np.uint8)).save(source / "masks" / "labeled.png")
    (source / "classes.json").write_text(json.dumps(CLASSES.to_json()))
    workspace = Workspace(tmp_path / "workspace")
    store = open_store(workspace, create=True)
    run_import(store, plan_import(ImportSource(source, "folder", gold_share=0.0)), lambda progress: None)
    set_trust(store)
    add_model(store, 1, ModelStatus.CURRENT)
    yield store
    store.close()


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    predictor = FakePredictor()
    monkeypatch.setattr(predicting, "load_predictor", lambda path: predictor)
    return predictor


def add_model(store: Store, number: int, status: ModelStatus) -> Path:
    path = store.workspace.rounds / f"{number:03d}" / "student.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a model")
    with store.session() as session:
        stored = store.workspace.relative(path)
        session.add(Model(round=number, onnx_path=stored, onnx_sha256=sha256_of(path), status=status))
    return path


def predict(store: Store, model_id: int | None = None, stop_after: int = 99) -> predicting.PredictReport:
    seen: list[Progress] = []
    return predict_pool(store, store.workspace, model_id, seen.append, lambda: len(seen) >= stop_after)


def file_of(store: Store, sample_id: str) -> Path:
    with store.reader() as session:
        return store.workspace.absolute(session.scalars(select(Image.path).where(Image.sample_id == sample_id)).one())


def images_with_proposal(store: Store) -> list[str]:
    with store.reader() as session:
        query = select(Image.sample_id).join(Proposal, Proposal.image_id == Image.id).where(Proposal.active)
        return sorted(session.scalars(query))


def test_every_pool_image_gets_a_proposal_and_no_other(store: Store, predictor: FakePredictor) -> None:
    report = predict(store)
    assert (report.predicted, report.skipped, report.failed) == (4, 0, ())
    assert images_with_proposal(store) == ["p1", "p2", "p3", "p4"]


def test_probes_join_in_blocks_so_that_nobody_knows_their_images_by_then(
    store: Store, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed: list[int] = []
    monkeypatch.setattr(predicting, "MIXED_AT_ONCE", 3)
    monkeypatch.setattr(predicting, "activate_probes", lambda store: proposed.append(len(images_with_proposal(store))))
    predict(store)
    assert proposed == [3, 4]


def test_predicting_again_skips_what_this_model_has_done(store: Store, predictor: FakePredictor) -> None:
    predict(store)
    report = predict(store)
    assert (report.predicted, report.skipped, predictor.calls) == (0, 4, 4)


def test_another_model_predicts_everything_anew(store: Store, predictor: FakePredictor) -> None:
    predict(store)
    add_model(store, 2, ModelStatus.CANDIDATE)
    assert predict(store, model_id=2).predicted == 4


def test_a_stopped_prediction_keeps_what_it_did_and_goes_on_later(store: Store, predictor: FakePredictor) -> None:
    with pytest.raises(WorkCancelledError, match="stopped after 2 of 4 images"):
        predict(store, stop_after=2)
    assert images_with_proposal(store) == ["p1", "p2"]
    report = predict(store)
    assert (report.predicted, report.skipped) == (2, 2)


def test_an_image_that_the_model_fails_on_does_not_stop_the_rest(store: Store, predictor: FakePredictor) -> None:
    predictor.failing_call = 2
    report = predict(store)
    assert report.failed == (("p2", "out of memory on this picture"),)
    assert images_with_proposal(store) == ["p1", "p3", "p4"]


def test_an_image_file_that_was_damaged_does_not_stop_the_rest_and_waits_for_its_file(
    store: Store, predictor: FakePredictor
) -> None:
    path = file_of(store, "p3")
    content = path.read_bytes()
    path.write_bytes(b"no picture")
    report = predict(store)
    assert [sample_id for sample_id, _ in report.failed] == ["p3"]
    assert images_with_proposal(store) == ["p1", "p2", "p4"]
    assert predicting.unpredicted_images(store) == 0
    assert [(image.name, image.reason) for image in failed_images(store)] == list(report.failed)
    assert predict(store).failed == report.failed  # Whoever asks again gets another attempt.
    path.write_bytes(content)
    assert (predicting.unpredicted_images(store), failed_images(store)) == (1, [])
    assert (predict(store).predicted, predicting.unpredicted_images(store)) == (1, 0)
    with store.session() as session:
        session.execute(update(Proposal).values(active=False))
    assert (predicting.unpredicted_images(store), failed_images(store)) == (4, [])


def test_another_model_is_asked_about_images_that_one_failed_on(store: Store, predictor: FakePredictor) -> None:
    file_of(store, "p3").unlink()
    predict(store)
    with store.session() as session:
        session.get_one(Model, 1).status = ModelStatus.RETIRED
    add_model(store, 2, ModelStatus.CURRENT)
    assert (predicting.unpredicted_images(store), predicting.predicted_images(store)) == (4, 0)
    predict(store)
    assert (predicting.unpredicted_images(store), predicting.predicted_images(store)) == (0, 3)


def test_labeled_images_leave_the_lists_although_one_of_the_pool_was_never_predicted(
    store: Store, predictor: FakePredictor
) -> None:
    set_trust(store, TrustSettings(planted_share=0.04))
    with store.session() as session:
        join_decoys(session, session.scalars(select(Image).where(Image.sample_id == "labeled")).one())
        assert may_decoys_join(session)
    file_of(store, "p4").write_bytes(b"no picture")
    predict(store)
    with store.reader() as session:
        assert not may_decoys_join(session)


def test_people_are_not_told_that_a_label_cannot_be_read_which_only_decoys_have(
    store: Store, predictor: FakePredictor, caplog: pytest.LogCaptureFixture
) -> None:
    set_trust(store, TrustSettings(planted_share=0.04))
    with store.session() as session:
        labeled = session.scalars(select(Image).where(Image.sample_id == "labeled")).one()
        join_decoys(session, labeled)
    store.workspace.absolute(labeled.label_path or "").unlink()
    assert predict(store).failed == ()
    assert failed_images(store) == []
    assert images_with_proposal(store) == ["p1", "p2", "p3", "p4"]
    assert f"no proposal for {labeled.name}: its label cannot be read" in caplog.text


def test_a_full_disk_stops_at_once_because_it_concerns_every_image(
    store: Store, predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise DiskFullError("no room left")

    monkeypatch.setattr(predicting, "store_proposal", refuse)
    with pytest.raises(DiskFullError):
        predict(store)
    assert predictor.calls == 1


def test_progress_counts_images_and_names_them(store: Store, predictor: FakePredictor) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "p1").values(name="Straße 1"))
    seen: list[Progress] = []
    predict_pool(store, store.workspace, None, seen.append, lambda: False)
    assert [progress.message for progress in seen[:2]] == ["Straße 1", "p2"]
    assert [(progress.done, progress.total) for progress in seen] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_model_file_that_changed_is_refused(store: Store, predictor: FakePredictor) -> None:
    (store.workspace.rounds / "001" / "student.onnx").write_bytes(b"another model")
    with pytest.raises(ValueError, match="was changed after it was registered"):
        predict(store)


def test_a_model_with_other_classes_is_refused(store: Store, predictor: FakePredictor) -> None:
    predictor.class_set = ClassSet.from_names(["left", "top"])
    with pytest.raises(RuntimeError, match="class 1 is 'right' here and 'top' there"):
        predict(store)


def test_without_a_model_the_error_says_how_to_make_one(store: Store, predictor: FakePredictor) -> None:
    with store.session() as session:
        session.get_one(Model, 1).status = ModelStatus.REJECTED
    with pytest.raises(LookupError, match="pixelsieve train -w"):
        predict(store)


def test_a_file_that_is_no_model_is_refused_with_its_name(store: Store) -> None:
    with pytest.raises(ValueError, match=r"student\.onnx"):
        predict(store)
