"""Who may do what."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.states import JobKind


class Role(StrEnum):
    """What a person is in this workspace."""

    ANNOTATOR = "annotator"
    """Decides regions."""
    REVIEWER = "reviewer"
    """Also decides what others did not know, and may take over."""
    ENGINEER = "engineer"
    """Also imports, trains, predicts, exports and explores."""
    LEAD = "lead"
    """May do everything: people, quality of all, settings, which model is used, backups."""


@dataclass(frozen=True)
class Actor:
    """Who asks.

    Attributes:
        name: what decisions and logs call this person.
        role: what this person may do; None before anybody has signed in, which allows nothing.
    """

    name: str
    role: Role | None


class Permission(StrEnum):
    """One kind of thing that an endpoint or a command does."""

    USE = "use"
    """Be here: open the pages, see and change one's own account, sessions and tokens."""
    REVIEW = "review"
    """See the queue and its images, decide regions."""
    SECOND_REVIEW = "second_review"
    """Decide what others did not know, take over images that others hold."""
    ASSIGN = "assign"
    """Say whose images are whose, and see everybody's."""
    SEE_MODELS = "see_models"
    """See rounds, models and jobs, and how good they are."""
    RUN_JOBS = "run_jobs"
    """Import, train, predict and explore, look for wrong labels and correct imported ones; cancel jobs."""
    EXPORT = "export"
    """Take labels out as COCO."""
    SEE_QUALITY = "see_quality"
    """See everybody's numbers, which regions were tests, and the action log, which tells both."""
    PROMOTE = "promote"
    """Choose the model that proposes, with reasons, and how sure it must be for nobody to be asked."""
    ADMINISTER = "administer"
    """People, roles, settings, backups, the audit log."""


_ALL = frozenset(Role)
_BUT_ANNOTATORS = _ALL - {Role.ANNOTATOR}
_TECHNICAL = frozenset({Role.ENGINEER, Role.LEAD})
_LEADS = frozenset({Role.LEAD})

ALLOWED: dict[Permission, frozenset[Role]] = {
    Permission.USE: _ALL,
    Permission.REVIEW: _ALL,
    Permission.SECOND_REVIEW: _BUT_ANNOTATORS,
    Permission.ASSIGN: frozenset({Role.REVIEWER, Role.LEAD}),
    Permission.SEE_MODELS: _ALL,
    Permission.RUN_JOBS: _TECHNICAL,
    Permission.EXPORT: _TECHNICAL,
    Permission.SEE_QUALITY: _LEADS,
    Permission.PROMOTE: _LEADS,
    Permission.ADMINISTER: _LEADS,
}
"""Which roles have a permission. What is not listed, nobody may do."""

IN_WORDS: dict[Permission, str] = {
    Permission.USE: "use this workspace",
    Permission.REVIEW: "review regions",
    Permission.SECOND_REVIEW: "decide what others did not know, or take over their images",
    Permission.ASSIGN: "see and change whose images are whose",
    Permission.SEE_MODELS: "see rounds and models",
    Permission.RUN_JOBS: "import, train or predict",
    Permission.EXPORT: "export labels",
    Permission.SEE_QUALITY: "see the quality of everybody's work",
    Permission.PROMOTE: "choose the model that proposes, or its threshold",
    Permission.ADMINISTER: "change people, settings or backups",
}
"""What a permission allows, as the end of "may not ..."."""


_JOBS: dict[JobKind, Permission] = {
    JobKind.COCO: Permission.EXPORT,
    JobKind.BACKUP: Permission.ADMINISTER,
    JobKind.RECUT: Permission.PROMOTE,
}


def permission_for_job(kind: str) -> Permission:
    """What starting a job of a kind asks for."""
    return next((permission for job, permission in _JOBS.items() if job.value == kind), Permission.RUN_JOBS)


def permits(role: Role | None, permission: Permission) -> bool:
    """Whether people of a role may do a kind of thing."""
    return role in ALLOWED[permission]
