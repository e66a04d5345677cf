"""The one command that moves a project on: what `pixelsieve status` says, and every command at its end."""

from typing import NamedTuple

from rich.markup import escape

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.predicting import unpredicted_images
from app.services.reviewing import ReviewService
from app.services.round_folder import RoundState, round_folders
from app.services.rounds import list_models
from app.storage.database import Store
from app.storage.models import Model


class Ahead(NamedTuple):
    """What a project waits for.

    Attributes:
        models: of all rounds, latest round first.
        to_export: a round is trained to its end, and its model is not registered yet.
        to_predict: images of the pool without a proposal of the current model.
        to_review: regions that wait for somebody.
    """

    models: list[Model]
    to_export: bool
    to_predict: int
    to_review: int


def next_step(store: Store, workspace: Workspace) -> str:
    """The next command of a workspace, escaped for the console."""
    counts = ReviewService(store).counts()
    folders = round_folders(workspace)
    ahead = Ahead(
        models=list_models(store),
        to_export=bool(folders) and folders[-1].state in (RoundState.TRAINED, RoundState.EXPORTED),
        to_predict=unpredicted_images(store),
        to_review=counts.open + counts.skipped,
    )
    return next_command(ahead, f"-w {escape(str(workspace.root))}")


def next_command(ahead: Ahead, suffix: str) -> str:
    """The next command: what was begun is finished before something else is.

    Args:
        ahead: what waits.
        suffix: the option that names the workspace.
    """
    candidates = [model for model in ahead.models if model.status is ModelStatus.CANDIDATE]
    if ahead.to_export:
        return f"pixelsieve export {suffix}"
    if not ahead.models:
        return f"pixelsieve train {suffix}"
    if candidates:
        return f"pixelsieve promote {candidates[0].id} {suffix}  (or --reject)"
    if ahead.to_predict:
        return f"pixelsieve predict {suffix}  (images without a proposal of the current model: {ahead.to_predict})"
    if ahead.to_review:
        return f"pixelsieve review {suffix}"
    return f"pixelsieve retrain {suffix}, or pixelsieve coco {suffix} --out FOLDER"
