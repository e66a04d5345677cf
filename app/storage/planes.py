"""The maps of a proposal: PNG files in one folder that appears as a whole and never changes afterwards."""

import os
import secrets
import shutil
import threading
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.files import publish
from datasets.images import encode_plane_png, read_plane
from datasets.labels import LabelArray

CACHE_BYTES = 256 * 1024 * 1024
"""How much memory the planes of recently shown proposals may take: about 40 images of 1024x1024."""


@dataclass(frozen=True)
class ProposalPlanes:
    """What a model said about one image; every plane is (H, W) and must not be written to.

    Attributes:
        label: uint8 predicted class ids.
        reliable: bool, the locked pixels.
        unreliability: uint8, round(255 * (1 - confidence)).
        weight: uint8, round(255 * weight), the factor on the loss of a pseudo-label.
        region_map: uint16 region numbers and the codes of app/domain/regions.py.
    """

    label: LabelArray
    reliable: NDArray[np.bool_]
    unreliability: NDArray[np.uint8]
    weight: NDArray[np.uint8]
    region_map: NDArray[np.uint16]

    @property
    def num_bytes(self) -> int:
        """Memory of all planes."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


def write_planes(parent: Path, name: str, planes: ProposalPlanes) -> Path:
    """Write the planes into a new folder `parent/name-<random>`, complete and flushed before it gets that name.

    Raises:
        OSError: disk full or no permission; nothing is left behind.
    """
    final = parent / f"{name}-{secrets.token_hex(4)}"
    temporary = parent / f".{final.name}.tmp"
    temporary.mkdir(parents=True)
    try:
        for plane in ("label", "unreliability", "weight"):
            _write(temporary / f"{plane}.png", encode_plane_png(getattr(planes, plane)))
        _write(temporary / "reliable.png", encode_plane_png(planes.reliable.astype(np.uint8) * np.uint8(255)))
        _write(temporary / "region_map.png", _encode_png16(planes.region_map))
        publish(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def read_planes(folder: Path) -> ProposalPlanes:
    """Read what `write_planes` wrote.

    Raises:
        FileNotFoundError: a plane is missing; names it.
        ValueError: a plane is damaged or differs in size.
    """
    planes = ProposalPlanes(
        label=read_plane(folder / "label.png"),
        reliable=read_plane(folder / "reliable.png") > 0,
        unreliability=read_plane(folder / "unreliability.png"),
        weight=read_plane(folder / "weight.png"),
        region_map=_read_png16(folder / "region_map.png"),
    )
    sizes = {getattr(planes, field.name).shape for field in fields(planes)}
    if len(sizes) != 1:
        raise ValueError(f"the planes in {folder} differ in size ({sorted(sizes)}); predict this image again")
    return planes


class PlaneCache:
    """Keeps recently read planes in memory. Safe between threads; never stale, because the files never change."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Path, ProposalPlanes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, folder: Path) -> ProposalPlanes:
        """The planes in a folder, read at most once while they fit into memory."""
        with self._lock:
            if folder in self._kept:
                self._kept.move_to_end(folder)
                return self._kept[folder]
        planes = read_planes(folder)
        with self._lock:
            if folder not in self._kept:
                self._kept[folder] = planes
                self._bytes += planes.num_bytes
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.num_bytes
        return planes


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _encode_png16(plane: NDArray[np.uint16]) -> bytes:
    encoded, content = cv2.imencode(".png", plane, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert encoded
    return content.tobytes()


def _read_png16(path: Path) -> NDArray[np.uint16]:
    plane = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if plane is None or plane.ndim != 2 or plane.dtype != np.uint16:
        raise ValueError(f"{path} is not the 16-bit grayscale PNG that it was; predict this image again")
    return plane.view(np.uint16)
