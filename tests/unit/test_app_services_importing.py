"""Importing: exact bytes, every odd file named, nothing twice, roles that never change in silence."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select, update

from app.config import Workspace
from app.domain.states import ImageRole, ImageState
from app.services import importing
from app.services.importing import import_dataset
from app.storage.database import open_store
from app.storage.models import Image
from app.storage.settings import ClassSetChangedError, read_class_set
from datasets import images
from datasets.images import decode_upright, read_plane
from datasets.labels import ClassSet
from datasets.lookup import build_dataset
from tests.unit.made_workspace import CLASSES, FilesDataset, make_dataset, random_label, write_label, write_picture

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path):
    return open_store(Workspace(tmp_path / "workspace"), create=True)


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / "source", ("a", "b", "g"), ("p",))


def rows(store):
    with store.reader() as session:
        return {image.sample_id: image for image in session.scalars(select(Image))}


def test_image_bytes_are_copied_unchanged_and_named_by_their_hash(store, dataset):
    import_dataset(store, dataset, None, set())
    original = dataset.image_path(3).read_bytes()
    image = rows(store)["p"]
    stored = store.workspace.absolute(image.path)
    assert stored.read_bytes() == original
    assert image.sha256 == hashlib.sha256(original).hexdigest()
    assert stored == store.workspace.images / image.sha256[:2] / f"{image.sha256}.png"


def test_every_picture_is_decoded_once(store, dataset, monkeypatch):
    decoded = Counter()

    def count(data, source, *rest):
        decoded[Path(source).stem] += 1
        return decode_upright(data, source, *rest)

    monkeypatch.setattr(images, "decode_upright", count)
    import_dataset(store, dataset, {"a"}, {"g"})
    assert decoded == {"a": 1, "b": 1, "g": 1, "p": 1}


def test_the_name_that_people_know_is_kept_beside_the_id(store, tmp_path):
    write_picture(tmp_path / "own" / "images", "Foto 0 ü", 1)
    write_label(tmp_path / "own" / "masks" / "Foto 0 ü.png", random_label(1))
    seen = []
    import_dataset(store, build_dataset("folder", tmp_path / "own", "train"), None, set(), seen.append)
    assert seen[0].message == "Foto 0 ü"
    (image,) = rows(store).values()
    assert (image.name, image.file_name) == ("Foto 0 ü", "Foto 0 ü.png")
    assert image.sample_id.startswith("Foto_0___")


def test_images_of_earlier_versions_get_the_names_of_their_files_when_they_are_imported_again(store, tmp_path):
    for name, seed in (("Foto 0 ü", 1), ("same", 1), ("plain", 2)):
        write_picture(tmp_path / "own" / "images", name, seed)
        write_label(tmp_path / "own" / "masks" / f"{name}.png", random_label(seed))
    source = build_dataset("folder", tmp_path / "own", "train")
    import_dataset(store, source, None, set())
    with store.session() as session:
        session.execute(update(Image).values(name=Image.sample_id, file_name=Image.sample_id + ".png"))
    before = {image.id: image.sample_id for image in rows(store).values()}
    report = import_dataset(store, source, None, set())
    assert (report.named, report.unchanged, report.duplicates) == (1, 2, (("same", "Foto 0 ü"),))
    assert {image.name for image in rows(store).values()} == {"Foto 0 ü", "plain"}
    assert {image.id: image.sample_id for image in rows(store).values()} == before
    assert import_dataset(store, source, None, set()).named == 0


def test_damaged_files_of_the_workspace_are_there_again_after_another_import(store, dataset):
    import_dataset(store, dataset, {"a"}, {"g"})
    absolute, images = store.workspace.absolute, rows(store)
    files = [absolute(path) for path in (images["p"].path, images["a"].path, images["a"].label_path)]
    contents = [file.read_bytes() for file in files]
    files[0].write_bytes(b"no picture")
    files[1].unlink()
    files[2].write_bytes(contents[2][:50])
    report = import_dataset(store, dataset, {"a"}, {"g"})
    assert (report.restored, report.unchanged, report.refused) == (2, 4, ())
    assert [file.read_bytes() for file in files] == contents


def test_roles_and_states_follow_the_two_lists(store, dataset):
    report = import_dataset(store, dataset, {"a"}, {"g"})
    found = {name: (image.role, image.state) for name, image in rows(store).items()}
    assert found == {
        "a": (ImageRole.LABELED, ImageState.DONE),
        "b": (ImageRole.POOL, ImageState.WAITING),
        "g": (ImageRole.GOLD, ImageState.DONE),
        "p": (ImageRole.POOL, ImageState.WAITING),
    }
    assert report.added == {ImageRole.LABELED: 1, ImageRole.POOL: 2, ImageRole.GOLD: 1}


def test_without_a_list_every_image_with_a_label_is_labeled(store, dataset):
    assert import_dataset(store, dataset, None, {"g"}).added[ImageRole.LABELED] == 2


def test_labels_are_stored_exactly_and_those_of_pool_images_not_at_all(store, dataset):
    import_dataset(store, dataset, {"a"}, {"g"})
    images = rows(store)
    assert np.array_equal(read_plane(store.workspace.absolute(images["a"].label_path)), random_label(0))
    assert images["a"].class_pixels == [int(np.sum(random_label(0) == class_id)) for class_id in range(3)]
    assert images["b"].label_path is None
    assert len(list(store.workspace.labels.iterdir())) == 2


def test_importing_again_changes_nothing(store, dataset):
    import_dataset(store, dataset, {"a"}, {"g"})
    before = {name: (image.id, image.created_at) for name, image in rows(store).items()}
    report = import_dataset(store, dataset, {"a"}, {"g"})
    assert (report.num_added, report.unchanged, report.refused) == (0, 4, ())
    assert (report.named, report.restored) == (0, 0)
    assert {name: (image.id, image.created_at) for name, image in rows(store).items()} == before


def test_a_second_file_with_the_same_bytes_is_reported_with_the_first(store, tmp_path):
    write_picture(tmp_path, "one", 1)
    write_picture(tmp_path, "two", 1)
    report = import_dataset(store, FilesDataset(tmp_path, {"one": None, "two": None}), None, set())
    assert report.duplicates == (("two", "one"),)
    assert list(rows(store)) == ["one"]


def test_another_image_under_a_known_id_is_refused_and_the_stored_one_stays(store, tmp_path):
    write_picture(tmp_path, "one", 1)
    import_dataset(store, FilesDataset(tmp_path, {"one": None}), None, set())
    before = rows(store)["one"].sha256
    write_picture(tmp_path, "one", 2)
    report = import_dataset(store, FilesDataset(tmp_path, {"one": None}), None, set())
    assert "another image called 'one'" in report.refused[0].reason
    assert rows(store)["one"].sha256 == before


@pytest.mark.parametrize(
    ("labeled", "gold", "before", "now"),
    [({"g", "a"}, set(), "gold", "labeled"), ({"b"}, {"g", "a"}, "labeled", "gold")],
    ids=["gold-to-training", "training-to-gold"],
)
def test_an_image_never_changes_between_training_and_gold_by_importing_again(
    store, dataset, labeled, gold, before, now
):
    import_dataset(store, dataset, {"a"}, {"g"})
    report = import_dataset(store, dataset, labeled, gold)
    assert any(f"imported before as {before}, now it is listed as {now}" in entry.reason for entry in report.refused)
    assert (rows(store)["a"].role, rows(store)["g"].role) == (ImageRole.LABELED, ImageRole.GOLD)


def test_a_label_that_changed_since_the_first_import_is_refused_and_the_stored_one_stays(store, dataset):
    import_dataset(store, dataset, {"a"}, set())
    changed = FilesDataset(dataset._folder, {"a": np.zeros_like(random_label(0))})
    report = import_dataset(store, changed, {"a"}, set())
    assert "imported before with another label" in report.refused[0].reason
    assert np.array_equal(read_plane(store.workspace.absolute(rows(store)["a"].label_path)), random_label(0))


@pytest.mark.parametrize(
    ("labeled", "gold", "message"),
    [({"zebra"}, set(), "1 ids are not in the data set: zebra"), ({"a"}, {"a"}, "both labeled and gold: a")],
    ids=["unknown", "both"],
)
def test_lists_that_contradict_the_data_set_store_nothing(store, dataset, labeled, gold, message):
    with pytest.raises(ValueError, match=message):
        import_dataset(store, dataset, labeled, gold)
    assert rows(store) == {}


def test_another_class_list_is_refused_before_anything_is_stored(store, dataset, tmp_path):
    import_dataset(store, dataset, {"a"}, set())
    write_picture(tmp_path, "new", 9)
    other = FilesDataset(tmp_path, {"new": None}, ClassSet.from_names(("sky", "car", "road")))
    with pytest.raises(ClassSetChangedError, match="class 1 is 'road' here and 'car' there"):
        import_dataset(store, other, None, set())
    assert "new" not in rows(store)


def odd_folder(root):
    """A folder data set with one good pool image, one good labeled one, and every kind of trouble."""
    images, masks = root / "images", root / "masks"
    for seed, name in enumerate(["good", "good_pool", "ids_too_large", "wrong_size", "no_mask"]):
        write_picture(images, name, seed)
    write_label(masks / "good.png", random_label(0))
    write_label(masks / "ids_too_large.png", np.full((60, 80), 9, np.uint8))
    write_label(masks / "wrong_size.png", np.zeros((30, 40), np.uint8))
    content = (images / "good.png").read_bytes()
    (images / "truncated.png").write_bytes(content[: len(content) // 2])
    (images / "empty.jpg").write_bytes(b"")
    (images / "text.jpg").write_bytes(b"GIF89a is what this is not")
    frames = [Picture.new("RGB", (8, 8), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    (images / "animated.gif").write_bytes(buffer.getvalue())
    rotated = Picture.new("RGB", (40, 20), "white")
    exif = rotated.getexif()
    exif[0x0112] = 6
    rotated.save(images / "rotated.jpg", exif=exif)
    Picture.new("RGBA", (12, 10), (9, 8, 7, 255)).save(images / "transparent.png")
    Picture.fromarray(np.full((10, 12), 40000, np.uint16)).save(images / "deep.png")
    (root / "classes.json").write_text(
        '{"classes": [{"id": 0, "name": "sky"}, {"id": 1, "name": "road"}, {"id": 2, "name": "car"}]}'
    )


def test_one_bad_file_does_not_stop_the_rest_and_each_is_named_with_a_reason(store, tmp_path):
    odd_folder(tmp_path / "odd")
    dataset = build_dataset("folder", tmp_path / "odd", "train")
    labeled = {"good", "ids_too_large", "wrong_size", "no_mask"}
    report = import_dataset(store, dataset, labeled, set())
    assert sorted(rows(store)) == ["deep", "good", "good_pool", "rotated", "transparent"]
    refused = {entry.sample_id: entry.reason for entry in report.refused}
    assert sorted(refused) == [
        "animated", "empty", "ids_too_large", "no_mask", "text", "truncated", "wrong_size",
    ]  # fmt: skip
    for name, reason in refused.items():
        assert name in reason
    assert "no label" in refused["no_mask"]
    assert "[9]" in refused["ids_too_large"]


def test_a_rotated_picture_is_stored_with_the_size_people_see(store, tmp_path):
    odd_folder(tmp_path / "odd")
    import_dataset(store, build_dataset("folder", tmp_path / "odd", "train"), set(), set())
    image = rows(store)["rotated"]
    assert (image.width, image.height) == (20, 40)


def test_an_ending_that_lies_is_corrected_by_the_content(store, tmp_path):
    (tmp_path / "images").mkdir()
    Picture.new("RGB", (8, 8)).save(tmp_path / "images" / "a.jpg", "PNG")
    (tmp_path / "classes.json").write_text('{"classes": [{"id": 0, "name": "sky"}]}')
    import_dataset(store, build_dataset("folder", tmp_path, "train"), set(), set())
    assert rows(store)["a"].path.endswith(".png")


def test_a_full_disk_ends_the_import_and_keeps_what_was_stored_before(store, dataset, monkeypatch):
    original, calls = importing.write_atomically, []

    def write(path, content):
        calls.append(path)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        original(path, content)

    monkeypatch.setattr(importing, "write_atomically", write)
    with pytest.raises(OSError, match="No space left"):
        import_dataset(store, dataset, {"a"}, set())
    assert list(rows(store)) == ["a"]
    monkeypatch.undo()
    assert import_dataset(store, dataset, {"a"}, set()).num_added == 3


def test_progress_counts_up_to_all_images(store, dataset):
    seen = []
    import_dataset(store, dataset, None, set(), seen.append)
    assert [moment.done for moment in seen] == [0, 1, 2, 3, 4]
    assert {moment.total for moment in seen} == {4}


def test_the_classes_of_the_first_import_are_those_of_the_workspace(store, dataset):
    import_dataset(store, dataset, None, set())
    with store.reader() as session:
        assert read_class_set(session) == CLASSES
