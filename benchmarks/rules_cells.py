"""Which region rules are compared, by which simulated people: settings, cells and what decides a cell's numbers."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.queue import QueueRules
from app.domain.regions import RegionRules
from app.domain.simulated_people import PEOPLE, SimulatedPerson
from app.services.simulating import Arm
from app.storage.settings import ReviewSettings
from benchmarks.rules_replay import BEST_ORDER

FORMAT_VERSION = 1
DEFAULT = "default"

FACTORS: dict[str, tuple[str, ...]] = {
    "opening": ("opening_px=0", "opening_px=2", "opening_px=3"),
    "boundary band": ("band_px=1", "band_px=3", "band_px=4"),
    "minimum area": (
        "min_area_px=1,min_area_share=0", "min_area_share=0.0001", "min_area_share=0.0006", "min_area_share=0.0012",
        "min_area_share=0.0025", "min_area_share=0.005",
    ),
    "area cap": (
        "max_area_share=0.01", "max_area_share=0.02", "max_area_share=0.04", "max_area_share=0.08",
        "max_area_share=0.16", "max_area_share=0.25", "max_area_share=1",
    ),
    "superpixels": ("compactness=1", "compactness=100", "compactness=10000"),
    "class rarity": ("rarity_low=1,rarity_high=1", "rarity_low=0.7,rarity_high=2", "rarity_low=0.25,rarity_high=16"),
    "diversity": (
        "diversity_discount=1", "diversity_discount=0.98", "diversity_discount=0.9", "diversity_discount=0.8",
    ),
}  # fmt: skip
"""One factor at a time around the baseline. A compactness of 10000 is a grid; with a cap of 1 nothing is split."""

_ORDER_FIELDS = frozenset(each.name for each in dataclasses.fields(QueueRules))


@dataclass(frozen=True)
class Setting:
    """Region rules that differ from the defaults, or from another baseline, in what the name says.

    Attributes:
        name: "default", or field=value pairs with commas.
        regions: how unreliable pixels are grouped.
        order: how regions are ordered.
    """

    name: str
    regions: RegionRules
    order: QueueRules

    @classmethod
    def parse(cls, name: str, baseline: "Setting | None" = None) -> "Setting":
        """The rules of a name.

        Args:
            name: see `Setting`.
            baseline: has what the name does not say; None: the defaults.

        Raises:
            ValueError: an unknown field, or a value that the rules refuse.
        """
        regions: dict[str, Any] = {}
        order: dict[str, Any] = {}
        for pair in () if name == DEFAULT else name.split(","):
            key, _, value = pair.partition("=")
            kinds = {
                each.name: int if isinstance(each.default, int) else float for each in dataclasses.fields(RegionRules)
            }
            if key not in kinds and key not in _ORDER_FIELDS:
                known = ", ".join([*kinds, *sorted(_ORDER_FIELDS)])
                raise ValueError(f"unknown rule {key!r} in {name!r}; choose from {known}")
            try:
                if key in _ORDER_FIELDS:
                    order[key] = float(value)
                else:
                    regions[key] = kinds[key](value)
            except ValueError:
                raise ValueError(f"{pair!r} in {name!r} is no rule: {value!r} is not a number that fits") from None
        base = baseline or cls(DEFAULT, RegionRules(), QueueRules())
        return cls(name, dataclasses.replace(base.regions, **regions), dataclasses.replace(base.order, **order))


@dataclass(frozen=True)
class Cell:
    """One simulated person who works through all images once.

    Attributes:
        setting: the rules.
        baseline: name of the setting that it is compared with.
        arm: the order, see `Replay.run`.
        person: a name in `PEOPLE`.
        seed: of chance.
    """

    setting: Setting
    baseline: str
    arm: str
    person: str
    seed: int

    @property
    def name(self) -> str:
        """Of its result file."""
        return f"{self.setting.name}-{self.arm}-{self.person}-seed{self.seed}"

    def config(self, data: dict[str, Any]) -> dict[str, Any]:
        """Everything that decides its numbers.

        Args:
            data: model, images and labeled images.
        """
        content = {
            "format": FORMAT_VERSION, "baseline": self.baseline, "setting": self.setting.name,
            "regions": dataclasses.asdict(self.setting.regions),
            "order": dataclasses.asdict(self.setting.order), "arm": str(self.arm), "seed": self.seed,
            "person": _described(PEOPLE[self.person]), "enough_share": ReviewSettings().enough_share,
            "data": data,
        }  # fmt: skip
        return json.loads(json.dumps(content))  # type: ignore[no-any-return]


def _described(person: SimulatedPerson) -> dict[str, Any]:
    """What decides a person's answers; as before there were superpixels where the person takes none."""
    found = dataclasses.asdict(person)
    return found if person.superpixel_levels else {name: found[name] for name in found if name != "superpixel_levels"}


def cells_of(settings: Sequence[Setting], people: Sequence[str], seeds: int, references: bool) -> list[Cell]:
    """Every setting with every person; who makes no errors needs one seed, because nothing is left to chance.

    Args:
        settings: that are compared, the baseline first.
        people: names in `PEOPLE`.
        seeds: of people who err, and of random orders.
        references: also the first setting's regions in random order, by entropy, and in the best order there is.
    """
    baseline = settings[0].name
    found = [
        Cell(setting, baseline, Arm.QUEUE, person, seed)
        for setting in settings
        for person in people
        for seed in range(seeds if PEOPLE[person].error_rate else 1)
    ]
    for arm in (Arm.RANDOM_REGIONS, Arm.ENTROPY_REGIONS, BEST_ORDER) if references else ():
        for person in people:
            is_chance = arm == Arm.RANDOM_REGIONS or PEOPLE[person].error_rate > 0
            found += [Cell(settings[0], baseline, arm, person, seed) for seed in range(seeds if is_chance else 1)]
    return found


def all_settings(baseline: str = DEFAULT, names: Sequence[str] | None = None) -> list[Setting]:
    """The baseline and what is compared with it: the given names, or all factors; what is no change is left out.

    Raises:
        ValueError: see `Setting.parse`.
    """
    every = [name for values in FACTORS.values() for name in values] if names is None else names
    first = Setting.parse(baseline)
    others = [Setting.parse(name, first) for name in dict.fromkeys(every)]
    return [first, *(each for each in others if (each.regions, each.order) != (first.regions, first.order))]
