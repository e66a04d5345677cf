"""Looking for wrong labels among those that people made or that were imported."""

import numpy as np
from sqlalchemy import select

from app.domain.states import ImageRole
from app.domain.suspects import MIN_AREA, LabelPart, Suspect, label_parts, rank_parts
from app.services.labels import label_state
from app.services.predicting import find_model, require_unchanged
from app.services.processes import Monitor
from app.storage.database import Store
from app.storage.models import Image
from app.storage.settings import check_same_classes, require_class_set
from datasets.images import read_image
from datasets.labels import IGNORE_INDEX, Provenance
from datasets.progress import Progress
from export.session import load_predictor


def find_suspects(store: Store, model_id: int | None, monitor: Monitor, min_area: int = MIN_AREA) -> list[Suspect]:
    """Rank every part of people's labels by how much a model doubts it. Gold images are left out: they stay unseen.

    Args:
        model_id: None is the current model.

    Raises:
        LookupError: no such model, or none is current.
        ValueError: the model file was changed or has other classes than the workspace, or a picture is damaged.
        WorkCancelledError: stopped on request.
    """
    model = find_model(store, model_id)
    path = store.workspace.absolute(model.onnx_path)
    require_unchanged(path, model.onnx_sha256)
    predictor = load_predictor(path)
    parts: list[LabelPart] = []
    with store.reader() as session:
        check_same_classes(require_class_set(session), predictor.class_set, str(path))
        may_be_seen = (Image.role != ImageRole.GOLD) & Image.deleted_at.is_(None)
        images = session.scalars(select(Image).where(may_be_seen).order_by(Image.id)).all()
    for index, image in enumerate(images):
        monitor.stoppable_progress(Progress(index, len(images), image.sample_id))
        with store.reader() as session:  # Not one for all: predicting takes minutes, in which others go on writing.
            state = label_state(store, session, image)
        if state is None or not (state.provenance == Provenance.HUMAN).any():
            continue
        label = np.where(state.provenance == Provenance.HUMAN, state.label, np.uint8(IGNORE_INDEX))
        prediction = predictor.predict(read_image(store.workspace.absolute(image.path)))
        parts += label_parts(image.id, label, prediction.label, prediction.probability_right, min_area)
    return rank_parts(parts)
