"""From a run folder and held-out labeled images to calibration.json: predict, count, choose, write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from datasets.files import sha256_of
from datasets.labels import IGNORE_INDEX, Provenance
from datasets.lookup import build_dataset
from datasets.sample import Sample, SegmentationDataset
from datasets.splits import find_split, read_split
from datasets.views import select
from reliability.calibrated import SCORES
from reliability.score_bins import count_bins
from reliability.scores import flip_averaged
from training.calibration import Calibration, CalibrationRequest, CannotCalibrateError, calibrate_counts
from training.calibration_file import CalibratedOn, student_digest, write_calibration
from training.calibration_plots import write_calibration_plots
from training.checkpoint import load_student
from training.environment import resolve_device, resolve_memory_format
from training.evaluate import Inference
from training.held_out import check_held_out, images_trained_on
from training.models import Student


@dataclass(frozen=True)
class HeldOutData:
    """The images to calibrate on.

    Attributes:
        format: name of a file in datasets/formats.
        root: folder or file that the format reads.
        split: of the data set.
        labeled_split: folder under `root`/splits whose labeled ids are taken; empty: all images with labels.
    """

    format: str
    root: Path
    split: str
    labeled_split: str = ""

    def open(self) -> SegmentationDataset:
        """Raises: FileNotFoundError, ValueError: as the format says, or a listed id does not exist."""
        dataset = build_dataset(self.format, self.root, self.split)
        if not self.labeled_split:
            return dataset
        return select(dataset, read_split(find_split(self.root, self.labeled_split)).labeled)


def calibrate_run(
    run_dir: Path,
    data: HeldOutData,
    request: CalibrationRequest,
    device: str = "auto",
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Calibrate the student of a run folder and write calibration.json and its plots there.

    Whole images are predicted, as the exported file does it, whatever window the run evaluates with.

    Args:
        run_dir: of a finished or stopped run.
        data: images with labels that were not trained on.
        request: what is promised, and how frames are told apart.
        device: auto, cpu or cuda.
        on_image: called with the number of finished and of all images.

    Raises:
        FileNotFoundError: no such run or data.
        CannotCalibrateError: the images do not serve; says why and what would.
        ValueError: other classes, or a prediction that is not a number.
    """
    student, config = load_student(run_dir)
    dataset = data.open()
    if dataset.class_set.names != config.class_set.names:
        raise ValueError(
            f"{data.root} has the classes {', '.join(dataset.class_set.names)}, but {run_dir} was trained on "
            f"{', '.join(config.class_set.names)}; the classes and their order must be the same"
        )
    labeled = [index for index in range(len(dataset)) if dataset.is_labeled(index)]
    if not labeled:
        raise CannotCalibrateError(
            f"no image of {data.root}, split {data.split!r}, has a label; calibrating needs some"
        )
    check_held_out(dataset, labeled, images_trained_on(run_dir, config), request.gap, request.rule)
    digest = student_digest(student)
    on = resolve_device(device)
    memory_format = resolve_memory_format(config.run.channels_last, on, "no")
    student = student.to(on).to(memory_format=memory_format)
    inference = Inference(on, config.mean, config.std, None, memory_format, request.flip_average)
    counts, data_sha256 = count_images(student, dataset, labeled, inference, request.score, on_image)
    calibration = calibrate_counts(counts, [dataset.sample_ids[index] for index in labeled], request)
    source = CalibratedOn(data.format, data.split, data.labeled_split, data_sha256, digest)
    write_calibration(run_dir, calibration, config.class_set, source)
    write_calibration_plots(run_dir, calibration)
    return calibration


def count_images(
    student: Student,
    dataset: SegmentationDataset,
    indices: Sequence[int],
    inference: Inference,
    score: str,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Tensor, str]:
    """Right and wrong pixels of every image, by predicted class and score.

    Args:
        student: in eval mode, on the device of `inference`.
        dataset: the images.
        indices: which of them; all have a label.
        inference: how probabilities are made; with `flip` they are averaged over the mirror image, label and all.
        score: a name in SCORES.
        on_image: called with the number of finished and of all images.

    Returns:
        (n, C, NUM_BINS, 2) int32 on the CPU, and the SHA-256 over images and labels.

    Raises:
        ValueError: a prediction is not a number; names the image.
    """
    digest = sha256()
    counts = []
    for done, index in enumerate(indices, start=1):
        sample = dataset[index]
        assert sample.label is not None  # is_labeled said so
        digest.update(sha256_of(dataset.image_path(index)).encode() + sample.label.tobytes())
        counts.append(_count_image(student, sample, inference, score).to("cpu", torch.int32))
        on_image(done, len(indices))
    return torch.stack(counts), digest.hexdigest()


@torch.inference_mode()
def _count_image(student: Student, sample: Sample, inference: Inference, score: str) -> Tensor:
    prediction = inference.prediction(student, sample.image)
    probabilities = prediction.probabilities
    if prediction.mirrored is not None:
        probabilities = flip_averaged(probabilities, prediction.mirrored)
    label = torch.from_numpy(sample.label).to(inference.device).long()
    valid = label != IGNORE_INDEX
    if sample.provenance is not None:  # what a model said is no measure of a model
        valid &= torch.from_numpy(sample.provenance == Provenance.HUMAN).to(inference.device)
    predicted = probabilities.argmax(dim=1)[0]
    try:
        return count_bins(
            SCORES[score](probabilities)[0],
            predicted,
            predicted != label,
            valid,
            probabilities.shape[1],
        )
    except ValueError as error:
        raise ValueError(f"{sample.sample_id}: {error}") from error
