"""Superpixels of an image, worked out when somebody first draws with them and kept in files that may be deleted."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.superpixels import Tile, superpixels, tile_of
from app.services.review_types import NotFoundError, ReviewError
from app.storage.database import Store
from app.storage.models import Image
from app.storage.runs import RunsError, deflate_runs, inflate_runs
from datasets.files import write_atomically
from datasets.images import read_image

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Part of the files' names; another one when other numbers come out."""


@dataclass(frozen=True)
class SuperpixelTile:
    """A tile and its (h, w) superpixel numbers, from 0.

    Attributes:
        tile: where it lies.
        runs: the numbers as runs.py writes them.
    """

    tile: Tile
    runs: bytes

    @property
    def numbers(self) -> NDArray[np.uint16]:
        """(h, w)."""
        found: NDArray[np.uint16] = inflate_runs(self.runs, (self.tile.height, self.tile.width), np.uint16)
        return found


class SuperpixelService:
    """Works out one tile at a time, so that people who draw do not take the server from those who decide."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._picture: tuple[str, NDArray[np.uint8]] | None = None

    def tile(self, image_id: int, level: int, column: int, row: int) -> SuperpixelTile:
        """The superpixels of one tile.

        Raises:
            NotFoundError: no such image.
            ReviewError: no such level or tile.
        """
        with self._store.reader() as session:
            image = session.get(Image, image_id)
        if image is None or image.deleted_at is not None:
            raise NotFoundError(f"there is no image {image_id}")
        try:
            tile = tile_of(image.size_hw, level, column, row)
        except ValueError as error:
            raise ReviewError(str(error)) from error
        path = self._store.workspace.superpixels / f"{image.sha256[:16]}-{_FORMAT}-{level}-{column}-{row}.runs"
        return _kept(path, tile) or self._made(image, tile, path)

    def _made(self, image: Image, tile: Tile, path: Path) -> SuperpixelTile:
        """Work the superpixels out and keep them, unless somebody did while this waited for its turn."""
        with self._lock:
            kept = _kept(path, tile)
            if kept is not None:
                return kept
            made = SuperpixelTile(tile, deflate_runs(superpixels(self._crop(image, tile), tile.side_px)))
            try:
                write_atomically(path, made.runs)
            except OSError as error:  # Keeping them only saves time.
                logger.warning("superpixels were not kept in %s (%s)", path, error)
            return made

    def _crop(self, image: Image, tile: Tile) -> NDArray[np.uint8]:
        """The tile's part of the picture; the last picture stays decoded, because its neighbors are asked for next."""
        if self._picture is None or self._picture[0] != image.sha256:
            self._picture = image.sha256, read_image(self._store.workspace.absolute(image.path))
        return self._picture[1][tile.y0 : tile.y0 + tile.height, tile.x0 : tile.x0 + tile.width]


def _kept(path: Path, tile: Tile) -> SuperpixelTile | None:
    """What the file holds; None when it is not there or damaged."""
    try:
        kept = SuperpixelTile(tile, path.read_bytes())
        inflate_runs(kept.runs, (tile.height, tile.width), np.uint16)
    except FileNotFoundError:
        return None
    except RunsError as error:
        logger.warning("%s was damaged (%s); its superpixels are worked out again", path, error)
        return None
    return kept
