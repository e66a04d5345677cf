"""What a simulated annotator spends, and when that is enough."""

from dataclasses import dataclass

from app.domain.simulated_people import Answer
from datasets.progress import Progress


@dataclass
class Effort:
    """What was spent, and what it reached."""

    decisions: int = 0
    clicks: int = 0
    keys: int = 0
    seconds: float = 0.0
    pixels_shown: int = 0
    pixels_changed: int = 0

    def add(self, answer: Answer, seconds: float, decisions: int = 1) -> None:
        """Count one answer; a whole image is as many decisions as parts were looked at."""
        self.decisions += decisions
        self.clicks += answer.clicks
        self.keys += answer.keys
        self.seconds += seconds


@dataclass(frozen=True)
class Budget:
    """When to begin nothing more; what is begun is finished. None does not limit: until nothing is left.

    Attributes:
        decisions: so many answers.
        minutes: so much simulated time.
        inputs: so many clicks and keys.
    """

    decisions: int | None = None
    minutes: float | None = None
    inputs: int | None = None

    def is_spent(self, spent: Effort) -> bool:
        """Whether nothing more may be done."""
        return any(done >= limit for done, limit in self._used(spent))

    def progress(self, spent: Effort, done: int, total: int, message: str) -> Progress:
        """How far a run is: by the limit that is nearest, or by what of all work is done."""
        used = [(done, max(1, total)), *self._used(spent)]
        share = min(1.0, max(part / whole if whole else 1.0 for part, whole in used))
        return Progress(round(1000 * share), 1000, message)

    def _used(self, spent: Effort) -> list[tuple[float, float]]:
        """(spent, limit) of every limit there is."""
        every = [
            (spent.decisions, self.decisions), (spent.clicks + spent.keys, self.inputs),
            (spent.seconds / 60, self.minutes),
        ]  # fmt: skip
        return [(used, limit) for used, limit in every if limit is not None]
