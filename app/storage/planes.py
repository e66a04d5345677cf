"""The maps of a proposal: files in one folder that appears as a whole and never changes afterwards.

Planes of ids (label, reliable, region_map) are files of runs (see runs.py), which browsers get as they are; score maps
are PNGs. Folders of earlier versions hold PNGs only and are read as well.
"""

import os
import secrets
import shutil
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from app.storage.runs import RunPlane, RunsError, deflate_runs, inflate_runs
from datasets.files import publish
from datasets.images import encode_plane_png, read_plane
from datasets.labels import LabelArray

CACHE_BYTES = 256 * 1024 * 1024
"""How much memory the planes of recently shown proposals may take: about 60 images of 1024x1024."""

IdPlane = Literal["label", "reliable", "region_map"]
_ID_PLANES: tuple[IdPlane, ...] = ("label", "reliable", "region_map")
_SIZE = struct.Struct("<2I")  # A file of runs begins with height and width.


class ProposalPlanes(Protocol):
    """What a model said about one image; every plane is (H, W) and must not be written to."""

    @property
    def label(self) -> LabelArray:
        """uint8 predicted class ids."""
        ...

    @property
    def reliable(self) -> NDArray[np.bool_]:
        """bool, the locked pixels."""
        ...

    @property
    def region_map(self) -> NDArray[np.uint16]:
        """uint16 region numbers and the codes of app/domain/regions.py."""
        ...

    @property
    def unreliability(self) -> NDArray[np.uint8]:
        """uint8, round(255 * (1 - confidence))."""
        ...

    @property
    def weight(self) -> NDArray[np.uint8]:
        """uint8, round(255 * weight), the factor on the loss of a pseudo-label."""
        ...

    def runs(self, name: IdPlane) -> bytes:
        """A plane of ids as `deflate_runs` writes it."""
        ...


