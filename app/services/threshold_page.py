"""What the threshold page shows: the calibration of the model in use, its curve, what is chosen, what that costs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.cutting import Standing
from app.domain.decisions import Operation, effective_ids
from app.domain.promises import Cut, how_to_reach, promise_of
from app.domain.states import DecisionKind, ModelStatus, RegionKind
from app.domain.threshold_stops import Stop, seconds_per_region, stops_of
from app.services.cutting import preview_recut
from app.services.label_warnings import missing_classes
from app.services.thresholds import choice_of, cuts_in_force, note_of, standings
from app.storage.database import Store
from app.storage.models import Decision, Model, Region
from app.storage.settings import read_calibration_settings, require_class_set
from datasets.labels import ClassSet

_LATEST = 1000
"""Actions from which the pace of work is taken."""


@dataclass(frozen=True)
class _StoredCalibration:
    """calibration.json of a model, or why there is none to be shown."""

    content: Mapping[str, Any] | None
    missing: str | None


def threshold_view(store: Store, held: frozenset[int]) -> dict[str, Any]:
    """Everything on the page but the preview of a threshold; `model` is None before the first round.

    Args:
        held: images that somebody works on.
    """
    with store.reader() as session:
        model = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
        asked = read_calibration_settings(session).model_dump()
        if model is None:
            return {"model": None, "asked": asked}
        note, stored = note_of(model), _stored(store, model)
        choice = choice_of(session, model.id)
        threshold = None if choice is None else choice.threshold
        content = stored.content
        stops = stops_of(note, None if content is None else content["curve"], threshold)
        counted = standings(session, model.id, held)
        return {
            "model": {"id": model.id, "round": model.round, "method": model.method},
            "asked": asked,
            "calibration": note,
            "not_calibrated": (model.gold or {}).get("not_calibrated"),
            "curve_missing": None if note is None else stored.missing,
            "own": _own(model, note),
            "fit_images": _fit_images(content),
            "promise": asdict(promise_of([Cut(note, threshold)])),
            "help": _help(note, content),
            "stops": [asdict(stop) for stop in stops],
            "classes": [] if content is None else _classes(require_class_set(session), content, stops),
            "choice": None if choice is None else choice.to_json(),
            "standing": {standing.value: counted[standing] for standing in Standing},
            "missing_classes": list(missing_classes(session)),
            "cuts": [cut.to_json() for cut in cuts_in_force(session)],
            "pace": _pace(session),
        }


def threshold_preview(store: Store, threshold: float | None, held: frozenset[int]) -> dict[str, Any]:
    """How large the queue would be at a threshold, and the work that this means.

    Args:
        threshold: None is what the model file calls reliable.
        held: as in `threshold_view`.

    Raises:
        LookupError: no model is current.
        ValueError: a threshold outside 0-1, or a damaged plane.
    """
    with store.reader() as session:
        model = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
        if model is None:
            raise LookupError(f"no model is the current one in {store.workspace.root}; train a round first")
        pace = _pace(session)
    found = preview_recut(store, model.id, threshold, held)
    return {
        "model_id": model.id,
        "threshold": threshold,
        "regions": found.size.regions,
        "images": found.size.images,
        "region_pixels": found.size.region_pixels,
        "by_class": list(found.size.by_class),
        "staying_regions": found.staying.regions,
        "to_cut": found.to_cut,
        "looked_at": found.looked_at,
        "standing": {standing.value: found.standing[standing] for standing in Standing},
        "minutes": found.size.regions * pace["seconds"] / 60,
    }


def _stored(store: Store, model: Model) -> _StoredCalibration:
    if model.run_dir is None:
        return _StoredCalibration(None, "the model has no run folder, so there is no curve")
    path = store.workspace.absolute(model.run_dir) / "calibration.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        is_its_own = note_of(model) is not None and dict(content["note"]) == dict(note_of(model) or {})
        _ = content["curve"]["threshold"], content["classes"], content["thresholds"]
    except FileNotFoundError:
        return _StoredCalibration(None, f"{path.name} is not in the run folder any more, so there is no curve")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _StoredCalibration(None, f"{path} is damaged ({error!r}), so there is no curve")
    if not is_its_own:
        return _StoredCalibration(None, f"{path.name} was made anew since the export, so there is no curve")
    return _StoredCalibration(content, None)


def _help(note: Mapping[str, Any] | None, content: Mapping[str, Any] | None) -> list[str]:
    if note is None:
        return []
    return list(how_to_reach(note, None if content is None else content["thresholds"], _fit_images(content)))


def _fit_images(content: Mapping[str, Any] | None) -> int:
    """Gold images that fitted the curves and so do not count for the promise; 0 where all did both, or nobody knows."""
    data = {} if content is None else content.get("data", {})
    return int(data.get("fit_images", 0)) if data.get("is_set_apart") else 0


def _own(model: Model, note: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the model file itself calls reliable, as measured on gold."""
    gold = model.gold or {}
    precision = gold.get("reliable_precision")
    return {
        "images": gold.get("num_images"),
        "coverage": gold.get("reliable_coverage"),
        "error_rate": None if precision is None else 1 - precision,
        "promise": asdict(promise_of([Cut(note)])),
    }


def _classes(class_set: ClassSet, content: Mapping[str, Any], stops: Sequence[Stop]) -> list[dict[str, Any]]:
    """Each class at each stop."""
    found = []
    for class_id, name in enumerate(class_set.names):
        curve = content["classes"].get(name)
        if curve is not None:
            found.append(
                {
                    "class_id": class_id, "name": name, "color": list(class_set.colors[class_id]),
                    "pixels": curve["pixels"], "error_rate": curve["error_rate"],
                    "coverage": _at(curve["coverage"], stops),
                    "reliable_error_rate": _at(curve["reliable_error_rate"], stops),
                }
            )  # fmt: skip
    return found


def _at(measured: Sequence[float | None], stops: Sequence[Stop]) -> list[float | None]:
    """What was measured at each stop; None where nothing was as strict."""
    return [None if stop.index is None else measured[stop.index] for stop in stops]


def _pace(session: Session) -> dict[str, Any]:
    """Seconds of work per region, from the latest actions without those that were undone."""
    statement = (
        select(
            Decision.op_id, Decision.kind, Decision.undoes, Decision.region_id, Decision.closes_region, Decision.stats
        )
        .outerjoin(Region, Region.id == Decision.region_id)
        .where((Region.kind != RegionKind.CONTROL) | (Decision.kind == DecisionKind.UNDO))
        .order_by(Decision.id.desc())
        .limit(_LATEST)
    )
    latest = session.execute(statement).all()
    counting = effective_ids([Operation(row.op_id, row.kind, row.undoes) for row in reversed(latest)])
    rows = [row for row in latest if row.op_id in counting]
    finished = {row.region_id for row in rows if row.closes_region}
    worked = sum(row.stats.get("active_ms", 0) for row in rows) / 1000
    seconds, is_assumed = seconds_per_region(worked, len(finished))
    return {"seconds": seconds, "regions": len(finished), "is_assumed": is_assumed}
