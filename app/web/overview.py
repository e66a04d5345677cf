"""What the pages show about a workspace as JSON for their panels, and which action comes next."""

from dataclasses import asdict
from typing import Any

from app.domain.promotion import is_earlier
from app.domain.states import JobKind, JobState, RegionState
from app.services import rounds
from app.services.assigning import ImageFilter, list_image_work, possible_owners
from app.services.comments import open_questions
from app.services.failed_predictions import failed_images
from app.services.flagging import list_flags
from app.services.jobs import JobView
from app.services.predicting import unpredicted_images
from app.services.region_stories import RegionStory, region_stories
from app.services.review_types import QueueCounts, QueueFilter
from app.services.thresholds import cuts_in_force
from app.storage.cuts import threshold_in_force
from app.storage.models import Model
from app.web.archives import list_exports
from app.web.context import WebContext
from datasets.labels import ClassSet

PAGE_ROWS = 60
SHOWN_JOBS = 12
SHOWN_FAILURES = 3
LOG_LINES = 60

JOB_TITLES = {
    JobKind.ROUND: "Training round",
    JobKind.TRAIN: "Training",
    JobKind.EXPORT: "Model export",
    JobKind.PREDICT: "Prediction of proposals",
    JobKind.RECUT: "Cut of the queue",
    JobKind.COCO: "COCO export",
    JobKind.MEASURE: "Measurement on gold images",
    JobKind.BACKUP: "Backup",
    JobKind.EXPLORE: "Update of FiftyOne",
    JobKind.SUSPECTS: "Look for wrong labels",
}
_MODEL_JOBS = frozenset({JobKind.ROUND, JobKind.TRAIN, JobKind.EXPORT, JobKind.PREDICT, JobKind.RECUT, JobKind.MEASURE})


def summary(context: WebContext) -> dict[str, Any]:
    """Current model and its threshold, what is left, what fails, gold mIoU by round and the one next action."""
    models, counts = rounds.list_models(context.store), context.review.counts()
    current = rounds.current_of(models)
    with context.store.reader() as session:
        threshold = None if current is None else threshold_in_force(session, current.id)
    failed = failed_images(context.store)
    return {
        "current": None if current is None else describe_model(current),
        "threshold": threshold,
        "counts": asdict(counts),
        "failed": {"number": len(failed), "shown": [asdict(image) for image in failed[:SHOWN_FAILURES]]},
        "rounds": [describe_model(model) for model in reversed(models)],
        "next": next_action(models, counts, context.jobs.list(SHOWN_JOBS), unpredicted_images(context.store)),
    }


def describe_models(models: list[Model]) -> list[dict[str, Any]]:
    """Models as the API and the pages show them, and whether each can be gone back to."""
    current = rounds.current_of(models)
    return [
        {
            **describe_model(model),
            "can_roll_back": current is not None and is_earlier(model.status, model.round, current.round),
        }
        for model in models
    ]


def describe_model(model: Model) -> dict[str, Any]:
    """One model; `gold_miou` and its 95 % interval are fractions, or None when they were not measured."""
    gold = model.gold or {}
    return {
        "id": model.id,
        "round": model.round,
        "status": model.status,
        "method": model.method,
        "gold_miou": gold.get("miou"),
        "gold_interval": gold.get("miou_interval"),
        "gold_images": gold.get("num_images", 0),
        "gold_sha256": gold.get("gold_sha256"),
        "reliable_coverage": gold.get("reliable_coverage"),
        "reliable_precision": gold.get("reliable_precision"),
        "created_at": model.created_at.isoformat(),
        "note": model.note,
    }


def next_action(
    models: list[Model], counts: QueueCounts, jobs: list[JobView], to_predict: int
) -> dict[str, str | None]:
    """The one thing to do now: title, text, and either a page to go to (`href`) or an action to start (`action`).

    Args:
        models: of all rounds, latest first.
        counts: of regions and images, as people are told.
        jobs: the latest.
        to_predict: images of the pool without a proposal of the current model. Labeled images that may still become
            decoys are told as waiting too, and wait for no prediction.
    """
    unfinished = [job for job in jobs if not job.is_finished and job.kind in _MODEL_JOBS]
    candidate = rounds.candidate_of(models)
    if unfinished:
        return _unfinished_action(unfinished)
    if candidate is not None:
        return _decide_action(candidate, rounds.current_of(models))
    if rounds.current_of(models) is None:
        if not (counts.images_waiting or counts.images_open or counts.images_enough or counts.images_done):
            return _action("Import images", "There are none yet. In a terminal: pixelsieve import path/to/images", None)
        return _action("Train the first round", "It learns from the labeled images.", "Train", action="train")
    if to_predict:
        text = f"{counts.images_waiting or to_predict} images have no proposal of the current model yet."
        return _action("Predict proposals", text, "Predict", action="predict")
    if counts.open or counts.skipped:
        return _review_action(counts.open, counts.skipped)
    text = "Every region in the queue is decided. The next round learns from it."
    return _action("Train the next round", text, "Train", action="train")


def _review_action(num_open: int, num_skipped: int) -> dict[str, str | None]:
    """Open and skipped regions apart, as the reviewer counts them."""
    if num_open == 0:
        return _action(f"Review {_regions(num_skipped, 'skipped ')}", "Nothing else is left.", "Review", "/review")
    after = f" {_regions(num_skipped, 'skipped ')} {'comes' if num_skipped == 1 else 'come'} after them."
    text = f"Most valuable first.{after if num_skipped else ''}"
    return _action(f"Review {_regions(num_open)}", text, "Review", "/review")


def _regions(number: int, kind: str = "") -> str:
    return f"{number} {kind}region{'' if number == 1 else 's'}"