@dataclass(frozen=True)
class MadePlanes:
    """Planes in memory; see ProposalPlanes."""

    label: LabelArray
    reliable: NDArray[np.bool_]
    unreliability: NDArray[np.uint8]
    weight: NDArray[np.uint8]
    region_map: NDArray[np.uint16]

    @property
    def num_bytes(self) -> int:
        """Memory that they take."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def runs(self, name: IdPlane) -> bytes:
        """See ProposalPlanes."""
        return deflate_runs(getattr(self, name))


class StoredPlanes:
    """Planes in a folder; see ProposalPlanes. Those of ids are decoded when first asked for and kept, others are not.

    Raises:
        FileNotFoundError: a plane of ids is missing; names it.
        ValueError: they differ in size; when it is decoded, also that a plane is damaged.
    """

    def __init__(self, folder: Path) -> None:
        files = {name: _read_runs(folder, name) for name in _ID_PLANES}
        sizes = {size_hw for size_hw, _ in files.values()}
        if len(sizes) != 1:
            raise ValueError(f"the planes in {folder} differ in size ({sorted(sizes)}); predict this image again")
        self._folder, self._size_hw = folder, sizes.pop()
        self._runs = {name: runs for name, (_, runs) in files.items()}

    @cached_property
    def label(self) -> LabelArray:
        """See ProposalPlanes."""
        return self._decode("label", np.uint8)

    @cached_property
    def reliable(self) -> NDArray[np.bool_]:
        """See ProposalPlanes."""
        return self._decode("reliable", np.uint8).astype(np.bool_)

    @cached_property
    def region_map(self) -> NDArray[np.uint16]:
        """See ProposalPlanes."""
        return self._decode("region_map", np.uint16)

    @property
    def unreliability(self) -> NDArray[np.uint8]:
        """See ProposalPlanes."""
        return read_plane(self._folder / "unreliability.png")

    @property
    def weight(self) -> NDArray[np.uint8]:
        """See ProposalPlanes."""
        return read_plane(self._folder / "weight.png")

    @property
    def num_bytes(self) -> int:
        """Memory that is taken now."""
        decoded: list[RunPlane] = [self.__dict__[name] for name in _ID_PLANES if name in self.__dict__]
        return sum(plane.nbytes for plane in decoded) + sum(len(runs) for runs in self._runs.values())

    def runs(self, name: IdPlane) -> bytes:
        """See ProposalPlanes."""
        return self._runs[name]

    def _decode(self, name: IdPlane, dtype: DTypeLike) -> NDArray[Any]:
        try:
            return inflate_runs(self._runs[name], self._size_hw, dtype)
        except RunsError as error:
            path = self._folder / f"{name}.runs"
            raise ValueError(f"{path} is damaged ({error}); predict this image again") from error


@dataclass(frozen=True)
class OtherRegions:
    """The planes of `base`, but for two; see ProposalPlanes."""

    base: ProposalPlanes
    reliable: NDArray[np.bool_]
    region_map: NDArray[np.uint16]

    @property
    def label(self) -> LabelArray:
        """See ProposalPlanes."""
        return self.base.label

    @property
    def unreliability(self) -> NDArray[np.uint8]:
        """See ProposalPlanes."""
        return self.base.unreliability

    @property
    def weight(self) -> NDArray[np.uint8]:
        """See ProposalPlanes."""
        return self.base.weight

    @property
    def num_bytes(self) -> int:
        """Memory that is taken now, with that of the planes below."""
        below = self.base.num_bytes if isinstance(self.base, StoredPlanes) else 0
        return below + self.reliable.nbytes + self.region_map.nbytes

    def runs(self, name: IdPlane) -> bytes:
        """See ProposalPlanes."""
        return self.base.runs(name) if name == "label" else deflate_runs(getattr(self, name))


def write_planes(parent: Path, name: str, planes: ProposalPlanes) -> Path:
    """Write the planes into a new folder `parent/name-<random>`, complete and flushed before it gets that name.

    Raises:
        OSError: disk full or no permission; nothing is left behind.
    """
    final = parent / f"{name}-{secrets.token_hex(4)}"
    temporary = parent / f".{final.name}.tmp"
    temporary.mkdir(parents=True)
    try:
        for plane in _ID_PLANES:
            content = _SIZE.pack(*planes.label.shape) + planes.runs(plane)
            _write(temporary / f"{plane}.runs", content)
        _write(temporary / "unreliability.png", encode_plane_png(planes.unreliability))
        _write(temporary / "weight.png", encode_plane_png(planes.weight))
        publish(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _read_runs(folder: Path, name: IdPlane) -> tuple[tuple[int, int], bytes]:
    """Height and width, and the deflated runs."""
    path = folder / f"{name}.runs"
    if not path.exists() and (folder / f"{name}.png").exists():
        plane = _read_ids_png(folder / f"{name}.png", name)
        return plane.shape, deflate_runs(plane)
    content = path.read_bytes()
    if len(content) < _SIZE.size:
        raise ValueError(f"{path} is damaged (it ends within its size); predict this image again")
    return _SIZE.unpack_from(content), content[_SIZE.size :]


def _read_ids_png(path: Path, name: IdPlane) -> RunPlane:
    if name != "region_map":
        plane = read_plane(path)
        return plane > 0 if name == "reliable" else plane
    numbers = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if numbers is None or numbers.ndim != 2 or numbers.dtype != np.uint16:
        raise ValueError(f"{path} is not the 16-bit grayscale PNG that it was; predict this image again")
    return numbers.view(np.uint16)


class KeptPlanes(ProposalPlanes, Protocol):
    """Planes that a cache may keep."""

    @property
    def num_bytes(self) -> int:
        """Memory that is taken now."""
        ...


class PlaneCache:
    """Keeps recently used planes in memory. Safe between threads; never stale, because the files never change."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, KeptPlanes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, folder: Path) -> KeptPlanes:
        """The planes in a folder, read and decoded at most once while they fit into memory."""
        return self.derived(folder, lambda: StoredPlanes(folder))

    def derived(self, key: Hashable, make: Callable[[], KeptPlanes]) -> KeptPlanes:
        """Planes that were made before under this key, or else what `make` gives, which must always be the same."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        planes = make()
        with self._lock:
            planes = self._kept.setdefault(key, planes)
            while len(self._kept) > 1 and self.num_bytes > self._max_bytes:
                self._kept.popitem(last=False)
        return planes

    @property
    def num_bytes(self) -> int:
        """Memory of what is kept. Planes grow when they are decoded: it can be over the limit until the next `get`."""
        return sum(planes.num_bytes for planes in self._kept.values())


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
