"""Reading what browsers are sent, in Python."""

import zlib
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from app.domain.decisions import UNTOUCHED
from app.storage.runs import inflate_runs
from app.web.wire import unpack_frame


def read_planes(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and planes of a body, as reviewer/wire.js reads them; those of a part of the image as they are."""
    header, rest = unpack_frame(body)
    planes, offset = {}, 0
    for described in header["planes"]:
        x0, y0, x1, y1 = described["bbox"] or (0, 0, header["width"], header["height"])
        content = rest[offset : offset + described["length"]]
        offset += described["length"]
        if described["encoding"] == "rle":
            dtype = np.uint16 if described["dtype"] == "u16" else np.uint8
            plane = inflate_runs(content, (y1 - y0, x1 - x0), dtype)
        else:
            plane = np.frombuffer(zlib.decompress(content), np.uint8).reshape(y1 - y0, x1 - x0)
        planes[described["name"]] = plane
    return header, planes


def see_image(client: TestClient, image_id: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """An image as the reviewer page holds it: its planes, with `label` and `human` worked out, and `unreliability`."""
    header, planes = read_planes(client.get(f"/api/images/{image_id}/planes").content)
    _, maps = read_planes(client.get(f"/api/images/{image_id}/unreliability").content)
    label, human = planes["proposal"].copy(), np.zeros(planes["proposal"].shape, np.bool_)
    if "decided" in planes:
        x0, y0, x1, y1 = next(each["bbox"] for each in header["planes"] if each["name"] == "decided")
        is_set = planes["decided"] != UNTOUCHED
        label[y0:y1, x0:x1][is_set] = planes["decided"][is_set]
        human[y0:y1, x0:x1] = is_set
    return header, {**planes, **maps, "label": label, "human": human}
