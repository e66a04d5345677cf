"""Proposal planes: exact on disk, complete or absent."""

import cv2
import numpy as np
import pytest

from app.services.showing import DisguisedPlanes
from app.storage import planes as planes_module
from app.storage.planes import MadePlanes, OtherRegions, PlaneCache, StoredPlanes, write_planes
from app.storage.runs import deflate_runs, inflate_runs
from datasets.images import encode_plane_png


def make_planes(seed=0, size_hw=(13, 19)):
    rng = np.random.default_rng(seed)
    eight_bits = [rng.integers(0, 256, size_hw, dtype=np.uint8) for _ in range(3)]
    return MadePlanes(
        label=eight_bits[0],
        reliable=rng.random(size_hw) < 0.5,
        unreliability=eight_bits[1],
        weight=eight_bits[2],
        region_map=rng.integers(0, 65536, size_hw).astype(np.uint16),
    )


@pytest.mark.parametrize("plane", ["label", "reliable", "unreliability", "weight", "region_map"])
def test_a_plane_is_read_back_exactly(tmp_path, plane):
    written = make_planes()
    restored = getattr(StoredPlanes(write_planes(tmp_path, "a", written)), plane)
    assert restored.dtype == getattr(written, plane).dtype
    assert np.array_equal(restored, getattr(written, plane))


def test_writing_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def full(plane):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(planes_module, "encode_plane_png", full)
    with pytest.raises(OSError, match="No space left"):
        write_planes(tmp_path, "a", make_planes())
    assert list(tmp_path.iterdir()) == []


def test_planes_of_different_sizes_are_refused(tmp_path):
    folder = write_planes(tmp_path, "a", make_planes())
    other = write_planes(tmp_path, "b", make_planes(size_hw=(5, 5)))
    (other / "label.runs").replace(folder / "label.runs")
    with pytest.raises(ValueError, match="differ in size"):
        StoredPlanes(folder)


def test_damaged_plane_is_refused_with_its_name(tmp_path):
    folder = write_planes(tmp_path, "a", make_planes())
    path = folder / "region_map.runs"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"region_map\.runs is damaged.*predict this image again"):
        StoredPlanes(folder).region_map  # noqa: B018 - decoded when it is asked for


def test_folder_of_an_earlier_version_holds_pngs_and_is_read(tmp_path):
    planes = make_planes()
    folder = write_planes(tmp_path, "a", planes)
    for name in ("label", "reliable", "region_map"):
        (folder / f"{name}.runs").unlink()
    (folder / "label.png").write_bytes(encode_plane_png(planes.label))
    (folder / "reliable.png").write_bytes(encode_plane_png(planes.reliable.astype(np.uint8) * np.uint8(255)))
    (folder / "region_map.png").write_bytes(cv2.imencode(".png", planes.region_map)[1].tobytes())
    restored = StoredPlanes(folder)
    for name in ("label", "reliable", "region_map"):
        assert np.array_equal(getattr(restored, name), getattr(planes, name))


def test_plane_without_its_file_is_refused_with_its_name(tmp_path):
    folder = write_planes(tmp_path, "a", make_planes())
    (folder / "reliable.runs").unlink()
    with pytest.raises(FileNotFoundError, match=r"reliable\.runs"):
        StoredPlanes(folder)


def test_runs_are_those_of_the_plane(tmp_path):
    planes = StoredPlanes(write_planes(tmp_path, "a", make_planes()))
    for name in ("label", "reliable", "region_map"):
        assert planes.runs(name) == deflate_runs(getattr(planes, name))


def test_planes_with_other_regions_keep_everything_else(tmp_path):
    planes = StoredPlanes(write_planes(tmp_path, "a", make_planes()))
    changed = OtherRegions(planes, ~planes.reliable, planes.region_map + np.uint16(1))
    assert changed.runs("label") is planes.runs("label") and changed.label is planes.label
    assert np.array_equal(changed.weight, planes.weight) and np.array_equal(changed.unreliability, planes.unreliability)
    assert np.array_equal(inflate_runs(changed.runs("reliable"), (13, 19)).astype(bool), ~planes.reliable)
    assert np.array_equal(inflate_runs(changed.runs("region_map"), (13, 19), np.uint16), changed.region_map)


def test_a_cache_reads_a_folder_once_and_forgets_the_oldest_beyond_its_limit(tmp_path):
    folders = [write_planes(tmp_path, str(seed), make_planes(seed)) for seed in range(3)]
    size = StoredPlanes(folders[0]).num_bytes
    cache = PlaneCache(max_bytes=int(2.5 * size))
    kept = [cache.get(folder) for folder in folders]
    assert cache.get(folders[2]) is kept[2] and cache.get(folders[1]) is kept[1]
    assert cache.get(folders[0]) is not kept[0]


def test_cache_counts_what_was_decoded_since(tmp_path):
    folders = [write_planes(tmp_path, str(seed), make_planes(seed)) for seed in range(3)]
    cache = PlaneCache(max_bytes=4 * StoredPlanes(folders[0]).num_bytes)
    kept = [cache.get(folder) for folder in folders]
    before = cache.num_bytes
    assert kept[0].label.shape == kept[0].region_map.shape
    assert cache.num_bytes == before + kept[0].label.nbytes + kept[0].region_map.nbytes


def test_decoded_plane_is_kept(tmp_path):
    planes = StoredPlanes(write_planes(tmp_path, "a", make_planes()))
    assert planes.label is planes.label


def test_planes_that_keep_others_count_them_as_long_as_they_hold_them(tmp_path):
    base = StoredPlanes(write_planes(tmp_path, "a", make_planes()))
    other = OtherRegions(base, base.reliable.copy(), base.region_map.copy())
    assert other.num_bytes == base.num_bytes + base.reliable.nbytes + base.region_map.nbytes
    disguised = DisguisedPlanes(other, [])
    before = disguised.num_bytes
    assert before == other.num_bytes
    assert disguised.label is base.label and disguised.num_bytes == before + base.label.nbytes
