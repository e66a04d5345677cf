"""Bringing images and labels into a workspace: bytes unchanged, each file checked, a bad one never stops the rest."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import or_, select

from app.domain.states import ImageRole, ImageState
from app.storage.database import Store
from app.storage.models import Image
from app.storage.settings import adopt_class_set
from datasets.decoding import DEFAULT_LIMITS, read_bytes
from datasets.files import has_content, write_atomically
from datasets.images import decode_image, encode_plane_png, read_plane
from datasets.labels import LabelArray
from datasets.paths import file_name_of, shown_name
from datasets.progress import Progress
from datasets.sample import SegmentationDataset

_SUFFIX_OF_CONTENT = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"GIF8", ".gif"),
)
_MAX_SAMPLE_ID = 255


@dataclass(frozen=True)
class Refusal:
    """A file that was not imported.

    Attributes:
        sample_id: its id in the data set.
        path: the file.
        reason: a sentence that says what is wrong and what to do.
    """

    sample_id: str
    path: Path
    reason: str

    @property
    def name(self) -> str:
        """What people call the file."""
        return shown_name(self.sample_id, file_name_of(self.path, self.sample_id))


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        added: new images by role.
        unchanged: images that were there already.
        named: those of them that have the name of their file now; earlier versions did not keep it.
        restored: those of them whose stored picture or label was missing or damaged, and is there again.
        duplicates: (name, name of the image with the same bytes); not imported a second time.
        refused: files that were not imported, and why.
    """

    added: dict[ImageRole, int]
    unchanged: int
    named: int
    restored: int
    duplicates: tuple[tuple[str, str], ...]
    refused: tuple[Refusal, ...]

    @property
    def num_added(self) -> int:
        """New images of all roles."""
        return sum(self.added.values())

    @property
    def num_usable(self) -> int:
        """Images that the workspace holds now, whether they came with this import or before."""
        return self.num_added + self.unchanged + len(self.duplicates)


@dataclass(frozen=True)
class _Candidate:
    """One checked image that is not stored yet."""

    sample_id: str
    file_name: str
    role: ImageRole
    content: bytes
    sha256: str
    size_hw: tuple[int, int]
    label: LabelArray | None


