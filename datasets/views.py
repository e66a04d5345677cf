"""Parts of a data set, without copying it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.images import read_image
from datasets.paths import sample_id_of
from datasets.sample import Sample, SegmentationDataset
from datasets.splits import LabeledSplit

_SHOWN = 5  # ids listed in a message


class SubsetView:
    """Some samples of another data set, optionally with their labels hidden.

    Args:
        dataset: where samples come from.
        indices: positions in `dataset`, in the order of the view.
        hides_labels: True yields the images alone; mask files are not even read.
    """

    def __init__(self, dataset: SegmentationDataset, indices: Sequence[int], hides_labels: bool = False) -> None:
        self.class_set = dataset.class_set
        self._dataset = dataset
        self._indices = tuple(indices)
        self._hides_labels = hides_labels
        self._ids = tuple(dataset.sample_ids[index] for index in self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """One id per index, unique."""
        return self._ids

    def image_path(self, index: int) -> Path:
        """The file that holds the image's bytes."""
        return self._dataset.image_path(self._indices[index])

    def is_labeled(self, index: int) -> bool:
        """Whether the sample has a label that this view shows."""
        return not self._hides_labels and self._dataset.is_labeled(self._indices[index])

    def __getitem__(self, index: int) -> Sample:
        if self._hides_labels:
            return Sample(self._ids[index], read_image(self.image_path(index)))
        return self._dataset[self._indices[index]]


def select(dataset: SegmentationDataset, sample_ids: Sequence[str], hides_labels: bool = False) -> SubsetView:
    """The named samples, in the given order.

    Args:
        dataset: where samples come from.
        sample_ids: ids, or ends of image paths without their ending ("JPEGImages/2007_000032", as published lists have
            them), of at least one folder and the file.
        hides_labels: True yields the images alone.

    Raises:
        ValueError: an id or path that the data set does not have.
    """
    index_of = {sample_id: index for index, sample_id in enumerate(dataset.sample_ids)}
    index_of = _index_of_paths(dataset, sample_ids, index_of) | index_of
    unknown = [sample_id for sample_id in sample_ids if sample_id not in index_of]
    if unknown:
        raise ValueError(
            f"{len(unknown)} listed samples are not in the data set of {len(dataset)}, for example "
            f"{', '.join(unknown[:_SHOWN])}; it has {', '.join(dataset.sample_ids[:2])}, ... "
            "Does the split belong to another data set, or to another of its splits?"
        )
    return SubsetView(dataset, [index_of[sample_id] for sample_id in sample_ids], hides_labels)


def with_split(dataset: SegmentationDataset, split: LabeledSplit) -> tuple[SubsetView, SubsetView]:
    """The labeled samples, and the others with their labels hidden. Samples in neither list are left out.

    Raises:
        ValueError: an id or path that the data set does not have, a sample that is listed both by id and by path, or a
            labeled one without a label.
    """
    labeled = select(dataset, split.labeled)
    without = [sample_id for index, sample_id in enumerate(labeled.sample_ids) if not labeled.is_labeled(index)]
    if without:
        raise ValueError(
            f"{len(without)} samples of the labeled list have no mask, for example {', '.join(without[:_SHOWN])}. "
            "Add their masks, or move them to the unlabeled list."
        )
    unlabeled = select(dataset, split.unlabeled, hides_labels=True)
    counts = Counter(labeled.sample_ids + unlabeled.sample_ids)
    repeated = [sample_id for sample_id, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} samples are listed twice, once by id and once by path, for example "
            f"{', '.join(repeated[:_SHOWN])}. List each of them once."
        )
    return labeled, unlabeled


def _index_of_paths(
    dataset: SegmentationDataset, sample_ids: Sequence[str], index_of: Mapping[str, int]
) -> dict[str, int]:
    """Ends of image paths -> index, as long as the names that are no ids. Two images with one end are both left out."""
    lengths = {name.count("/") + 1 for name in sample_ids if name not in index_of} - {1}
    found: dict[str, int] = {}
    repeated: set[str] = set()
    for index in range(len(dataset)) if lengths else ():
        parts = dataset.image_path(index).parts
        for length in lengths:
            end = sample_id_of("/".join(parts[-length:]))
            if found.setdefault(end, index) != index:
                repeated.add(end)
    return {end: index for end, index in found.items() if end not in repeated}
