"""Proposals for the pool: one model, every image, one after the other. What is done stays done."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.decisions import PENDING_STATES
from app.domain.states import ImageRole, ImageState, ModelStatus, RegionKind, RegionState
from app.services.controls import choose_controls
from app.services.decoys import are_decoys_wanted, decoys_and_others
from app.services.failed_predictions import ever_failed, failing, forget_failure, note_failure
from app.services.probe_mixing import MIXED_AT_ONCE, activate_probes
from app.services.processes import WorkCancelledError
from app.services.proposals import DecoyLabelError, store_proposal
from app.services.restoring import restore_proposals
from app.storage.database import Store
from app.storage.errors import StoreError
from app.storage.models import Image, Model, Proposal, Region
from app.storage.settings import check_same_classes, require_class_set
from datasets.files import sha256_of
from datasets.images import read_image
from datasets.progress import Progress
from export.session import Predictor, load_predictor

logger = logging.getLogger(__name__)

_IN_POOL = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)


@dataclass(frozen=True)
class PredictReport:
    """What became of the pool's images.

    Attributes:
        model_id: whose proposals these are.
        predicted: images that got a proposal now.
        restored: images whose earlier proposal of this model is in force again.
        skipped: images that had one of this model already.
        failed: (name, why) of images that could not be read or stored; a decoy's label is a matter of the log.
        device: what the model ran on; empty when there was nothing to do.
    """

    model_id: int
    predicted: int
    restored: int
    skipped: int
    failed: tuple[tuple[str, str], ...]
    device: str


def predict_pool(
    store: Store,
    workspace: Workspace,
    model_id: int | None,
    progress: Callable[[Progress], None],
    should_cancel: Callable[[], bool],
) -> PredictReport:
    """Give every pool image a proposal of this model: an earlier one where it still holds, else a new one.

    Some labeled images are predicted among them, because errors are planted there: as many as these take, and more only
    together with new images. Control images are chosen before; they and as many audits as are needed come into the
    queue every `MIXED_AT_ONCE` images.

    Args:
        model_id: None is the current model; when another one becomes current meanwhile, this ends early.

    Raises:
        LookupError: no such model, or none is current.
        ValueError: the model file is not ours, was changed, or has other classes than the workspace.
        WorkCancelledError: stopped on request; proposals stored so far stay.
        RuntimeError: another model became current; proposals stored so far stay until that one's replace them.
    """
    model = find_model(store, model_id)
    restored = restore_proposals(store, model.id)
    choose_controls(store)
    todo = _images_to_predict(store, model.id)
    skipped = todo.num_done - restored
    if not todo.images:
        activate_probes(store)
        return PredictReport(model.id, 0, restored, skipped, (), "")
    predictor = open_model(store, workspace, model)
    failed: list[tuple[str, str]] = []
    predicted = 0
    total = len(todo.images)
    for index, image in enumerate(todo.images):
        if should_cancel():
            activate_probes(store)  # Another model or threshold may come before this goes on.
            raise WorkCancelledError(f"stopped after {index} of {total} images; they are kept")
        if model_id is None:
            require_current(store, model, index, total)
        if image.id in todo.optional_ids and not are_decoys_wanted(store):
            continue
        progress(Progress(index, total, image.name))
        try:
            prediction = predictor.predict(read_image(workspace.absolute(image.path)))
            store_proposal(store, image.id, model.id, prediction)
            if image.id in todo.failed_ids:
                forget_failure(store, image.id)
            predicted += image.role is ImageRole.POOL
            if (index + 1) % MIXED_AT_ONCE == 0:
                activate_probes(store)
        except StoreError:
            raise  # A full disk or a locked store concerns every image.
        except DecoyLabelError as error:
            logger.warning("%s", error)
        except (ValueError, RuntimeError, FileNotFoundError) as error:
            note_failure(store, image, model.id, str(error))
            failed.append((image.name, str(error)))
    activate_probes(store)
    progress(Progress(total, total, "proposals stored"))
    return PredictReport(model.id, predicted, restored, skipped, tuple(failed), predictor.device)


def unpredicted_images(store: Store) -> int:
    """Images of the pool without a proposal of the current model in force; all of them when no model is current.

    Left out are those that the model failed on and whose file is the same since: predicting again would not help.
    """
    with store.reader() as session:
        pool = session.scalar(select(func.count()).select_from(Image).where(_IN_POOL)) or 0
        return pool - _predicted(session) - len(failing(session, store.workspace, _IN_POOL))


def predicted_images(store: Store) -> int:
    """Images of the pool with a proposal of the current model in force."""
    with store.reader() as session:
        return _predicted(session)


def _predicted(session: Session) -> int:
    current = select(Model.id).where(Model.status == ModelStatus.CURRENT)
    proposed = select(Proposal.image_id).where(Proposal.active, Proposal.model_id.in_(current))
    return session.scalar(select(func.count()).select_from(Image).where(_IN_POOL, Image.id.in_(proposed))) or 0


def has_doubts(store: Store) -> bool:
    """Whether a model was ever unsure about a region of the pool that people are asked about or decided."""
    is_asked = (Region.state == RegionState.DECIDED) | (
        Region.state.in_(PENDING_STATES) & (Image.state == ImageState.OPEN)
    )
    doubts = (Region.kind == RegionKind.QUEUE) & (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None) & is_asked
    statement = select(Region.id).join(Image, Image.id == Region.image_id).where(doubts).limit(1)
    with store.reader() as session:
        return session.scalar(statement) is not None


def find_model(store: Store, model_id: int | None) -> Model:
    """A model's row; None is the current one.

    Raises:
        LookupError: there is no such model.
    """
    with store.reader() as session:
        if model_id is not None:
            model = session.get(Model, model_id)
        else:
            model = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
    if model is not None:
        return model
    root = store.workspace.root
    if model_id is None:
        raise LookupError(
            f"no model in {root} yet; make one with: pixelsieve train -w {root}, then pixelsieve export -w {root}"
        )
    raise LookupError(f"there is no model {model_id} in {root}; see: pixelsieve models -w {root}")


def open_model(store: Store, workspace: Workspace, model: Model) -> Predictor:
    """Load a registered model after checking that the file is the one that was registered.

    Raises:
        ValueError: file missing, changed, not ours, or with other classes.
    """
    path = workspace.absolute(model.onnx_path)
    require_unchanged(path, model.onnx_sha256)
    predictor = load_predictor(path)
    with store.reader() as session:
        check_same_classes(require_class_set(session), predictor.class_set, str(path))
    return predictor


def require_unchanged(path: Path, sha256: str) -> None:
    """Refuse a model file that is not the one that was registered.

    Raises:
        ValueError: missing or changed.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing, though the store lists it as a model. Restore it, or train a new round.")
    if sha256_of(path) != sha256:
        raise ValueError(
            f"{path} was changed after it was registered (its SHA-256 differs). Restore the original file, or train a "
            "new round."
        )


