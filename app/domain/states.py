"""The words in which the store says what something is and how far it is."""

from enum import StrEnum


class ImageRole(StrEnum):
    """What an image is used for. Set at import and never changed in silence: gold images must stay unseen."""

    LABELED = "labeled"
    """People drew its label before import; trains the model."""
    POOL = "pool"
    """Has no label yet; the model proposes, people review."""
    GOLD = "gold"
    """Labeled, frozen, never trained on: measures the rounds."""


class ImageState(StrEnum):
    """How far the review of an image is."""

    WAITING = "waiting"
    """No proposal yet."""
    OPEN = "open"
    """Regions wait for a decision."""
    ENOUGH = "enough"
    """What is left is worth less than the limit of the workspace; its regions are not queued any more."""
    DONE = "done"
    """Every region is decided, somebody accepted the rest, or the image came with a label."""


class RegionKind(StrEnum):
    """Why a region is shown. Annotators are not told: who knows that a region is a test, treats it as one."""

    QUEUE = "queue"
    """The model is unsure about it."""
    AUDIT = "audit"
    """Drawn from the reliable area: its error rate is that of the pixels that nobody looks at."""
    PLANTED = "planted"
    """Shown with a wrong label on purpose, to see whether it is noticed."""
    CONTROL = "control"
    """A whole image that is labeled from scratch, to see what the model's help saves."""
    FLAGGED = "flagged"
    """A reliable area that somebody pointed at because it is wrong."""


PROBE_KINDS = (RegionKind.AUDIT, RegionKind.PLANTED, RegionKind.CONTROL)
"""Regions that are shown for another reason than doubt. Who decides them must not be able to tell."""


class RegionState(StrEnum):
    """What happened to a region. Follows from the decisions that are not undone."""

    OPEN = "open"
    DECIDED = "decided"
    SKIPPED = "skipped"
    """Comes back at the end of the queue."""
    SECOND_REVIEW = "second_review"
    """Somebody did not know."""
    SUPERSEDED = "superseded"
    """A later proposal replaced it."""
    HELD = "held"
    """A probe that nobody is shown, because it is not needed."""


class DecisionKind(StrEnum):
    """What a person did."""

    ACCEPT = "accept"
    """The label shown is right for the whole region."""
    RELABEL = "relabel"
    """The whole region is another class."""
    VOID = "void"
    """The whole region has no class."""
    DONT_KNOW = "dont_know"
    SKIP = "skip"
    DRAW = "draw"
    """Pixels set one by one: brush, eraser, polygon, fill, superpixels. Each stroke is a decision of its own."""
    ACCEPT_REST = "accept_rest"
    """Everything still open in the image is taken as proposed. Makes no pixel human."""
    PROPAGATE = "propagate"
    """Regions of one image that look like one just relabeled get its class, after a preview."""
    FLAG = "flag"
    """A reliable area is wrong: its pixels become a region that waits for a decision. Sets no label."""
    UNDO = "undo"
    """Takes one earlier decision out of the replay; an undone undo is a redo."""


class SuspectAnswer(StrEnum):
    """What somebody said about a part of a label that may be wrong."""

    RIGHT = "right"
    """The label is right there."""
    SENT = "sent"
    """It became a region of the queue, which somebody decides."""
    CHANGED = "changed"
    """The imported label was changed there."""
    OPEN = "open"
    """Nothing yet, or what was said was taken back."""


class ModelStatus(StrEnum):
    """What a round's model is used for."""

    CANDIDATE = "candidate"
    CURRENT = "current"
    RETIRED = "retired"
    REJECTED = "rejected"


class JobKind(StrEnum):
    """Work that runs outside the web process."""

    TRAIN = "train"
    EXPORT = "export"
    PREDICT = "predict"
    RECUT = "recut"
    """Cuts the queue anew at the threshold in force."""
    COCO = "coco"
    ROUND = "round"
    MEASURE = "measure"
    """Measures a registered model on the gold images as they are now."""
    BACKUP = "backup"
    EXPLORE = "explore"
    """Brings the data set of the explorer, FiftyOne, up to date."""
    SUSPECTS = "suspects"
    """Looks for parts of people's labels that may be wrong."""


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
