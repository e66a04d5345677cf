"""Gold images are frozen, and a measurement is kept as a whole or not at all."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select, update

from app.domain.states import ImageRole
from app.services import gold as gold_module
from app.services import gold_files
from app.services.gold import evaluate_gold, gold_images, measure_again
from app.services.gold_files import read_gold_counts, read_gold_prediction
from app.services.processes import Monitor, WorkCancelledError
from app.services.rounds import list_models
from app.storage.database import Store
from app.storage.models import Image
from datasets.files import sha256_of
from datasets.images import read_plane
from datasets.progress import Progress
from tests.unit.made_workspace import copy_store
from tests.unit.round_cases import CLASSES, FakeCommands, FakePredictor, import_pictures, run

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    import_pictures(root / "source", root / "workspace")
    return root / "workspace"


@pytest.fixture
def store(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    store = copy_store(imported, tmp_path)
    yield store
    store.close()


@pytest.fixture
def onnx(store: Store) -> Path:
    """A model file that no row knows."""
    path = store.workspace.rounds / "001" / "student.onnx"
    path.parent.mkdir(parents=True)
    path.write_text("dark")
    return path


def file_of(store: Store, what: str) -> Path:
    """The picture or the label of the first gold image."""
    image = gold_images(store)[0]
    return store.workspace.absolute(image.path if what == "picture" else image.label_path or "")


def test_predictions_and_counts_of_every_gold_image_are_kept_beside_the_model(store: Store, onnx: Path) -> None:
    gold = evaluate_gold(store, onnx, Monitor()).gold
    assert gold is not None
    folder = store.workspace.absolute(gold["folder"])
    assert folder.parent == onnx.parent / "gold"
    images = gold_images(store)
    counts = read_gold_counts(folder, len(CLASSES))
    assert counts is not None
    assert [image.sample_id for image in counts.images] == [image.sample_id for image in images] == ["g1", "g2"]
    assert counts.counts.labeled.tolist() == [[192, 192], [192, 192]]  # 16 x 24, half of it dark
    assert counts.counts.hits.tolist() == [[192, 0], [192, 0]]
    assert counts.counts.predicted.tolist() == [[384, 0], [384, 0]]
    assert np.array_equal(read_gold_prediction(folder, images[0].sha256), np.zeros((16, 24), np.uint8))


@pytest.mark.parametrize("what", ["picture", "label"])
def test_a_gold_file_that_was_changed_is_refused_and_nothing_is_kept(store: Store, onnx: Path, what: str) -> None:
    path = file_of(store, what)
    Picture.fromarray(255 - np.asarray(Picture.open(path))).save(path)
    with pytest.raises(ValueError, match=f"the {what} of the gold image g1 was changed after import"):
        evaluate_gold(store, onnx, Monitor())
    assert list(onnx.parent.iterdir()) == [onnx]


@pytest.mark.parametrize("what", ["picture", "label"])
def test_a_gold_file_that_is_missing_is_refused_and_named_as_people_know_it(
    store: Store, onnx: Path, what: str
) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "g1").values(name="Straße 1"))
    file_of(store, what).unlink()
    with pytest.raises(ValueError, match=f"the {what} of the gold image Straße 1 is missing"):
        evaluate_gold(store, onnx, Monitor())


def test_the_import_hashes_labels_as_they_are_on_disk(store: Store) -> None:
    for image in gold_images(store):
        assert image.label_sha256 == sha256_of(store.workspace.absolute(image.label_path or ""))


def test_a_label_from_before_labels_were_hashed_is_frozen_at_the_first_look(store: Store, onnx: Path) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.role == ImageRole.GOLD).values(label_sha256=None))
    before = evaluate_gold(store, onnx, Monitor()).gold
    with store.reader() as session:
        hashes = session.scalars(select(Image.label_sha256).where(Image.role == ImageRole.GOLD)).all()
    assert None not in hashes
    assert before is not None
    path = file_of(store, "label")
    Picture.fromarray(1 - read_plane(path)).save(path)
    with pytest.raises(ValueError, match="was changed after import"):
        evaluate_gold(store, onnx, Monitor())


def test_a_model_whose_confidence_is_no_number_is_refused(
    store: Store, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DivergedPredictor(FakePredictor):
        def predict(self, image: np.ndarray):
            prediction = super().predict(image)
            prediction.confidence[3, 5] = np.nan
            return prediction

    monkeypatch.setattr(gold_module, "load_predictor", DivergedPredictor)
    with pytest.raises(ValueError, match="gold image g1 is not a number everywhere"):
        evaluate_gold(store, onnx, Monitor())
    assert list((onnx.parent / "gold").iterdir()) == []


def test_a_full_disk_keeps_nothing_of_a_measurement(store: Store, onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(gold_files, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        evaluate_gold(store, onnx, Monitor())
    assert list((onnx.parent / "gold").iterdir()) == []


def test_a_cancelled_measurement_keeps_nothing(store: Store, onnx: Path) -> None:
    with store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "g1").values(name="Straße 1"))
    seen: list[Progress] = []
    with pytest.raises(WorkCancelledError):
        evaluate_gold(store, onnx, Monitor(on_progress=seen.append, should_cancel=lambda: len(seen) == 1))
    assert [progress.message for progress in seen] == ["Straße 1"]
    assert list((onnx.parent / "gold").iterdir()) == []


def test_measuring_again_replaces_the_row_and_removes_the_earlier_folder(store: Store, tmp_path: Path) -> None:
    run(store, FakeCommands(tmp_path / "started"))
    model = list_models(store)[0]
    assert model.gold is not None
    before = store.workspace.absolute(model.gold["folder"])
    measure_again(store, model, Monitor())
    after = list_models(store)[0].gold
    assert after is not None
    assert {**after, "folder": ""} == {**model.gold, "folder": ""}
    assert not before.exists() and store.workspace.absolute(after["folder"]).is_dir()


def test_damaged_counts_are_no_counts(store: Store, onnx: Path) -> None:
    gold = evaluate_gold(store, onnx, Monitor()).gold
    assert gold is not None
    folder = store.workspace.absolute(gold["folder"])
    assert read_gold_counts(folder, len(CLASSES) + 1) is None
    (folder / "counts.json").write_text("{")
    assert read_gold_counts(folder, len(CLASSES)) is None
