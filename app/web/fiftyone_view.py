"""The data set of a workspace in FiftyOne: what is written there, what is read back, and its own application.

The one module that imports FiftyOne, and only when something is asked of it: that takes seconds and needs a database.
What a sample says is decided in app/services/exploring.py; here it is written field by field, only where it differs.
Fields that are not in FIELDS, tags that are not ours, samples without our key and views of other names are the
person's and never touched.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.domain.explorer import SampleChanges, Values, shown_ids
from app.services.exploring import ExplorerSample
from app.services.processes import Monitor
from app.web.explorer_ready import require_explorer
from datasets.labels import IGNORE_INDEX, ClassSet
from datasets.progress import Progress

KEY = "pixelsieve_key"
OWNER = "pixelsieve_workspace"
MASKS = {"proposal": "mask_path", "reviewed": "mask_path", "unreliability": "map_path"}
"""Fields that hold a picture, and where it says which."""

FIELDS = {
    "name": "name of the image in Pixelsieve",
    "proposal": "what the current model proposes, for gold images what it predicted when it was measured",
    "reviewed": "the label as it is now, where people decided anything or the image came with a label",
    "unreliability": "1 - confidence of the proposal, 0-255",
    "mean_unreliability": "mean of 1 - confidence over the image, 0-1",
    "reviewed_share": "share of pixels that people decided, 0-1",
    "open_regions": "regions that wait for a decision, skipped ones included",
    "expected_errors": "wrong pixels expected in these regions",
    "queue_score": "score of the first of these regions in the queue",
    "gold_miou": "mean IoU of the current model on this gold image, 0-1",
    "gold_miou_change": "how far that rose since the model before",
    "assignee": "whose image it is",
    "reviewer_url": "the image in Pixelsieve",
}
"""Our fields and what each says; `tags` are shared with the person."""

_BUILT_IN = ("tags", "filepath")
_SIDEBAR = {
    "labels": ("proposal", "reviewed", "unreliability"),
    "review": ("reviewer_url", "name", "mean_unreliability", "open_regions", "expected_errors", "queue_score",
               "reviewed_share", "assignee"),
    "gold": ("gold_miou", "gold_miou_change"),
}  # fmt: skip
"""How the fields are grouped beside the pictures."""

UNCERTAIN, TO_REVIEW, REVIEWED = "Most uncertain first", "To review", "Reviewed"
WORSE = "Got worse since the last round"
VIEWS = UNCERTAIN, TO_REVIEW, REVIEWED, WORSE
"""Saved views of every data set of ours."""

_BATCH = 200


def _fiftyone() -> Any:  # noqa: ANN401 - FiftyOne's module
    require_explorer()
    import fiftyone  # noqa: PLC0415 - seconds

    return fiftyone


def _kind(fo: Any, field: str) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401 - FiftyOne's module and its types
    """The type of one of our fields, and what its declaration takes besides."""
    if field in MASKS:
        document = fo.Heatmap if field == "unreliability" else fo.Segmentation
        return fo.EmbeddedDocumentField, {"embedded_doc_type": document}
    if field in ("name", "assignee", "reviewer_url"):
        return fo.StringField, {}
    return (fo.IntField if field == "open_regions" else fo.FloatField), {}


def _targets(class_set: ClassSet) -> dict[int, str]:
    """Names of the values in masks. Without one for 0 FiftyOne's own evaluation would leave that value out."""
    return {_shown(IGNORE_INDEX): "void", **{_shown(index): name for index, name in enumerate(class_set.names)}}


def _colors(class_set: ClassSet) -> list[dict[str, Any]]:
    """The colors of the classes, as FiftyOne's application takes them."""
    colors = {_shown(index): color for index, color in enumerate(class_set.colors)}
    targets = [{"intTarget": value, "color": "#{:02x}{:02x}{:02x}".format(*color)} for value, color in colors.items()]
    return [{"path": field, "maskTargetsColors": targets} for field in ("proposal", "reviewed")]


def _shown(class_id: int) -> int:
    import numpy as np  # noqa: PLC0415

    return int(shown_ids(np.array([class_id], np.uint8))[0])


