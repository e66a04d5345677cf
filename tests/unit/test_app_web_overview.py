"""What the home page calls the one next action, and the lists that pages show."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.presets import OTHER_PRESETS, WORKSPACE_PRESETS, require_preset
from app.domain.states import JobKind, JobState, ModelStatus
from app.services.jobs import JobView
from app.services.review_types import QueueCounts
from app.storage.models import Model
from app.web.overview import next_action
from training.presets import PRESETS
from training.protocols import PROTOCOLS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(status: ModelStatus, number: int = 1) -> Model:
    return Model(id=number, round=number, status=status, onnx_path="x", onnx_sha256="x", created_at=NOW)


def job(kind: JobKind, state: JobState) -> JobView:
    return JobView(1, kind, state, {}, 0, 1, "", {}, None, False, None, None, NOW, None, None)


def counts(**known: int) -> QueueCounts:
    fields: dict[str, Any] = dict.fromkeys(QueueCounts.__dataclass_fields__, 0) | {"open_of": {}, "skipped_of": {}}
    return QueueCounts(**{**fields, **known})


EXPORTING, FAILED = job(JobKind.COCO, JobState.RUNNING), job(JobKind.ROUND, JobState.FAILED)
CURRENT, CANDIDATE = model(ModelStatus.CURRENT), model(ModelStatus.CANDIDATE, 2)
TRAINING, QUEUED = job(JobKind.ROUND, JobState.RUNNING), job(JobKind.ROUND, JobState.QUEUED)
PREDICTING = job(JobKind.PREDICT, JobState.RUNNING)


@pytest.mark.parametrize(
    ("models", "left", "jobs", "title", "leads_to"),
    [
        pytest.param([], counts(images_waiting=5), [], "Train the first round", "train", id="nothing yet"),
        pytest.param([], counts(), [], "Import images", None, id="no images"),
        pytest.param([], counts(), [TRAINING], "Training round is running", "/review", id="training"),
        pytest.param([], counts(), [QUEUED], "Training round waits for the worker", "/review", id="training waits"),
        pytest.param([], counts(), [QUEUED, PREDICTING], "Prediction of proposals is running", "/review", id="both"),
        pytest.param(
            [CURRENT], counts(images_waiting=5, open=3), [], "Predict proposals", "predict", id="no proposals"
        ),
        pytest.param([CURRENT], counts(skipped=1), [], "Review 1 skipped region", "/review", id="one was skipped"),
        pytest.param([CURRENT], counts(open=3, skipped=2), [], "Review 3 regions", "/review", id="regions wait"),
        pytest.param(
            [CANDIDATE, CURRENT], counts(open=3), [], "Decide about round 2", "/models?new=2&old=1", id="candidate"
        ),
        pytest.param([CURRENT], counts(decided=9), [], "Train the next round", "train", id="all decided"),
        pytest.param(
            [model(ModelStatus.REJECTED)],
            counts(images_done=2),
            [],
            "Train the first round",
            "train",
            id="only rejected",
        ),
        pytest.param([CURRENT], counts(open=1), [EXPORTING], "Review 1 region", "/review", id="exporting"),
        pytest.param([CURRENT], counts(open=1), [FAILED], "Review 1 region", "/review", id="failed round"),
    ],
)
def test_next_action(
    models: list[Model], left: QueueCounts, jobs: list[JobView], title: str, leads_to: str | None
) -> None:
    action = next_action(models, left, jobs, to_predict=left.images_waiting)
    assert action["title"] == title
    assert (action["href"] or action["action"]) == leads_to


def test_labeled_images_that_are_told_as_waiting_ask_for_no_prediction() -> None:
    assert next_action([CURRENT], counts(images_waiting=24, open=3), [], to_predict=0)["title"] == "Review 3 regions"


def test_presets_on_the_page_are_those_of_the_training_command_that_fit_any_workspace() -> None:
    assert set(WORKSPACE_PRESETS) == set(PRESETS) - {"debug"}


def test_every_preset_of_the_training_command_is_known_and_no_other_one_is_taken() -> None:
    known = {*PRESETS, *PROTOCOLS}
    assert {*WORKSPACE_PRESETS, *OTHER_PRESETS} == known
    for name in known:
        require_preset(name)
    with pytest.raises(ValueError, match="unknown preset 'camvid'; choose one of demo, camvid_cpu, "):
        require_preset("camvid")
