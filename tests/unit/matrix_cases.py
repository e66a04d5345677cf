"""A CamVid of a few small frames and finished cells of the comparison, for the tests of its benchmarks."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.matrix_cells import PRESETS, Cell, Preset, cell_config, published_config
from benchmarks.matrix_run import write_result
from datasets.formats.camvid import CLASSES
from datasets.splits import LabeledSplit, write_split
from training.evaluation_counts import FLIP_SCORE, SCORE_EDGES, SCORE_NAMES

BLOCKS = 8
SCORES = (*SCORE_NAMES, FLIP_SCORE)


def write_camvid(root: Path, train: int = 6, test: int = 3) -> Path:
    """Frames of 64 x 80 noise with stripes of three classes; split 1_8 shows the first two training frames."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            name = f"{'0001TP' if split == 'train' else 'Seq05VD_f'}_{number:05d}"
            label = np.repeat(np.repeat(rng.integers(0, 3, (4, 5)), 16, axis=0), 16, axis=1).astype(np.uint8)
            image = (label[..., None] * 80 + rng.integers(0, 60, (64, 80, 3))).astype(np.uint8)
            cv2.imwrite(str(root / "images" / split / f"{name}.png"), image)
            cv2.imwrite(str(root / "masks" / split / f"{name}.png"), label)
    (root / "classes.json").write_text(json.dumps(CLASSES.to_json()), encoding="utf-8")
    names = [f"0001TP_{number:05d}" for number in range(train)]
    write_split(root / "splits" / "1_8", LabeledSplit(tuple(names[:2]), tuple(names[2:])))
    return root


def tiny_preset(steps: int = 4) -> Preset:
    """cpu_proxy at its smallest: seconds per cell, on frames of `write_camvid`."""
    preset = PRESETS["cpu_proxy"]()
    config = preset.config
    run = dataclasses.replace(
        config.run, steps=steps, labeled_batch=2, unlabeled_batch=2, log_every=1, checkpoint_every=2, precision="no"
    )
    views = dataclasses.replace(config.views, crop_hw=(32, 32))
    evaluation = dataclasses.replace(config.evaluation, every_steps=2, pseudo_images=2)
    return dataclasses.replace(
        preset, half_size=False, config=dataclasses.replace(config, run=run, views=views, evaluation=evaluation)
    )


def confusions(accuracy: float, seed: int, blocks: int = BLOCKS) -> np.ndarray:
    """(B, C, C): 1000 pixels of each class and block, about `accuracy` of them right, the rest in the next class."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((blocks, len(CLASSES), len(CLASSES)), np.int64)
    for block in counts:
        right = np.clip(rng.normal(accuracy, 0.03, len(CLASSES)), 0, 1) * 1000
        for class_id, hits in enumerate(right.astype(int)):
            block[class_id, class_id] = hits
            block[class_id, (class_id + 1) % len(CLASSES)] = 1000 - hits
    return counts


def write_cell(folder: Path, cell: Cell, accuracy: float, **changes: Any) -> Path:
    """A finished cell of cpu_proxy with made-up counts; `changes` replace keys of its JSON."""
    preset = PRESETS["cpu_proxy"]()
    confusion = confusions(accuracy, seed=7)  # the same blocks are hard for all cells
    scores = np.zeros((BLOCKS, len(SCORE_EDGES) + 1, 2), np.int64)
    scores[:, 10], scores[:, -10] = [100, 300], [800, 60]
    metrics = {"auroc": 0.9, "aurc": 0.05, "fpr_at_95_tpr": 0.6}
    metrics |= {"errors_found_05": 0.3, "errors_found_10": 0.5, "errors_found_20": 0.8}
    hits = np.diagonal(confusion.sum(axis=0))
    union = confusion.sum(axis=(0, 1)) + confusion.sum(axis=(0, 2)) - hits
    iou = hits / union
    content = {
        "format": 1,
        "preset": "cpu_proxy",
        **dataclasses.asdict(cell),
        "config": published_config(cell_config(preset, cell, Path("unused"))),
        "block_frames": 20,
        "labels_only_steps": preset.supervised_steps(),
        "environment": {"device": "cpu", "precision": "no", "versions": {"torch": "2.15.0"}},
        "machine": {"cpu": "A CPU", "cores": 2},
        "detector": None,
        "seconds_per_step": {"labels_only": 0.1, "after": 0.1 if cell.method == "supervised" else 0.4},
        "seconds": {"training": 30.0, "test": 15.0},
        "pseudo_labels": [{"step": 20, "precision": None, "coverage": 0.0, "miou": 0.1},
                          {"step": 40, "precision": 0.9, "coverage": 0.5, "miou": 0.3}],
        "score_edges": list(SCORE_EDGES),
        "peak_memory": {"mib": 900.0, "kind": "resident, whole process"},
        "test": {
            "images": 233,
            "miou": float(iou.mean()),
            "iou_per_class": dict(zip(CLASSES.names, iou.tolist(), strict=True)),
            "reliability": dict.fromkeys(SCORES, metrics),
            "selection": {"precision": 0.9, "coverage": 0.5},
            "blocks": {
                "names": [f"block-{number}" for number in range(BLOCKS)],
                "confusion": confusion.tolist(),
                "scores": dict.fromkeys(SCORES, scores.tolist()),
            },
        },
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{cell.name}.json"
    write_result(path, {**content, **changes})
    return path
