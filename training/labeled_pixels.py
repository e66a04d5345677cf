"""What a student says about the pixels of a labeled image, and where it is wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from datasets.files import sha256_of
from datasets.labels import IGNORE_INDEX, Provenance
from datasets.sample import SegmentationDataset
from reliability.score_bins import count_bins
from reliability.scores import flip_averaged
from training.evaluate import Inference
from training.models import Student


@dataclass(frozen=True)
class LabeledPixels:
    """One image.

    Attributes:
        sample_id: its name, for messages.
        probabilities: (1, C, H, W) float32; averaged over the mirror image where that was predicted too.
        predicted: (1, H, W) int64.
        error: (1, H, W) bool, True where the predicted class is wrong.
        valid: (1, H, W) bool, labeled by a person.
    """

    sample_id: str
    probabilities: Tensor
    predicted: Tensor
    error: Tensor
    valid: Tensor

    def count(self, score: Tensor) -> Tensor:
        """Right and wrong pixels by predicted class and score (1, H, W): (C, NUM_BINS, 2) int32 on the CPU.

        Raises:
            ValueError: the score of a valid pixel is no number from 0 to 1; names the image.
        """
        num_classes = self.probabilities.shape[1]
        try:
            counts = count_bins(score[0], self.predicted[0], self.error[0], self.valid[0], num_classes)
        except ValueError as error:
            raise ValueError(f"{self.sample_id}: {error}") from error
        return counts.to("cpu", torch.int32)


class LabeledImages:
    """The labeled images of a data set as a student sees them, predicted anew whenever one is asked for.

    Args:
        student: in eval mode, on the device of `inference`.
        dataset: the images.
        indices: which of them; all have a label.
        inference: how probabilities are made; with `flip` they are averaged over the mirror image, label and all.
    """

    def __init__(
        self, student: Student, dataset: SegmentationDataset, indices: Sequence[int], inference: Inference
    ) -> None:
        self.student = student
        self.dataset = dataset
        self.indices = tuple(indices)
        self.inference = inference

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[LabeledPixels]:
        return (self[place] for place in range(len(self)))

    @property
    def sample_ids(self) -> list[str]:
        """In the order of the images."""
        return [self.dataset.sample_ids[index] for index in self.indices]

    @torch.inference_mode()
    def __getitem__(self, place: int) -> LabeledPixels:
        """One image by its place; what a model labeled is not valid: it is no measure of a model."""
        sample = self.dataset[self.indices[place]]
        assert sample.label is not None  # the caller asked is_labeled
        prediction = self.inference.prediction(self.student, sample.image)
        probabilities = prediction.probabilities
        if prediction.mirrored is not None:
            probabilities = flip_averaged(probabilities, prediction.mirrored)
        label = torch.from_numpy(sample.label).to(self.inference.device).long()[None]
        valid = label != IGNORE_INDEX
        if sample.provenance is not None:
            valid &= torch.from_numpy(sample.provenance == Provenance.HUMAN).to(self.inference.device)
        predicted = probabilities.argmax(dim=1)
        return LabeledPixels(sample.sample_id, probabilities, predicted, predicted != label, valid)

    def sha256(self) -> str:
        """Digest over all images and labels."""
        digest = sha256()
        for index in self.indices:
            label = self.dataset[index].label
            assert label is not None
            digest.update(sha256_of(self.dataset.image_path(index)).encode() + label.tobytes())
        return digest.hexdigest()