def require_current(store: Store, model: Model, done: int, total: int) -> None:
    """A model that was replaced meanwhile must not replace its successor's proposals."""
    with store.reader() as session:
        is_current = session.scalar(select(Model.status).where(Model.id == model.id)) is ModelStatus.CURRENT
    if not is_current:
        raise RuntimeError(
            f"another model became current after {done} of {total} images, so round {model.round} proposes no more; "
            "predict again"
        )


@dataclass(frozen=True)
class _Todo:
    """What is to be predicted.

    Attributes:
        images: in this order.
        optional_ids: those of them that become decoys only if more are needed.
        failed_ids: images that the last attempt failed on.
        num_done: images of the pool that have a proposal of the model.
    """

    images: list[Image]
    optional_ids: frozenset[int]
    failed_ids: frozenset[int]
    num_done: int


def _images_to_predict(store: Store, model_id: int) -> _Todo:
    """Images without an active proposal of this model."""
    decoys, others = decoys_and_others(store)
    with store.reader() as session:
        pool = session.scalars(select(Image).where(_IN_POOL)).all()
        done = set(session.scalars(select(Proposal.image_id).where(Proposal.model_id == model_id, Proposal.active)))
        failed = ever_failed(session)
    order = prediction_order(pool, [*decoys, *others])
    return _Todo(
        images=[image for image in order if image.id not in done],
        optional_ids=frozenset(image.id for image in others),
        failed_ids=failed,
        num_done=sum(image.id in done for image in pool),
    )


def prediction_order(pool: Sequence[Image], labeled: Sequence[Image]) -> list[Image]:
    """The pool by name, with labeled images strewn in by chance: ids of regions then tell nobody which is which."""
    by_name = sorted(pool, key=lambda image: image.sample_id)
    places: list[tuple[float, Image]] = [(float(index), image) for index, image in enumerate(by_name)]
    # Never behind the last of the pool: with that, labeled images that may still become decoys leave the lists.
    last = max(0, len(by_name) - 1)
    places += [(last * int(image.sha256[:8], 16) / 16**8 - 0.5, image) for image in labeled]
    return [image for _, image in sorted(places, key=lambda place: (place[0], place[1].sample_id))]
