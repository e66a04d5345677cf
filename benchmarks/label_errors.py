"""How many of the parts that `pixelsieve suspects` lists first are real errors, in labels with planted ones.

    python -m benchmarks.label_errors --preset cpu_proxy --data-root path/to/camvid --work path/outside

A share of the connected parts of all training masks gets another class; a student learns from these labels through a
workspace, as it would from a team's labels, and ranks their parts.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from app.config import Workspace
from app.domain.suspects import MIN_AREA, Suspect, connected_parts, precision_at
from app.services.processes import ChildFailedError, Monitor
from app.services.round_steps import RoundRequest
from app.services.rounds import list_models, start_round
from app.services.suspects import find_suspects
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import Store, open_store
from app.storage.models import Image
from benchmarks.loop_cells import PRESETS, Preset
from benchmarks.matrix_data import half_size_copy
from benchmarks.side_by_side import RESULTS_FOLDER, describe_machine
from datasets.files import write_atomically
from datasets.formats import camvid
from datasets.images import encode_plane_png
from datasets.labels import LabelArray
from training.records import write_json

SHARE, FIRST = 0.1, (10, 20, 50, 100, 200)


def plant_errors(
    label: LabelArray, share: float, num_classes: int, rng: np.random.Generator, min_area: int = MIN_AREA
) -> LabelArray:
    """A label in which each part of at least `min_area` pixels has another class with probability `share`."""
    planted = label.copy()
    for class_id, (x0, y0, x1, y1), mask in connected_parts(label, min_area):
        if rng.random() < share:
            others = [other for other in range(num_classes) if other != class_id]
            planted[y0:y1, x0:x1][mask] = rng.choice(others)
    return planted


def are_errors(
    ranked: Sequence[Suspect], changed: dict[int, NDArray[np.bool_]], label: dict[int, LabelArray]
) -> list[bool]:
    """For every part, whether most of its pixels were given another class."""
    found = []
    for suspect in ranked:
        x0, y0, x1, y1 = suspect.part.bbox
        of_class = label[suspect.part.image_id][y0:y1, x0:x1] == suspect.part.class_id
        found.append(bool(changed[suspect.part.image_id][y0:y1, x0:x1][of_class].mean() > 0.5))
    return found


def measure(preset: Preset, root: Path, work: Path, seed: int, monitor: Monitor) -> dict[str, Any]:
    """Plant, train, rank and count."""
    noisy = work / "camvid_with_errors"
    if not noisy.is_dir():
        _write_noisy(root, noisy, seed)
    plan = plan_import(ImportSource(noisy, "camvid", preset.splits[0], preset.gold_share, seed))
    held_out = set(plan.held_out)
    plan = replace(plan, labeled=tuple(name for name in plan.dataset.sample_ids if name not in held_out))
    place = Workspace(work / "label_errors")
    with closing(open_store(place, create=True)) as store:
        run_import(store, plan, lambda _: None)
        if not list_models(store):
            overrides = {**preset.overrides, "run.steps": str(preset.first_steps), "run.seed": str(seed)}
            start_round(store, place, RoundRequest(preset.first_preset, overrides), monitor)
        ranked = find_suspects(store, None, monitor).ranked
        changed, label = _planes(store, root, noisy)
    errors = are_errors(ranked, changed, label)
    rate = float(np.mean(errors))
    return {
        "steps": preset.first_steps, "share": SHARE, "min_area": MIN_AREA, "parts": len(errors), "errors": sum(errors),
        "random_precision": rate, "precision": {str(k): precision_at(errors, k) for k in FIRST if k <= len(errors)},
        "seed": seed, "machine": describe_machine(),
    }  # fmt: skip


def _write_noisy(root: Path, target: Path, seed: int) -> None:
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(root, unfinished)
    rng, dataset = np.random.default_rng(seed), camvid.build(root, "train")
    for index, sample_id in enumerate(dataset.sample_ids):
        label = dataset[index].label
        assert label is not None, "all of CamVid is labeled"
        planted = plant_errors(label, SHARE, len(camvid.CLASSES), rng)
        write_atomically(unfinished / "masks" / "train" / f"{sample_id}.png", encode_plane_png(planted))
    unfinished.rename(target)


def _planes(store: Store, root: Path, noisy: Path) -> tuple[dict[int, NDArray[np.bool_]], dict[int, LabelArray]]:
    """By image id: which pixels were changed, and the labels with the errors."""
    true, planted = camvid.build(root, "train"), camvid.build(noisy, "train")
    with store.reader() as session:
        ids = {row.sample_id: row.id for row in session.execute(select(Image.sample_id, Image.id))}
    changed, label = {}, {}
    for index, sample_id in enumerate(true.sample_ids):
        if sample_id in ids:
            before, after = true[index].label, planted[index].label
            assert before is not None and after is not None
            changed[ids[sample_id]], label[ids[sample_id]] = before != after, after
    return changed, label


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the result; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_errors", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=tuple(PRESETS), required=True, help="student and steps, as in camvid_loop")
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="CamVid with splits/")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="outside the repository")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: in benchmarks/results")
    parser.add_argument("--seed", type=int, default=0, help="of the errors and the training")
    options = parser.parse_args(arguments)
    try:
        preset, work = PRESETS[options.preset](), options.work.resolve()
        root = half_size_copy(options.data_root, work, preset.splits) if preset.half_size else options.data_root
        found = measure(preset, root, work, options.seed, Monitor())
        write_json(options.out or RESULTS_FOLDER / f"label_errors_{options.preset}.json", found)
    except (ValueError, OSError, ChildFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{found['errors']} of {found['parts']} parts are errors, {found['random_precision']:.1%}")
    for k, precision in found["precision"].items():
        print(
            f"precision among the first {k}: {precision:.1%}, {precision / found['random_precision']:.1f} times random"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
