"""Does the combined score find errors that no single score finds? On test images that nothing was fitted on.

    python -m benchmarks.combined_score --name camvid --run-dir RUN --data-format camvid --data-root CAMVID \
        --fit-split train --fit-labeled-split most_held_out --test-split test

The score is fitted on held-out images exactly as `python -m training calibrate --score combined` does it. Then every
test image is counted by each single score, by the combined one, by what calibrating makes of both, and by variants
of the combined one: without one group of features, with more or fewer hidden values, fitted on other shares. Counts
are kept in --cache, so a run that was stopped goes on. Writes NAME.json and NAME.md: AURC, AUROC, FPR at 95 % TPR, and
the share of all errors in the least sure 5, 10 and 20 % of the pixels, with paired bootstrap intervals over blocks.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.combined_score_report import Counted, describe, write_report
from benchmarks.side_by_side import RESULTS_FOLDER
from datasets.files import write_atomically
from datasets.frames import FrameRule, frame_blocks, set_apart
from datasets.lookup import dataset_names
from reliability.calibrated import COMBINED, CalibratedReliability
from reliability.combined_fit import HIDDEN, PixelSamples, fit_combined
from reliability.combined_score import CombinedScore, through_layers
from reliability.lookup import build_method
from reliability.score_bins import NUM_BINS, score_bin
from reliability.score_features import feature_groups, score_features
from reliability.scores import confidence, entropy, margin, probability_of, refine, residual_variance
from reliability.selection import SelectionInputs
from training.calibrate import HeldOutData
from training.calibration import CalibrationRequest, calibrate_counts, image_roles
from training.calibration_file import student_digest
from training.checkpoint import load_student
from training.combined import SINGLE, count_cross_fitted, cross_fit, sample_images
from training.environment import resolve_device
from training.evaluate import Inference
from training.labeled_pixels import LabeledImages, LabeledPixels

Scores = Mapping[str, Tensor]
"""Name -> (1, H, W) in [0, 1], larger is surer."""

FLIP_SCORE = "flip_confidence"


@dataclass(frozen=True)
class Fitted:
    """What was fitted on held-out images.

    Attributes:
        combined: as `calibrate` fits it.
        calibrated: score -> probability of being wrong, for the combined and the single score.
        variants: combined scores that were made otherwise.
        fit_images: that the first two learned from.
    """

    combined: CombinedScore
    calibrated: dict[str, CalibratedReliability]
    variants: dict[str, CombinedScore]
    fit_images: int


def single_scores(pixels: LabeledPixels, mirrored: Tensor | None) -> Scores:
    """What can be said of a pixel without anything fitted.

    Args:
        pixels: an image.
        mirrored: (1, C, H, W) the mean with the mirror image, for FLIP_SCORE.
    """
    probabilities = pixels.probabilities
    num_classes = probabilities.shape[1]
    refined = refine(probabilities)
    inputs = SelectionInputs(probabilities, torch.ones_like(pixels.valid))
    scores = {
        "confidence": confidence(probabilities),
        "margin": margin(probabilities),
        "entropy": 1 - entropy(probabilities) / float(np.log(num_classes)),
        "residual_variance": 1 - (residual_variance(probabilities) * (num_classes - 1)).sqrt(),
        "refined_margin": margin(refined),
        "refined_confidence": probability_of(refined / refined.sum(dim=1, keepdim=True), pixels.predicted),
        "csl_weight": build_method("csl", require_confidence=True)(inputs).weight,
    }
    if mirrored is not None:
        scores[FLIP_SCORE] = probability_of(mirrored, pixels.predicted)
    return scores


def all_scores(pixels: LabeledPixels, mirrored: Tensor | None, fitted: Fitted) -> Scores:
    """Single, combined and calibrated scores, and the variants."""
    features = score_features(pixels.probabilities, pixels.predicted)[0].flatten(1).T
    scores = dict(single_scores(pixels, mirrored))
    for name, calibrated in fitted.calibrated.items():
        scores[f"calibrated {name}"] = 1 - calibrated(pixels.probabilities, pixels.predicted)[0]
    for name, combined in {COMBINED: fitted.combined, **fitted.variants}.items():
        odds = through_layers(features, combined.layers())
        scores[name] = torch.sigmoid(-odds).view_as(scores["confidence"])
    return scores


def count_scores(pixels: LabeledPixels, scores: Scores) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(S, NUM_BINS, 2) right and wrong pixels, least sure first."""
    wrong = pixels.error[pixels.valid].long()
    rows = [
        torch.bincount(score_bin(score.clamp(0, 1)[pixels.valid]) * 2 + wrong, minlength=2 * NUM_BINS)
        for score in scores.values()
    ]
    return torch.stack(rows).view(-1, NUM_BINS, 2).int().numpy()