class ExplorerDataset:
    """One data set in FiftyOne's database that belongs to one workspace."""

    def __init__(self, name: str, workspace_id: str) -> None:
        """Open it if it exists.

        Raises:
            ExplorerUnavailableError: no FiftyOne, or no database.
            ValueError: a data set of this name belongs to another workspace, or to nobody.
        """
        self._fo = _fiftyone()
        self.name = name
        self._workspace_id = workspace_id
        self._dataset: Any = self._fo.load_dataset(name) if self._fo.dataset_exists(name) else None
        if self._dataset is not None:
            self._require_own()

    @property
    def exists(self) -> bool:
        """Whether there is anything to compare with."""
        return self._dataset is not None

    def present(self) -> dict[str, Values]:
        """Our fields of every sample of ours, by key; of samples that a person copied only the first counts."""
        if self._dataset is None:
            return {}
        names = (*_BUILT_IN, *FIELDS)
        paths = [f"{field}.{MASKS[field]}" if field in MASKS else field for field in names]
        keys, *columns = self._dataset.exists(KEY).values([KEY, *paths])
        found: dict[str, Values] = {}
        for key, *values in zip(keys, *columns, strict=True):
            found.setdefault(key, dict(zip(names, values, strict=True)))
        return found

    def tags(self) -> dict[str, list[str]]:
        """All tags of every sample of ours, by key: its own, and those of its masks, which the page offers first."""
        if self._dataset is None:
            return {}
        keys, *columns = self._dataset.exists(KEY).values([KEY, "tags", *(f"{field}.tags" for field in MASKS)])
        found: dict[str, list[str]] = {}
        for key, *each in zip(keys, *columns, strict=True):
            found.setdefault(key, [tag for tags in each for tag in tags or ()])
        return found

    def sample_ids(self) -> dict[str, str]:
        """FiftyOne's id of every sample of ours, by key."""
        if self._dataset is None:
            return {}
        keys, ids = self._dataset.exists(KEY).values([KEY, "id"])
        return dict(zip(reversed(keys), reversed(ids), strict=True))

    def apply(
        self, changes: SampleChanges, samples: Mapping[str, ExplorerSample], class_set: ClassSet, monitor: Monitor
    ) -> None:
        """Make the data set say what the store says.

        Args:
            changes: what differs.
            samples: by key, at least those that are added.
            class_set: names and colors of the ids in masks.

        Raises:
            WorkCancelledError: stopped on request; what was written stays, and the next sync writes the rest.
        """
        if self._dataset is None:
            self._dataset = self._make(class_set)
        if changes.removed:
            doomed = self._dataset.exists(KEY).match(self._fo.ViewField(KEY).is_in(list(changes.removed)))
            self._dataset.delete_samples(doomed)
        for start in range(0, len(changes.added), _BATCH):
            monitor.stoppable_progress(Progress(start, len(changes.added), "adding samples"))
            self._add([samples[key] for key in changes.added[start : start + _BATCH]])
        present = self.present() if changes.changed.keys() & MASKS.keys() else {}
        for index, (field, values) in enumerate(changes.changed.items()):
            monitor.stoppable_progress(Progress(index, len(changes.changed), f"changing {field}"))
            self._set(field, values, present)
        self._save_views()

    def missing_views(self) -> list[str]:
        """Names of our views that are not there."""
        saved = set() if self._dataset is None else set(self._dataset.list_saved_views())
        return [name for name in VIEWS if name not in saved]

    def _add(self, samples: Sequence[ExplorerSample]) -> None:
        self._dataset.add_samples([self._sample(each) for each in samples], progress=False)

    def _set(self, field: str, values: Mapping[str, Any], present: Mapping[str, Values]) -> None:
        """Write one field of some samples. A mask that stays gets another file and keeps what a person wrote on it."""
        if field not in MASKS:
            self._dataset.set_values(field, dict(values), key_field=KEY)
            return
        stays = {key: path for key, path in values.items() if path and present[key][field]}
        if stays:
            self._dataset.set_values(f"{field}.{MASKS[field]}", stays, key_field=KEY)
        others = {key: self._label(field, path) for key, path in values.items() if key not in stays}
        if others:
            self._dataset.set_values(field, others, key_field=KEY)

    def _sample(self, sample: ExplorerSample) -> Any:  # noqa: ANN401 - a FiftyOne sample
        values = {
            field: self._label(field, value) if field in MASKS else value for field, value in sample.fields.items()
        }
        width, height = sample.size_wh
        size = Path(sample.fields["filepath"]).stat().st_size
        metadata = self._fo.ImageMetadata(width=width, height=height, num_channels=3, size_bytes=size)
        return self._fo.Sample(metadata=metadata, **{KEY: sample.key}, **values)

    def _label(self, field: str, path: str | None) -> Any:  # noqa: ANN401 - a FiftyOne label
        if path is None:
            return None
        if field == "unreliability":
            return self._fo.Heatmap(map_path=path, range=[0, 255])
        return self._fo.Segmentation(mask_path=path)

    def _make(self, class_set: ClassSet) -> Any:  # noqa: ANN401 - a FiftyOne data set
        """A new data set with our fields, class names and colors."""
        fo = self._fo
        dataset = fo.Dataset(self.name, persistent=True)  # Others vanish when the process ends.
        dataset.info = {OWNER: self._workspace_id}
        dataset.add_sample_field(KEY, fo.StringField, description="hash of the image; do not change")
        for field, description in FIELDS.items():
            kind, options = _kind(fo, field)
            dataset.add_sample_field(field, kind, description=description, **options)
        dataset.create_index(KEY)
        dataset.mask_targets = dict.fromkeys(("proposal", "reviewed"), _targets(class_set))
        config = dataset.app_config
        config.active_fields = fo.core.odm.dataset.ActiveFields(paths=["proposal", "mean_unreliability"])
        config.color_scheme = fo.ColorScheme(color_by="value", opacity=0.5, fields=_colors(class_set))
        config.sidebar_groups = _sidebar(fo, dataset)
        dataset.save()
        return dataset

    def _save_views(self) -> None:
        """Save our views where there is none of that name: what a person made of one stays."""
        field = self._fo.ViewField
        uncertain, best = "mean_unreliability", "queue_score"
        stages = {
            UNCERTAIN: lambda: self._dataset.exists(uncertain).sort_by(uncertain, reverse=True),
            TO_REVIEW: lambda: self._dataset.match(field("open_regions") > 0).sort_by(best, reverse=True),
            REVIEWED: lambda: self._dataset.match(field("reviewed_share") > 0).sort_by("reviewed_share", reverse=True),
            WORSE: lambda: self._dataset.match(field("gold_miou_change") < 0).sort_by("gold_miou_change"),
        }
        for name in self.missing_views():
            self._dataset.save_view(name, stages[name](), description="Made by Pixelsieve")

    def _require_own(self) -> None:
        owner = (self._dataset.info or {}).get(OWNER)
        if owner != self._workspace_id:
            whose = "belongs to another workspace" if owner else "was not made by Pixelsieve"
            raise ValueError(
                f"the FiftyOne data set {self.name!r} {whose}; nothing was changed. Choose another name: --dataset NAME"
            )


def _sidebar(fo: Any, dataset: Any) -> list[Any]:  # noqa: ANN401 - FiftyOne's module and its types
    """Tags and our groups first, then FiftyOne's own without what ours hold."""
    taken = {path for paths in _SIDEBAR.values() for path in paths}
    own = {name: fo.SidebarGroupDocument(name=name, paths=list(paths)) for name, paths in _SIDEBAR.items()}
    groups = [*own.values()]
    for group in fo.DatasetAppConfig.default_sidebar_groups(dataset):
        if group.name == "tags":
            groups.insert(0, group)
        elif group.name not in own:
            rest = [path for path in group.paths if path not in taken]
            groups.append(fo.SidebarGroupDocument(name=group.name, paths=rest, expanded=False))
    return groups


def fiftyone_application() -> Any:  # noqa: ANN401 - FiftyOne's ASGI application
    """FiftyOne's own page and everything that it asks for.

    Raises:
        ExplorerUnavailableError: no FiftyOne, or no database.
    """
    require_explorer(serves=True)
    from fiftyone.server.app import app  # noqa: PLC0415 - as above

    return app
