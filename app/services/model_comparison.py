"""Any two rounds side by side, on the same frozen gold images."""

from dataclasses import replace

from sqlalchemy import select

from app.domain.gold_scores import GoldScore
from app.domain.promotion import RoundComparison, compare_rounds
from app.services.gold_files import read_gold_counts
from app.services.predicting import find_model
from app.services.rounds import current_of, list_models
from app.storage.database import Store
from app.storage.models import Image, Model
from app.storage.settings import read_promotion_limits, require_class_set


def compare(store: Store, old_id: int, new_id: int) -> RoundComparison:
    """What changes when one model takes another's place.

    Raises:
        LookupError: no such model.
        ValueError: both are the same.
    """
    if old_id == new_id:
        raise ValueError(f"model {old_id} cannot be compared with itself; choose two models")
    old, new = find_model(store, old_id), find_model(store, new_id)
    with store.reader() as session:
        names = require_class_set(session).names
        limits = read_promotion_limits(session)
        shown = {row.sample_id: row.name for row in session.execute(select(Image.sample_id, Image.name))}
    found = compare_rounds(_score(store, old, len(names)), _score(store, new, len(names)), names, limits)
    return replace(found, images=tuple(replace(each, name=shown.get(each.name, each.name)) for each in found.images))


def compare_with_current(store: Store, model_id: int) -> RoundComparison:
    """A model against the current one.

    Raises:
        LookupError: no such model.
        ValueError: it is the current one, or none is current.
    """
    model = find_model(store, model_id)
    current = current_of(list_models(store))
    if current is None or current.id == model_id:
        raise ValueError(f"model {model_id} of round {model.round} has no other current model to be compared with")
    return compare(store, current.id, model_id)


def _score(store: Store, model: Model, num_classes: int) -> GoldScore | None:
    """What a model's row says, with the pixels behind it where they were kept."""
    if model.gold is None:
        return None
    folder = model.gold.get("folder")
    pixels = None if folder is None else read_gold_counts(store.workspace.absolute(folder), num_classes)
    return GoldScore.from_json(model.gold, pixels)