def fit_all(images: LabeledImages, request: CalibrationRequest, with_variants: bool) -> Fitted:
    """Everything that learns, on held-out images only."""
    ids = images.sample_ids
    single, samples = sample_images(images, request.seed, _told("features", len(images)))
    roles = image_roles(single, ids, request)
    num_classes = single.shape[1]
    scores, final = cross_fit(samples, roles, num_classes, request.seed)
    counts = count_cross_fitted(images, roles, scores, final, _told("held-out", len(images)))
    calibrated = {}
    for name, counted, combined in ((COMBINED, counts, final), (SINGLE, single, None)):
        table = calibrate_counts(counted, ids, request).curves.table
        calibrated[name] = CalibratedReliability(name, table, None, combined)
    chosen = torch.tensor(roles.order)[roles.for_fit]
    variants = {}
    if with_variants:
        variants = _variants(samples, chosen, num_classes, request.seed)
        for share in (0.25, 1.0):
            more = set(ids) if share == 1 else set(set_apart(ids, share, request.seed, request.rule))
            places = torch.tensor([place for place, name in enumerate(ids) if name in more])
            variants[f"fitted on {len(places)} images"] = fit_combined(samples.of(places), num_classes, request.seed)
    return Fitted(final, calibrated, variants, len(chosen))


def _save(fitted: Fitted, path: Path) -> None:
    """As numbers, tensors and names, which are read without running code that somebody put into the file."""
    scores = {COMBINED: fitted.combined, **fitted.variants}
    num_classes = fitted.combined.num_classes
    stored = {
        "fit_images": fitted.fit_images,
        "layers": {name: score.layers() for name, score in scores.items()},
        "tables": {name: each.table.view(num_classes, NUM_BINS) for name, each in fitted.calibrated.items()},
    }
    unfinished = path.with_suffix(".part")
    torch.save(stored, unfinished)
    unfinished.rename(path)


def _load(path: Path) -> Fitted:
    stored = torch.load(path, weights_only=True)
    num_classes = len(stored["tables"][SINGLE])
    scores = {}
    for name, layers in stored["layers"].items():
        weights, biases = zip(*layers, strict=True)
        scores[name] = CombinedScore(weights, biases, num_classes)
    combined = scores.pop(COMBINED)
    calibrated = {
        name: CalibratedReliability(name, table, None, combined if name == COMBINED else None)
        for name, table in stored["tables"].items()
    }
    return Fitted(combined, calibrated, scores, stored["fit_images"])


def _variants(samples: PixelSamples, places: Tensor, num_classes: int, seed: int) -> dict[str, CombinedScore]:
    found = {}
    for name, channels in feature_groups(num_classes).items():
        features = samples.features[places].clone()
        features[..., list(channels)] = 0
        blind = fit_combined(PixelSamples(features, samples.is_wrong[places]), num_classes, seed)
        for channel in channels:
            blind.layers()[0][0][:, channel] = 0
        found[f"without {name}"] = blind
    for hidden in ((), (16,), (64, 32)):
        words = "logistic" if not hidden else f"{' and '.join(map(str, hidden))} hidden values"
        found[words] = fit_combined(samples.of(places), num_classes, seed, hidden)
    return found


