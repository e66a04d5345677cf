"""What each kind of job does."""

from typing import Any

from app.config import Workspace
from app.domain.states import JobKind
from app.services.backups import BACKUP_SUFFIX, write_backup
from app.services.coco_export import export_coco
from app.services.gold import measure_again
from app.services.job_process import Work
from app.services.jobs import (
    BackupArguments,
    CocoArguments,
    ExportArguments,
    MeasureArguments,
    PredictArguments,
    RecutArguments,
    RoundArguments,
    SuspectsArguments,
)
from app.services.label_warnings import few_gold_images
from app.services.local_actor import local_actor
from app.services.predicting import find_model, predict_pool
from app.services.processes import Monitor
from app.services.recutting import recut_pool
from app.services.round_folder import only_round
from app.services.round_steps import RoundRequest, export_round, train_round
from app.services.rounds import require_decided, start_round
from app.services.suspects import find_suspects, keep_suspects
from app.storage.database import Store


def _train(store: Store, workspace: Workspace, arguments: RoundArguments, monitor: Monitor) -> dict[str, Any]:
    require_decided(store)
    return {"round": train_round(store, workspace, _request(arguments), monitor).number}


def _export(store: Store, workspace: Workspace, arguments: ExportArguments, monitor: Monitor) -> dict[str, Any]:
    _say_what_gold_lacks(store)
    return _registered(store, export_round(store, workspace, arguments.round, monitor))


def _round(store: Store, workspace: Workspace, arguments: RoundArguments, monitor: Monitor) -> dict[str, Any]:
    require_decided(store)  # Asked when the job was submitted, too, but another round may have ended since.
    _say_what_gold_lacks(store)
    return _registered(store, start_round(store, workspace, _request(arguments), monitor))


def _predict(store: Store, workspace: Workspace, arguments: PredictArguments, monitor: Monitor) -> dict[str, Any]:
    report = predict_pool(store, workspace, arguments.model_id, monitor.progress, monitor.should_cancel)
    for name, reason in report.failed:
        print(f"no proposal for {name}: {reason}")
    return {
        "model_id": report.model_id,
        "predicted": report.predicted,
        "restored": report.restored,
        "skipped": report.skipped,
        "failed": [list(item) for item in report.failed],
    }


def _recut(store: Store, workspace: Workspace, arguments: RecutArguments, monitor: Monitor) -> dict[str, Any]:
    del arguments
    report = recut_pool(store, workspace, monitor)
    for sentence in report.sentences:
        print(sentence)
    for name, reason in report.failed:
        print(f"not cut: {name}: {reason}")
    return report.to_json()


def _coco(store: Store, workspace: Workspace, arguments: CocoArguments, monitor: Monitor) -> dict[str, Any]:
    folder = workspace.exports / arguments.name
    manifest = export_coco(store, folder, arguments.which, monitor.stoppable_progress)
    for item in manifest.skipped:
        print(f"left out {item.name}: {item.reason}")
    return {
        "name": arguments.name,
        "which": arguments.which,
        "images": manifest.images,
        "annotations": manifest.annotations,
        "skipped": [[item.name, item.reason] for item in manifest.skipped],
    }


def _backup(store: Store, workspace: Workspace, arguments: BackupArguments, monitor: Monitor) -> dict[str, Any]:
    report = write_backup(store, workspace.backups / f"{arguments.name}{BACKUP_SUFFIX}", local_actor(), monitor)
    for problem in report.problems:
        print(problem)
    return report.to_json()


def _measure(store: Store, workspace: Workspace, arguments: MeasureArguments, monitor: Monitor) -> dict[str, Any]:
    with only_round(workspace):
        for index, model_id in enumerate(arguments.model_ids):
            part = monitor.part(index / len(arguments.model_ids), (index + 1) / len(arguments.model_ids))
            measure_again(store, find_model(store, model_id), part)
            _registered(store, model_id)
    return {"model_ids": arguments.model_ids}


def _say_what_gold_lacks(store: Store) -> None:
    """Known before anything is calibrated, so it is the first line of the log."""
    few = few_gold_images(store)
    if few is not None:
        print(few)


def _suspects(store: Store, workspace: Workspace, arguments: SuspectsArguments, monitor: Monitor) -> dict[str, Any]:
    del workspace
    found = find_suspects(store, arguments.model_id, monitor, arguments.min_area)
    kept = keep_suspects(store, found)
    for name, reason in found.failed:
        print(f"not looked at: {name}: {reason}")
    print(f"{len(found.ranked)} parts of the labels of {found.num_images} images; the first {kept} are kept")
    return {
        "model_id": found.model_id, "images": found.num_images, "parts": len(found.ranked), "kept": kept,
        "failed": len(found.failed),  # Their names are for those who may read the log.
    }  # fmt: skip


def _registered(store: Store, model_id: int) -> dict[str, Any]:
    """Say in the log how the round ended."""
    model = find_model(store, model_id)
    miou = (model.gold or {}).get("miou")
    measured = "not measured on gold images" if miou is None else f"gold mIoU {miou:.1%}"
    print(f"round {model.round} is model {model_id}, {model.status.value}, {measured}")
    return {"model_id": model_id}


def _request(arguments: RoundArguments) -> RoundRequest:
    return RoundRequest(arguments.preset, dict(arguments.overrides), arguments.from_scratch)


_WORK: dict[JobKind, Work] = {
    JobKind.TRAIN: _train,
    JobKind.EXPORT: _export,
    JobKind.PREDICT: _predict,
    JobKind.RECUT: _recut,
    JobKind.COCO: _coco,
    JobKind.ROUND: _round,
    JobKind.MEASURE: _measure,
    JobKind.BACKUP: _backup,
    JobKind.SUSPECTS: _suspects,
}


def work_of(kind: JobKind) -> Work:
    """The function that does a kind of job."""
    return _WORK[kind]