def _decide_action(candidate: Model, current: Model | None) -> dict[str, str | None]:
    old = "" if current is None else f"&old={current.id}"
    text = "It waits until somebody compares it with the current model and promotes or rejects it."
    return _action(f"Decide about round {candidate.round}", text, "Compare", f"/models?new={candidate.id}{old}")


def _unfinished_action(unfinished: list[JobView]) -> dict[str, str | None]:
    """Review goes on beside the job that runs or, when none does, the one that has waited longest."""
    running = next((job for job in unfinished if job.state is JobState.RUNNING), None)
    title = JOB_TITLES[(running or unfinished[-1]).kind]  # The latest job is the first in the list.
    if running is not None:
        return _action(f"{title} is running", "Review can go on meanwhile.", "Review", "/review")
    return _action(f"{title} waits for the worker", "Review can go on meanwhile.", "Review", "/review")


def job_list(context: WebContext, shown_log: int | None, kinds: frozenset[JobKind] | None = None) -> dict[str, Any]:
    """The latest jobs, and the end of the log of one of them (None: of the one that runs)."""
    jobs = [job for job in context.jobs.list(SHOWN_JOBS) if kinds is None or job.kind in kinds]
    running = next((job.id for job in jobs if job.state is JobState.RUNNING), None)
    log_of = shown_log if shown_log in {job.id for job in jobs} else running
    log = None if log_of is None else {"job_id": log_of, "text": context.jobs.log_tail(log_of, LOG_LINES)}
    return {"jobs": [{**job.to_json(), "title": JOB_TITLES[job.kind], "log_path": None} for job in jobs], "log": log}


def queue_rows(context: WebContext, filters: QueueFilter, page: int) -> dict[str, Any]:
    """One page of the queue table, from 0; `filter` is the query with which the reviewer shows the same regions."""
    rows = context.review.queue(filters, PAGE_ROWS + 1, page * PAGE_ROWS)
    class_set = context.review.class_set()
    stories = region_stories(context.store, [row.region_id for row in rows])
    return {
        "rows": [
            {**row.to_json(), **_named(class_set, row.class_id), **_told(class_set, stories[row.region_id])}
            for row in rows[:PAGE_ROWS]
        ],
        "first": page * PAGE_ROWS + 1,
        "has_more": len(rows) > PAGE_ROWS,
        "filter": _query(filters),
        "counts": asdict(context.review.counts()),
    }


def image_rows(
    context: WebContext, filters: ImageFilter, page: int, may_assign: bool, may_delete: bool
) -> dict[str, Any]:
    """One page of the table of images, from 0, with who could have them."""
    rows = list_image_work(context.store, filters, PAGE_ROWS + 1, page * PAGE_ROWS)
    return {
        "rows": [asdict(row) for row in rows[:PAGE_ROWS]],
        "first": page * PAGE_ROWS + 1,
        "has_more": len(rows) > PAGE_ROWS,
        "people": possible_owners(context.store) if may_assign else [],
        "may_assign": may_assign,
        "may_delete": may_delete,
    }


def second_review(context: WebContext, may_assign: bool) -> dict[str, Any]:
    """What waits for a second reviewer: regions that somebody did not know, questions, and what people flagged.

    Args:
        may_assign: whether the reviewer may be opened on images that are somebody else's.
    """
    found = queue_rows(context, QueueFilter(RegionState.SECOND_REVIEW), 0)
    questions = [
        {**asdict(question), "created_at": question.created_at.isoformat()}
        for question in open_questions(context.store)
    ]
    return {"regions": found, "questions": questions, "flags": _flags(context), "may_assign": may_assign}


def _flags(context: WebContext) -> list[dict[str, Any]]:
    """What people called wrong although the model was sure, and what was decided about it; newest first."""
    flags, class_set = list_flags(context.store), context.review.class_set()
    stories = region_stories(context.store, [flag.row.region_id for flag in flags])
    return [
        {
            **flag.to_json(),
            **_named(class_set, flag.row.class_id),
            **_told(class_set, stories[flag.row.region_id]),
        }
        for flag in flags
    ]


def _query(filters: QueueFilter) -> dict[str, Any]:
    """What differs from the reviewer's usual queue, as its address says it."""
    said = {
        "state": filters.state, "class_id": filters.class_id, "image_id": filters.image_id,
        "assignee": filters.assignee, "text": filters.text or None, "asked": filters.asked or None,
        "everybody": (filters.person is None and filters.state is not RegionState.SECOND_REVIEW) or None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def _named(class_set: ClassSet, class_id: int) -> dict[str, Any]:
    return {"class_name": class_set.names[class_id], "color": class_set.colors[class_id]}


def _told(class_set: ClassSet, story: RegionStory) -> dict[str, Any]:
    """What was decided, by whom and when, and whether the reviewer can open the region."""
    verdict = story.verdict
    if verdict is None:
        return {"verdict": None, "is_current": story.is_current}
    said = {"kind": verdict.kind, "user": verdict.user, "decided_at": verdict.decided_at.isoformat()}
    if verdict.class_id is not None:
        said |= _named(class_set, verdict.class_id)
    return {"verdict": said, "is_current": story.is_current}


def export_list(context: WebContext) -> dict[str, Any]:
    """Finished exports for the export page, and what the labels that nobody looked at rest on."""
    with context.store.reader() as session:
        cuts = [cut.to_json() for cut in cuts_in_force(session)]
    return {"exports": list_exports(context.workspace), "cuts": cuts}


def _action(
    title: str, text: str, label: str | None, href: str | None = None, action: str | None = None
) -> dict[str, str | None]:
    return {"title": title, "text": text, "label": label, "href": href, "action": action}
