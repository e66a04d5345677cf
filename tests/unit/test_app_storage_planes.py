"""Proposal planes: exact on disk, complete or absent."""

import numpy as np
import pytest

from app.storage import planes as planes_module
from app.storage.planes import PlaneCache, ProposalPlanes, read_planes, write_planes


def make_planes(seed=0, size_hw=(13, 19)):
    rng = np.random.default_rng(seed)
    eight_bits = [rng.integers(0, 256, size_hw, dtype=np.uint8) for _ in range(3)]
    return ProposalPlanes(
        label=eight_bits[0],
        reliable=rng.random(size_hw) < 0.5,
        unreliability=eight_bits[1],
        weight=eight_bits[2],
        region_map=rng.integers(0, 65536, size_hw).astype(np.uint16),
    )


@pytest.mark.parametrize("plane", ["label", "reliable", "unreliability", "weight", "region_map"])
def test_a_plane_is_read_back_exactly(tmp_path, plane):
    written = make_planes()
    restored = getattr(read_planes(write_planes(tmp_path, "a", written)), plane)
    assert restored.dtype == getattr(written, plane).dtype
    assert np.array_equal(restored, getattr(written, plane))


def test_writing_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def full(plane):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(planes_module, "_encode_png16", full)
    with pytest.raises(OSError, match="No space left"):
        write_planes(tmp_path, "a", make_planes())
    assert list(tmp_path.iterdir()) == []


def test_planes_of_different_sizes_are_refused(tmp_path):
    folder = write_planes(tmp_path, "a", make_planes())
    other = write_planes(tmp_path, "b", make_planes(size_hw=(5, 5)))
    (other / "label.png").replace(folder / "label.png")
    with pytest.raises(ValueError, match="differ in size"):
        read_planes(folder)


def test_a_cache_reads_a_folder_once_and_forgets_the_oldest_beyond_its_limit(tmp_path):
    folders = [write_planes(tmp_path, str(seed), make_planes(seed)) for seed in range(3)]
    size = read_planes(folders[0]).num_bytes
    cache = PlaneCache(max_bytes=2 * size)
    kept = [cache.get(folder) for folder in folders]
    assert cache.get(folders[2]) is kept[2] and cache.get(folders[1]) is kept[1]
    assert cache.get(folders[0]) is not kept[0]
