"""The demonstration: the whole loop on generated scenes, in a folder that can be thrown away."""

from pathlib import Path

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.predicting import PredictReport, find_model, predict_pool
from app.services.processes import Monitor
from app.services.round_steps import RoundCommands, RoundRequest
from app.services.rounds import list_models, start_round
from app.services.workspaces import ImportSource, ImportSummary, plan_import, run_import
from app.storage.database import Store, open_store
from app.storage.models import Model
from datasets.formats.scenes import LABELED_SPLIT, write_scenes
from datasets.progress import Progress


def make_scenes(workspace: Workspace, monitor: Monitor) -> Path:
    """Generate the scenes unless an earlier run did; the folder appears only when it is complete."""
    root = workspace.root / "scenes"
    if not root.exists():
        write_scenes(root, progress=lambda done, total: monitor.progress(Progress(done, total, "scenes painted")))
    return root


def import_scenes(workspace: Workspace, root: Path, monitor: Monitor) -> tuple[Store, ImportSummary]:
    """Import the scenes with the few labels of their split. Raises: ValueError, OSError: see `plan_import`."""
    plan = plan_import(ImportSource(root, "scenes", LABELED_SPLIT, independent=True))
    store = open_store(workspace, create=True)
    return store, run_import(store, plan, monitor.progress)


def first_round(store: Store, workspace: Workspace, monitor: Monitor, commands: RoundCommands | None = None) -> Model:
    """The current model; trains the first round, semi-supervised, when there is none.

    Raises:
        WorkCancelledError, ChildFailedError, ValueError: see `start_round`.
    """
    current = [model for model in list_models(store) if model.status is ModelStatus.CURRENT]
    if current:
        return current[0]
    return find_model(store, start_round(store, workspace, RoundRequest(), monitor, commands))


def propose(store: Store, workspace: Workspace, model: Model, monitor: Monitor) -> PredictReport:
    """Proposals for the pool. Raises: WorkCancelledError: stopped on request."""
    return predict_pool(store, workspace, model.id, monitor.progress, monitor.should_cancel)
