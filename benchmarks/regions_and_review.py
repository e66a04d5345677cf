"""Building regions, saving a decision and finding the next region, each against the straightforward way.

python -m benchmarks.regions_and_review [--repeats 10]
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import insert, select

from app.config import Workspace
from app.domain.decisions import Delta
from app.domain.queue import QueueRules, diversified_scores, expected_errors
from app.domain.regions import RegionInput, RegionRules, build_regions
from app.domain.states import DecisionKind, ImageRole, ImageState, ModelStatus, RegionKind, RegionState
from app.services.review_types import DecisionRequest, QueueFilter
from app.services.reviewing import ReviewService
from app.storage.database import Store, open_store
from app.storage.models import Image, Model, Proposal, Region
from app.storage.planes import MadePlanes, write_planes
from app.storage.settings import adopt_class_set
from benchmarks.regions_by_loop import build_by_loop
from benchmarks.side_by_side import RESULTS_FOLDER, Comparison, compare, show, write_result
from datasets.files import write_atomically
from datasets.images import encode_plane_png, read_plane
from datasets.labels import ClassSet

CLASSES = ClassSet.from_names(tuple(f"class_{index}" for index in range(11)))
SIZES = {"480x360": (360, 480), "2048x1024": (1024, 2048)}
LARGEST = (3000, 4000)
SPLIT = RegionRules(max_area_share=0.04)
"""Small enough a cap for superpixels to have work."""
WHOLE = RegionRules(max_area_share=1.0)
"""Nothing is split, because the loop does not split either."""

NUM_IMAGES = 400
REGIONS_PER_IMAGE = 60
STROKE_PX = 40


def prediction_like(size_hw: tuple[int, int], seed: int = 0) -> RegionInput:
    """Smooth classes with soft borders; the least sure 60 % are unreliable; a picture with soft blobs."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((len(CLASSES), 9, 12)).astype(np.float32)
    logits = np.stack([cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_CUBIC) for plane in coarse]) * 4
    exponentials = np.exp(logits - logits.max(axis=0))
    probabilities = exponentials / exponentials.sum(axis=0)
    confidence = probabilities.max(axis=0)
    image = cv2.resize(rng.integers(0, 256, (45, 60, 3), dtype=np.uint8), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return RegionInput(
        image=image.astype(np.uint8),
        label=probabilities.argmax(axis=0).astype(np.uint8),
        reliable=confidence > np.quantile(confidence, 0.6),
        confidence=confidence,
        probabilities=probabilities,
    )


def compare_regions(size_name: str, repeats: int) -> Comparison:
    """Region building against a loop over components; both make the same partition, which is checked."""
    prediction = prediction_like(SIZES[size_name])
    ours, plain = build_regions(prediction, WHOLE), build_by_loop(prediction, WHOLE)
    facts = {
        "size": size_name,
        "regions": len(ours.regions),
        "regions_after_splitting": len(build_regions(prediction, SPLIT).regions),
        "same_regions": {region.bbox: region.area for region in ours.regions}
        == {region.bbox: region.area for region in plain.regions},
        "same_pixels_in_regions_band_and_leftovers": bool(
            np.array_equal(np.where(ours.region_map < 60000, ours.region_map > 0, ours.region_map),
                           np.where(plain.region_map < 60000, plain.region_map > 0, plain.region_map))
        ),
    }  # fmt: skip
    variants: dict[str, Callable[[], object]] = {
        "loop_over_components": lambda: build_by_loop(prediction, WHOLE),
        "build_regions": lambda: build_regions(prediction, WHOLE),
        "build_regions_with_superpixels": lambda: build_regions(prediction, SPLIT),
    }
    return compare(
        f"region_building_{size_name}".replace("-", "_"), variants, repeats=repeats, baseline="loop_over_components",
        facts=facts,
    )  # fmt: skip


def compare_sizes(repeats: int) -> Comparison:
    """How region building grows from the smallest to the largest picture."""
    small, large = prediction_like(SIZES["480x360"]), prediction_like(LARGEST)
    variants: dict[str, Callable[[], object]] = {
        "480x360": lambda: build_regions(small, SPLIT),
        "4000x3000": lambda: build_regions(large, SPLIT),
    }
    growth = LARGEST[0] * LARGEST[1] / (360 * 480)
    return compare(
        "region_building_growth", variants, repeats=repeats, baseline="480x360",
        facts={"times_the_pixels": round(growth, 1), "regions": len(build_regions(large, SPLIT).regions)},
    )  # fmt: skip


def compare_saving(size_name: str, folder: Path, repeats: int) -> Comparison:
    """A stroke saved by the review service against rewriting the label's PNG for every stroke, both durable."""
    size_hw = SIZES[size_name]
    store = made_store(folder / "workspace", num_images=1, size_hw=size_hw)
    service, numbers = ReviewService(store), itertools.count()
    label_path = folder / "label.png"
    write_atomically(label_path, encode_plane_png(prediction_like(size_hw).label))

    def stroke(number: int) -> Delta:
        shape = (STROKE_PX, STROKE_PX)
        x0, y0 = 37 * number % (size_hw[1] - STROKE_PX), 23 * number % (size_hw[0] - STROKE_PX)
        return Delta(x0, y0, np.full(shape, number % len(CLASSES), np.uint8))

    def save_decision() -> None:
        number = next(numbers)
        service.decide(
            DecisionRequest(
                str(number), DecisionKind.DRAW, 1, number, "user", "tab", delta=stroke(number), lock_override=True
            )
        )

    def rewrite_label() -> None:
        delta = stroke(next(numbers_of_png))
        label = read_plane(label_path)
        label[delta.rows_columns] = delta.values
        write_atomically(label_path, encode_plane_png(label))

    numbers_of_png = itertools.count()
    return compare(
        f"save_{size_name}", {"rewrite_png": rewrite_label, "decide": save_decision}, repeats=repeats,
        baseline="rewrite_png", facts={"size": size_name, "stroke_px": STROKE_PX, "decisions_at_the_end": repeats + 1},
    )  # fmt: skip


def compare_next(folder: Path, repeats: int) -> Comparison:
    """The next region and the counts against reading all regions and sorting them in Python."""
    store = made_store(folder / "workspace", num_images=NUM_IMAGES, size_hw=(90, 120))
    service = ReviewService(store)
    start = service.queue(QueueFilter(), limit=1, offset=NUM_IMAGES * REGIONS_PER_IMAGE // 2)[0]

    def sort_everything() -> int:
        with store.reader() as session:
            statement = select(Region.id, Region.score).where(Region.state == RegionState.OPEN)
            ordered = sorted(session.execute(statement).all(), key=lambda row: (-row.score, row.id))
        at = next(index for index, row in enumerate(ordered) if row.id == start.region_id)
        return int(ordered[at + 1].id)

    assert sort_everything() == service.next_region(start.region_id)
    variants: dict[str, Callable[[], object]] = {
        "sort_everything": sort_everything,
        "next_region": lambda: service.next_region(start.region_id),
        "counts": service.counts,
    }
    return compare(
        "next_region", variants, repeats=repeats, baseline="sort_everything",
        facts={"images": NUM_IMAGES, "regions": NUM_IMAGES * REGIONS_PER_IMAGE},
    )  # fmt: skip


def made_store(root: Path, num_images: int, size_hw: tuple[int, int]) -> Store:
    """A workspace whose images all share one proposal's planes and have made-up regions."""
    store = open_store(Workspace(root), create=True)
    prediction = prediction_like(size_hw)
    zeros = np.zeros(size_hw, np.uint8)
    planes = MadePlanes(prediction.label, prediction.reliable, zeros, zeros, zeros.astype(np.uint16))
    planes_folder = store.workspace.relative(write_planes(store.workspace.proposals, "shared", planes))
    with store.session() as session:
        adopt_class_set(session, CLASSES, "benchmark")
        session.add(Model(round=1, onnx_path="none", onnx_sha256="none", status=ModelStatus.CURRENT))
        for number in range(num_images):
            session.add(
                Image(
                    sha256=str(number), sample_id=str(number), path="none", width=size_hw[1], height=size_hw[0],
                    role=ImageRole.POOL, state=ImageState.OPEN,
                )
            )  # fmt: skip
        session.flush()
        for number in range(1, num_images + 1):
            session.add(Proposal(image_id=number, model_id=1, folder=planes_folder, active=True))
        session.flush()
        session.execute(insert(Region), [row for number in range(1, num_images + 1) for row in made_regions(number)])
    return store


def made_regions(image_id: int) -> list[dict[str, object]]:
    """Rows of regions with random areas and confidences."""
    rng = np.random.default_rng(image_id)
    areas = rng.integers(24, 400, REGIONS_PER_IMAGE)
    confidences = rng.uniform(0.3, 0.9, REGIONS_PER_IMAGE)
    gains = [expected_errors(int(area), float(mean)) for area, mean in zip(areas, confidences, strict=True)]
    scores = diversified_scores(gains, QueueRules())
    return [
        {
            "proposal_id": image_id, "image_id": image_id, "number": index + 1, "kind": RegionKind.QUEUE,
            "class_id": 0, "area": int(areas[index]), "x0": 0, "y0": 0, "x1": 10, "y1": 10,
            "mean_confidence": float(confidences[index]), "score": scores[index], "top_classes": [[0, 0.5]],
            "state": RegionState.OPEN,
        }
        for index in range(REGIONS_PER_IMAGE)
    ]  # fmt: skip


def main() -> None:
    """Run everything, print the tables and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="turns per comparison (default 10)")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        comparisons = [
            *(compare_regions(size_name, repeats) for size_name in SIZES),
            compare_sizes(max(1, repeats // 3)),
            *(compare_saving(size_name, folder / size_name, 3 * repeats) for size_name in SIZES),
            compare_next(folder / "next", repeats),
        ]
    for comparison in comparisons:
        show(comparison)
        print(f"  written: {write_result(comparison, RESULTS_FOLDER).name}")


if __name__ == "__main__":
    main()
