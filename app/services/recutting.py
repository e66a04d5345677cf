"""Cutting the queue anew at the threshold in force: images that nobody has acted on get regions of that threshold.

A proposal keeps no class probabilities, which regions and audits are described by, so such images are predicted once
more, unless a proposal that was cut at this threshold is still kept.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.cutting import Standing, threshold_words
from app.domain.states import ImageRole
from app.services.labels import active_proposal
from app.services.leases import LIFE_S, LeaseService
from app.services.predicting import find_model, open_model, prediction_order, require_current
from app.services.probe_mixing import MIXED_AT_ONCE, activate_probes
from app.services.processes import Monitor, WorkCancelledError
from app.services.proposals import DecoyLabelError, store_proposal
from app.services.restoring import restore_cut
from app.services.snapshots import take_snapshot
from app.services.thresholds import cut_images
from app.storage.cuts import threshold_in_force
from app.storage.database import Store
from app.storage.errors import StoreError
from app.storage.history import last_decision_id
from app.storage.models import Image, Model
from datasets.images import read_image
from datasets.progress import Progress
from export.session import Predictor

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class RecutReport:
    """What became of the images of the pool with a proposal of the current model.

    Labeled images with planted errors are cut with them and not counted.

    Attributes:
        model_id: the model.
        threshold: in force; None is what the model file calls reliable.
        cut: images that were predicted once more and cut.
        restored: images whose kept proposal of this threshold is in force again.
        as_chosen: images that were cut at it already.
        decided: images that stay as they are because somebody acted on them.
        controls: images that stay because people label them from scratch.
        held: names of images that stay because somebody works on them; the job can be run again for them.
        failed: (sample id, why) of images that could not be read or stored.
    """

    model_id: int
    threshold: float | None
    cut: int
    restored: int
    as_chosen: int
    decided: int
    controls: int
    held: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """For the job's row and the command line."""
        failed = [list(item) for item in self.failed]
        return {**asdict(self), "held": list(self.held), "failed": failed, "said": list(self.sentences)}

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people."""
        cut_now = self.cut + self.restored
        said = [f"Images cut anew ({threshold_words(self.threshold)}): {cut_now}; cut so before: {self.as_chosen}."]
        if self.decided:
            said.append(f"Left as they are, because somebody has acted on them: {self.decided}.")
        if self.controls:
            said.append(f"Labeled from scratch and left as they are: {self.controls}.")
        if self.held:
            said.append(f"Being worked on: {len(self.held)}; cut again when these people are done.")
        if self.failed:
            said.append(f"Could not be cut: {len(self.failed)}; the first is {self.failed[0][0]}: {self.failed[0][1]}")
        return tuple(said)


def recut_pool(
    store: Store,
    workspace: Workspace,
    monitor: Monitor,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> RecutReport:
    """Cut every image that nobody has acted on at the threshold in force for the current model.

    A snapshot is taken first. An image that somebody works on comes last; it is left only if that person still gives
    signs of life then. Stopped or failed, it goes on where it was when it is run again.

    Raises:
        LookupError: no model is current.
        ValueError: its file is missing, changed or has other classes than the workspace.
        WorkCancelledError: stopped on request; what was cut so far stays.
        RuntimeError: another model became current or another threshold was chosen; what was cut so far stays.
        StoreError: the store refused; what was cut so far stays.
    """
    return _Recut(store, workspace, monitor, sleep, monotonic).run()


class _Recut:
    """One run."""

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        monitor: Monitor,
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._store, self._workspace, self._monitor = store, workspace, monitor
        self._leases, self._sleep, self._monotonic = LeaseService(store, monotonic), sleep, monotonic
        self._model: Model = find_model(store, None)
        self._predictor: Predictor | None = None
        self._cut = self._restored = self._seen = self._total = 0
        self._failed: list[tuple[str, str]] = []

    def run(self) -> RecutReport:
        held = self._leases.held_by_others("")
        with self._store.reader() as session:
            threshold = threshold_in_force(session, self._model.id)
            found = cut_images(session, self._model.id, threshold, held)
        pool = [each.image for each in found if each.image.role is ImageRole.POOL]
        decoys = [each.image for each in found if each.image.role is ImageRole.LABELED]
        standing = {each.image.id: each.standing for each in found}
        order = prediction_order(pool, decoys)
        free = [image for image in order if standing[image.id] is Standing.TO_CUT]
        busy = [image for image in order if standing[image.id] is Standing.HELD]
        self._total = len(free) + len(busy)
        if self._total:
            reason = f"queue of round {self._model.round} cut at: {threshold_words(threshold)}"
            take_snapshot(self._store, "threshold", reason, self._monitor.part(0.0, 0.0, "snapshot"))
        try:
            self._cut_all(free, threshold)
            self._wait_for_signs(busy)
            self._cut_all(busy, threshold)
        except WorkCancelledError:
            activate_probes(self._store)  # What was cut stays, and may be mixed only now.
            raise
        activate_probes(self._store)
        self._monitor.progress(Progress(max(self._total, 1), max(self._total, 1), "queue cut"))
        return self._report(threshold)

    def _cut_all(self, images: list[Image], threshold: float | None) -> None:
        for image in images:
            self._step(image.name)
            require_current(self._store, self._model, self._seen, self._total)
            self._require_chosen(threshold)
            self._seen += 1
            try:
                self._cut_one(image, threshold)
                if self._seen % MIXED_AT_ONCE == 0:
                    activate_probes(self._store)
            except StoreError:
                raise  # A full disk or a locked store concerns every image.
            except DecoyLabelError as error:
                logger.warning("%s", error)
            except (ValueError, RuntimeError, FileNotFoundError) as error:
                self._failed.append((image.name, str(error)))

    def _step(self, what: str) -> None:
        if self._monitor.should_cancel():
            raise WorkCancelledError(f"stopped after {self._seen} of {self._total} images; those are cut")
        self._monitor.progress(Progress(self._seen, self._total, what))

    def _require_chosen(self, threshold: float | None) -> None:
        with self._store.reader() as session:
            now = threshold_in_force(session, self._model.id)
        if now != threshold:
            raise RuntimeError(
                f"somebody chose another threshold ({threshold_words(now)}) after {self._seen} of {self._total} "
                "images; cut again to go on at it"
            )

    def _is_free(self, session: Session, image_id: int) -> bool:
        """Whether an image may be cut, in the transaction that does it: much can have happened since it was listed."""
        proposal = active_proposal(session, image_id)
        is_ours = proposal is not None and proposal.model_id == self._model.id
        is_held = self._leases.is_held(session, image_id)
        return is_ours and last_decision_id(session, image_id) == 0 and not is_held

    def _cut_one(self, image: Image, threshold: float | None) -> None:
        def is_free(session: Session) -> bool:
            return self._is_free(session, image.id)

        with self._store.session() as session:
            if not is_free(session):
                return
            if restore_cut(self._store, session, image.id, self._model.id, threshold):
                self._restored += image.role is ImageRole.POOL
                return
        if self._predictor is None:
            self._predictor = open_model(self._store, self._workspace, self._model)
        prediction = self._predictor.predict(read_image(self._workspace.absolute(image.path)))
        is_cut = store_proposal(self._store, image.id, self._model.id, prediction, is_free)
        self._cut += is_cut and image.role is ImageRole.POOL

    def _wait_for_signs(self, busy: list[Image]) -> None:
        """Give tabs that were closed without a word the time after which they count as gone."""
        started = self._monotonic()
        waiting = {image.id for image in busy}
        first = self._leases.signs(waiting)
        while waiting and self._monotonic() - started <= LIFE_S:
            self._step("waiting for people who may have gone")
            self._sleep(_LOOK_EVERY_S)
            now = self._leases.signs(waiting)
            waiting = {image_id for image_id in waiting if image_id in now and now[image_id] == first.get(image_id)}

    def _report(self, threshold: float | None) -> RecutReport:
        with self._store.reader() as session:
            found = cut_images(session, self._model.id, threshold, self._leases.held_by_others(""))
        names: dict[Standing, list[str]] = {standing: [] for standing in Standing}
        for each in found:
            if each.image.role is not ImageRole.POOL:
                continue
            names[each.standing].append(each.image.name)
        failed = {name for name, _ in self._failed}
        refused = [name for name in names[Standing.TO_CUT] if name not in failed]  # Held when it was their turn.
        return RecutReport(
            model_id=self._model.id,
            threshold=threshold,
            cut=self._cut,
            restored=self._restored,
            as_chosen=len(names[Standing.AS_CHOSEN]) - self._cut - self._restored,
            decided=len(names[Standing.DECIDED]),
            controls=len(names[Standing.CONTROL]),
            held=(*names[Standing.HELD], *refused),
            failed=tuple(self._failed),
        )
