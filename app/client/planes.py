"""Maps of images out of the binary bodies in which they travel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.client.connection import Json
from app.storage.runs import inflate, inflate_runs


def unpacked_planes(header: Json, body: bytes) -> Iterator[tuple[str, NDArray[np.integer[Any]]]]:
    """The planes of a body as app/web/wire.py packs them."""
    for described in header["planes"]:
        part, body = body[: described["length"]], body[described["length"] :]
        x0, y0, x1, y1 = described["bbox"] or (0, 0, header["width"], header["height"])
        size_hw = y1 - y0, x1 - x0
        if described["encoding"] == "raw":
            plane = np.frombuffer(inflate(part, size_hw[0] * size_hw[1]), np.uint8).reshape(size_hw)
        else:
            plane = inflate_runs(part, size_hw, np.uint16 if described["dtype"] == "u16" else np.uint8)
        yield described["name"], plane
