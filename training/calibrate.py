"""From a run folder and held-out labeled images to calibration.json: predict, count, choose, write."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.lookup import build_dataset
from datasets.sample import SegmentationDataset
from datasets.splits import find_split, read_split
from datasets.views import select
from training.calibration import Calibration, CalibrationRequest, CannotCalibrateError, calibrate_counts
from training.calibration_file import CalibratedOn, student_digest, write_calibration
from training.calibration_plots import write_calibration_plots
from training.checkpoint import load_student
from training.combined import count_by_score
from training.environment import resolve_device, resolve_memory_format
from training.evaluate import Inference
from training.held_out import check_held_out, images_trained_on
from training.labeled_pixels import LabeledImages


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
        on_image: called with the number of finished and of all looks at an image.

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
    images = LabeledImages(student, dataset, labeled, inference)
    found = count_by_score(images, images.sample_ids, request, on_image)
    calibration = calibrate_counts(found.counts, images.sample_ids, found.request)
    calibration = replace(calibration, combined=found.combined, score_note=found.note)
    source = CalibratedOn(data.format, data.split, data.labeled_split, images.sha256(), digest)
    write_calibration(run_dir, calibration, config.class_set, source)
    write_calibration_plots(run_dir, calibration)
    return calibration