def count_test(
    plain: LabeledImages, averaged: LabeledImages, fitted: Mapping[str, Fitted], cache: Path
) -> dict[str, tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]]:
    """File -> names of the scores, and (images, S, NUM_BINS, 2)."""
    names: dict[str, list[str]] = {}
    rows: dict[str, list[Any]] = {file: [] for file in fitted}
    told = _told("test", len(plain))
    for place in range(len(plain)):
        path = cache / f"{place:05d}.npz"
        if not path.exists():
            _count_image(path, plain[place], averaged[place], fitted)
        with np.load(path) as stored:
            for file in fitted:
                names[file] = [str(name) for name in stored[f"{file}_names"]]
                rows[file].append(stored[file].astype(np.int64))
        told(place + 1)
    return {file: (names[file], np.stack(rows[file])) for file in fitted}


@torch.inference_mode()
def _count_image(path: Path, plain: LabeledPixels, averaged: LabeledPixels, fitted: Mapping[str, Fitted]) -> None:
    stored: dict[str, Any] = {}
    for file, pixels, mirrored in (("plain", plain, averaged.probabilities), ("flip_average", averaged, None)):
        scores = all_scores(pixels, mirrored, fitted[file])
        stored[file], stored[f"{file}_names"] = count_scores(pixels, scores), list(scores)
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(unfinished, **stored)
    unfinished.rename(path)


def _told(what: str, total: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if done % 20 == 0 or done == total:
            print(f"{what}: {done} of {total} images", flush=True)

    return tell


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fit, count, compare; returns what is written."""
    rule = FrameRule(independent=options.independent)
    request = CalibrationRequest(score=COMBINED, rule=rule)
    student, config = load_student(options.run_dir)
    device = resolve_device("cpu")
    views = {
        file: Inference(device, config.mean, config.std, flip=flip)
        for file, flip in (("plain", False), ("flip_average", True))
    }
    parts = {}
    for part, split, labeled in (
        ("fit", options.fit_split, options.fit_labeled_split),
        ("test", options.test_split, ""),
    ):
        dataset = HeldOutData(options.data_format, options.data_root, split, labeled).open()
        indices = [index for index in range(len(dataset)) if dataset.is_labeled(index)][: options.limit or None]
        parts[part] = {file: LabeledImages(student, dataset, indices, view) for file, view in views.items()}
    ids = {part: parts[part]["plain"].sample_ids for part in parts}
    key = json.dumps([student_digest(student), str(request), ids, HIDDEN])
    cache = options.cache / options.name / sha256(key.encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    fitted = {}
    for file, images in parts["fit"].items():
        path = cache / f"{file}.pt"
        if not path.exists():
            _save(fit_all(images, request, with_variants=file == "plain"), path)
        fitted[file] = _load(path)
    counted = count_test(parts["test"]["plain"], parts["test"]["flip_average"], fitted, cache)
    block_of = frame_blocks(ids["test"], rule=rule)
    blocks = [block_of[name] for name in ids["test"]]
    facts = {
        "name": options.name,
        "fit_images": fitted["plain"].fit_images,
        "held_out_images": len(ids["fit"]),
        "test_images": len(ids["test"]),
        "blocks": len(set(blocks)),
        "student_sha256": student_digest(student),
        "hidden": list(HIDDEN),
    }
    files = {file: describe(Counted(tuple(names), counts, tuple(blocks))) for file, (names, counts) in counted.items()}
    return {"facts": facts, "files": files}


def main() -> None:
    """Run, write JSON and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the two files that are written")
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="a finished run")
    parser.add_argument("--data-format", choices=dataset_names(), required=True)
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH")
    parser.add_argument("--fit-split", default="gold", metavar="NAME", help="held-out images; default gold")
    parser.add_argument("--fit-labeled-split", default="", metavar="NAME", help="only those of DATA_ROOT/splits/NAME")
    parser.add_argument("--test-split", default="test", metavar="NAME", help="default test")
    parser.add_argument("--independent", action="store_true", help="the pictures do not come from videos")
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="only the first N images of each; default all"
    )
    parser.add_argument("--cache", type=Path, default=Path("combined_score_cache"), metavar="DIR")
    parser.add_argument("--out", type=Path, default=RESULTS_FOLDER / "combined_score", metavar="DIR")
    options = parser.parse_args()
    result = run(options)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / f"{options.name}.json", (json.dumps(result, indent=1) + "\n").encode())
    print(write_report(options.out / f"{options.name}.md", result))


if __name__ == "__main__":
    main()