def import_dataset(
    store: Store,
    dataset: SegmentationDataset,
    labeled_ids: set[str] | None,
    gold_ids: set[str],
    progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Import every image of a data set. Safe to interrupt and to repeat: what is there already stays as it is.

    Args:
        store: of the workspace; its class list is that of the first import.
        dataset: what to import.
        labeled_ids: images whose label trains the model; None for every image that has one and is not gold. The
            labels of all others are neither read nor stored.
        gold_ids: images whose label only measures the rounds.
        progress: called before each image.

    Raises:
        ValueError: an id that the data set does not have, or that is labeled and gold at once.
        ClassSetChangedError: the workspace has other classes.
        StoreError, OSError: the workspace cannot be written; everything reported so far is stored.
    """
    labeled_ids = _check_ids(dataset, labeled_ids, gold_ids)
    with store.session() as session:
        adopt_class_set(session, dataset.class_set, "the data set")
    importer = _Importer(store, dataset)
    for index, sample_id in enumerate(dataset.sample_ids):
        if progress is not None:
            progress(Progress(index, len(dataset), name_in(dataset, index)))
        importer.add(index, sample_id, _role(sample_id, labeled_ids, gold_ids))
    if progress is not None:
        progress(Progress(len(dataset), len(dataset), f"{sum(importer.added.values())} images imported"))
    return importer.report()


def name_in(dataset: SegmentationDataset, index: int) -> str:
    """What people call an image of a data set."""
    sample_id = dataset.sample_ids[index]
    return shown_name(sample_id, file_name_of(dataset.image_path(index), sample_id))


def unusable(dataset: SegmentationDataset) -> tuple[Refusal, ...]:
    """What is wrong with images that are not imported for another reason, and with their labels."""
    refused = []
    for index, sample_id in enumerate(dataset.sample_ids):
        try:
            label = dataset[index].label
            if label is not None:
                dataset.class_set.check_label(label, f"the label of {dataset.image_path(index)}")
        except (ValueError, OSError) as error:
            refused.append(Refusal(sample_id, dataset.image_path(index), str(error)))
    return tuple(refused)


def _check_ids(dataset: SegmentationDataset, labeled_ids: set[str] | None, gold_ids: set[str]) -> set[str]:
    present = set(dataset.sample_ids)
    if labeled_ids is None:
        labeled_ids = {name for index, name in enumerate(dataset.sample_ids) if dataset.is_labeled(index)} - gold_ids
    missing = sorted((labeled_ids | gold_ids) - present)
    if missing:
        raise ValueError(f"{len(missing)} ids are not in the data set: {', '.join(missing[:5])}. Check the split file.")
    both = sorted(labeled_ids & gold_ids)
    if both:
        raise ValueError(
            f"{len(both)} images are both labeled and gold: {', '.join(both[:5])}. Gold images measure the model, so "
            "it must never train on them; take them out of one of the lists."
        )
    return labeled_ids


def _role(sample_id: str, labeled_ids: set[str], gold_ids: set[str]) -> ImageRole:
    if sample_id in gold_ids:
        return ImageRole.GOLD
    return ImageRole.LABELED if sample_id in labeled_ids else ImageRole.POOL


class _Importer:
    """Imports one image after the other and keeps count."""

    def __init__(self, store: Store, dataset: SegmentationDataset) -> None:
        self._store = store
        self._dataset = dataset
        self._unchanged = self._named = self._restored = 0
        self._duplicates: list[tuple[str, str]] = []
        self._refused: list[Refusal] = []
        self.added = dict.fromkeys(ImageRole, 0)

    def report(self) -> ImportReport:
        """The outcome so far."""
        return ImportReport(
            added=dict(self.added),
            unchanged=self._unchanged,
            named=self._named,
            restored=self._restored,
            duplicates=tuple(self._duplicates),
            refused=tuple(self._refused),
        )

    def add(self, index: int, sample_id: str, role: ImageRole) -> None:
        """Import one image, or note why not."""
        try:
            candidate = self._read(index, sample_id, role)
        except (ValueError, OSError) as error:
            self._refuse(index, error)
            return
        present = self._find(candidate)
        if present is None or _comes_back(present, candidate):
            self._store_files_and_row(candidate, None if present is None else present.id)
            self.added[role] += 1
            return
        if _is_same(present, candidate):
            self._named += self._name(present, candidate)
            self._restored += self._restore_files(present, candidate)
        try:
            self._compare(present, candidate)
        except (ValueError, OSError) as error:
            self._refuse(index, error)

    def _refuse(self, index: int, error: Exception) -> None:
        """Errors of the data set are told at the end; those of the workspace end the import."""
        self._refused.append(Refusal(self._dataset.sample_ids[index], self._dataset.image_path(index), str(error)))

    def _name(self, present: Image, candidate: _Candidate) -> bool:
        """Whether a known picture gets the name of its file now; its id stays."""
        name = shown_name(candidate.sample_id, candidate.file_name)
        if (present.name, present.file_name) == (name, candidate.file_name):
            return False
        with self._store.session() as session:
            row = session.get_one(Image, present.id)
            row.name, row.file_name = name, candidate.file_name
        return True

    def _restore_files(self, present: Image, candidate: _Candidate) -> bool:
        """Whether a stored file was not what was imported, and is again: the data set has the very same bytes."""
        wanted: list[tuple[str, str | None, bytes]] = [(present.path, present.sha256, candidate.content)]
        if present.label_path is not None and candidate.label is not None:
            wanted.append((present.label_path, present.label_sha256, encode_plane_png(candidate.label)))
        absolute = self._store.workspace.absolute
        damaged = [
            (path, content)
            for path, sha256, content in wanted
            if hashlib.sha256(content).hexdigest() == sha256 and not has_content(absolute(path), sha256)
        ]
        for path, content in damaged:
            write_atomically(absolute(path), content)
        return bool(damaged)

    def _read(self, index: int, sample_id: str, role: ImageRole) -> _Candidate:
        if len(sample_id) > _MAX_SAMPLE_ID:
            raise ValueError(f"the id has {len(sample_id)} characters, at most {_MAX_SAMPLE_ID} fit; rename the file")
        path = self._dataset.image_path(index)
        content = read_bytes(path, DEFAULT_LIMITS)
        size_hw, label = self._decode(index, content, role)
        digest, file_name = hashlib.sha256(content).hexdigest(), file_name_of(path, sample_id)
        return _Candidate(sample_id, file_name, role, content, digest, size_hw, label)

    def _decode(self, index: int, content: bytes, role: ImageRole) -> tuple[tuple[int, int], LabelArray | None]:
        """Height and width, and the label where one is wanted. The data set decodes the picture with its label."""
        path = self._dataset.image_path(index)
        if role is ImageRole.POOL:
            height, width = decode_image(content, str(path)).shape[:2]
            return (height, width), None
        sample = self._dataset[index]
        if sample.label is None:
            raise ValueError(f"{path} is listed as {role}, but it has no label. Add its mask, or leave it unlabeled.")
        self._dataset.class_set.check_label(sample.label, f"the label of {path}")
        return sample.size_hw, sample.label

    def _find(self, candidate: _Candidate) -> Image | None:
        with self._store.reader() as session:
            same = or_(Image.sha256 == candidate.sha256, Image.sample_id == candidate.sample_id)
            found = session.scalars(select(Image).where(same)).all()
        by_content = [image for image in found if image.sha256 == candidate.sha256]
        return by_content[0] if by_content else found[0] if found else None

    def _compare(self, present: Image, candidate: _Candidate) -> None:
        """Count an image that the workspace has already; refuse what would change it in silence."""
        if present.deleted_at is not None:
            raise ValueError(
                f"'{present.name}' was deleted on {present.deleted_at:%Y-%m-%d}. Bring it back with: pixelsieve "
                f"images undelete '{present.name}'; or rename the new file if it is another picture."
            )
        if present.sha256 != candidate.sha256:
            raise ValueError(
                f"the workspace has another image called '{present.name}'. Rename the new file; "
                "the stored one was not changed."
            )
        if present.sample_id != candidate.sample_id:
            self._duplicates.append((shown_name(candidate.sample_id, candidate.file_name), present.name))
            return
        if present.role is not candidate.role:
            raise ValueError(
                f"the image was imported before as {present.role}, now it is listed as {candidate.role}. Importing "
                "again does not change roles; start a new workspace for another split."
            )
        if candidate.label is not None and not np.array_equal(self._imported_label(present), candidate.label):
            raise ValueError(
                "the image was imported before with another label. The stored label was not changed; "
                "start a new workspace to use the new one."
            )
        self._unchanged += 1

    def _imported_label(self, image: Image) -> LabelArray:
        """As it came, whatever was changed in it since; the file stays as long as its image does."""
        return read_plane(self._store.workspace.labels / f"{image.sha256}.png")

    def _store_files_and_row(self, candidate: _Candidate, image_id: int | None) -> None:
        """Files first, then the row that makes them count; `image_id` is the row of one that was purged."""
        workspace = self._store.workspace
        sha256, label = candidate.sha256, candidate.label
        image_path = workspace.images / sha256[:2] / f"{sha256}{_suffix_of(candidate.content)}"
        label_path = workspace.labels / f"{sha256}.png"
        write_atomically(image_path, candidate.content)
        label_content = None if label is None else encode_plane_png(label)
        if label_content is not None:
            write_atomically(label_path, label_content)
        num_classes = len(self._dataset.class_set)
        row = Image(
            id=image_id,
            sha256=sha256,
            sample_id=candidate.sample_id,
            name=shown_name(candidate.sample_id, candidate.file_name),
            file_name=candidate.file_name,
            path=workspace.relative(image_path),
            width=candidate.size_hw[1],
            height=candidate.size_hw[0],
            role=candidate.role,
            label_path=None if label is None else workspace.relative(label_path),
            label_sha256=None if label_content is None else hashlib.sha256(label_content).hexdigest(),
            class_pixels=None if label is None else class_pixels(label, num_classes),
            state=ImageState.WAITING if label is None else ImageState.DONE,
            deleted_at=None,
            purged_at=None,
        )
        with self._store.session() as session:
            session.merge(row)


def _is_same(present: Image, candidate: _Candidate) -> bool:
    """The picture under its own id, and people see it."""
    return present.deleted_at is None and (present.sha256, present.sample_id) == (candidate.sha256, candidate.sample_id)


def _comes_back(present: Image, candidate: _Candidate) -> bool:
    """The files of this very image were removed for good, and here they are again."""
    same = (present.sha256, present.sample_id, present.role) == (candidate.sha256, candidate.sample_id, candidate.role)
    return present.purged_at is not None and same


def class_pixels(label: LabelArray, num_classes: int) -> list[int]:
    """Number of pixels of every class."""
    counts: list[int] = np.bincount(label.reshape(-1), minlength=256)[:num_classes].tolist()
    return counts


def _suffix_of(content: bytes) -> str:
    """The ending that fits what a file really is, whatever its name said."""
    for start, suffix in _SUFFIX_OF_CONTENT:
        if content.startswith(start):
            return suffix
    return ".webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else ".bin"
