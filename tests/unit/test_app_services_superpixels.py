"""Superpixels on demand: worked out once, kept in files that may be lost."""

import numpy as np
import pytest

import app.services.superpixels as service_module
from app.domain.superpixels import superpixels
from app.services.review_types import NotFoundError, ReviewError
from app.services.superpixels import SuperpixelService
from app.storage.models import Image
from datasets.images import read_image
from tests.unit.made_workspace import copy_store, make_template, pool_ids


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0",))


@pytest.fixture
def store(reviewable, tmp_path):
    return copy_store(reviewable, tmp_path)


@pytest.fixture
def computed(monkeypatch):
    """How often superpixels were worked out."""
    calls = []
    monkeypatch.setattr(
        service_module, "superpixels", lambda image, side: calls.append(side) or superpixels(image, side)
    )
    return calls


def test_a_tile_is_worked_out_once_and_then_read_from_its_file(store, computed):
    (image_id,) = pool_ids(store)
    first = SuperpixelService(store).tile(image_id, 1, 0, 0)
    again = SuperpixelService(store).tile(image_id, 1, 0, 0)
    with store.reader() as session:
        picture = read_image(store.workspace.absolute(session.get_one(Image, image_id).path))
    assert computed == [16]
    assert np.array_equal(first.numbers, again.numbers) and np.array_equal(first.numbers, superpixels(picture, 16))


def test_levels_have_files_of_their_own(store, computed):
    (image_id,) = pool_ids(store)
    service = SuperpixelService(store)
    counts = [int(service.tile(image_id, level, 0, 0).numbers.max()) for level in range(4)]
    assert counts == sorted(counts, reverse=True) and computed == [8, 16, 32, 64]
    assert len(list(store.workspace.superpixels.iterdir())) == 4


def test_a_damaged_file_is_worked_out_again(store, computed):
    (image_id,) = pool_ids(store)
    first = SuperpixelService(store).tile(image_id, 0, 0, 0)
    (path,) = store.workspace.superpixels.iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert np.array_equal(SuperpixelService(store).tile(image_id, 0, 0, 0).numbers, first.numbers)
    assert computed == [8, 8]


def test_a_full_disk_costs_only_time(store, monkeypatch, caplog):
    (image_id,) = pool_ids(store)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service_module, "write_atomically", full)
    assert SuperpixelService(store).tile(image_id, 0, 0, 0).numbers.size == 60 * 80
    assert "were not kept" in caplog.text


def test_what_is_not_there_is_refused(store):
    (image_id,) = pool_ids(store)
    service = SuperpixelService(store)
    with pytest.raises(NotFoundError, match="no image 999"):
        service.tile(999, 0, 0, 0)
    with pytest.raises(ReviewError, match="outside the image"):
        service.tile(image_id, 0, 7, 0)
