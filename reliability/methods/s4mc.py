"""S4MC: a pixel is reliable when its margin, raised by its neighbors, passes a percentile that relaxes over training.

Source: arXiv:2308.13900 (TMLR 2024) and the released code s4mcontext/s4mc at 63905af.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from reliability.checks import checked_choice, checked_number, usable_inputs
from reliability.percentile_selection import PercentileOver, PercentileSelection
from reliability.scores import NEIGHBOR_STRENGTH, confidence, entropy, margin, refine
from reliability.selection import PixelSelection, SelectionInputs

_SCORES = {"margin": margin, "confidence": confidence, "entropy": entropy}


@dataclass(frozen=True)
class S4MCOptions:
    """What can be chosen; the defaults are the paper's best run, per image instead of per batch.

    Attributes:
        score: what is compared with the threshold; of entropy, low values are kept.
        drop_share: share of pixels below the threshold at progress 0, in [0, 1]; it falls linearly to 0.
        percentile_over: "image", or "batch" as released, where a verdict depends on the other images of the batch.
        neighborhood: 4 or 8 neighbors.
        strongest: how many of them are merged.
        beta: strength of a neighbor in [0, 1].
        ignored_neighbors: pixels outside `valid` still support their neighbors, as released. Off, so that what was
            declared meaningless changes nothing.
    """

    score: Literal["margin", "confidence", "entropy"] = "margin"
    drop_share: float = 0.4
    percentile_over: PercentileOver = "image"
    neighborhood: Literal[4, 8] = 4
    strongest: int = 1
    beta: float = NEIGHBOR_STRENGTH
    ignored_neighbors: bool = False

    def __post_init__(self) -> None:
        checked_choice("score", self.score, tuple(_SCORES))
        checked_choice("neighborhood", self.neighborhood, (4, 8))
        checked_choice("strongest", self.strongest, tuple(range(1, self.neighborhood + 1)))
        checked_number("beta", self.beta, 0.0, 1.0)
        checked_choice("ignored_neighbors", self.ignored_neighbors, (False, True))


class S4MC(PercentileSelection):
    """Keeps the pixels whose refined score passes a percentile of the unrefined score; weight 0 or 1.

    The refined score is compared with a percentile of the unrefined one, so refinement moves pixels across the
    threshold and the kept share is not `1 - drop_share`.

    Attributes:
        class_prior: (C,) buffer or None, see `count_class_prior` and `scores.refine`.
    """

    class_prior: Tensor | None

    def __init__(self, options: S4MCOptions, class_prior: Tensor | None) -> None:
        super().__init__(options.drop_share, options.percentile_over, low_is_sure=options.score == "entropy")
        self.options = options
        self.register_buffer("class_prior", class_prior)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        self._check_prior(probabilities.shape[1])
        # A NaN pixel never supports anybody: it would poison all around it.
        neighbors = probabilities.sum(dim=1).isfinite() if self.options.ignored_neighbors else usable
        refined = refine(
            probabilities,
            self.class_prior,
            valid=neighbors,
            neighborhood=self.options.neighborhood,
            strongest=self.options.strongest,
            beta=self.options.beta,
        )
        before, after = self.sureness(probabilities), self.sureness(refined)
        threshold = self.sureness_threshold(before, usable, inputs.progress)
        reliable = usable & (after > threshold.view(-1, 1, 1))
        maps = {self.options.score: self.sign * before, f"refined_{self.options.score}": self.sign * after}
        scores = {name: torch.where(usable, score, 0.0) for name, score in maps.items()}
        return PixelSelection(probabilities.argmax(dim=1), reliable.float(), reliable, scores)

    def sureness(self, probabilities: Tensor) -> Tensor:
        return self.sign * _SCORES[self.options.score](probabilities)

    def _check_prior(self, num_classes: int) -> None:
        if self.class_prior is not None and self.class_prior.shape[0] != num_classes:
            raise ValueError(
                f"class_prior has {self.class_prior.shape[0]} classes but the probabilities have {num_classes}; "
                "count it on labels of this class set with count_class_prior"
            )


def build(
    threshold: float | None = None,
    class_prior: Sequence[float] | None = None,
    joint: Literal["prior", "product"] | None = None,
    score: Literal["margin", "confidence", "entropy"] = "margin",
    drop_share: float = 0.4,
    percentile_over: PercentileOver = "image",
    neighborhood: Literal[4, 8] = 4,
    strongest: int = 1,
    beta: float = NEIGHBOR_STRENGTH,
    ignored_neighbors: bool = False,
) -> S4MC:
    """S4MC; see `S4MCOptions` for the options that are not listed here.

    Args:
        threshold: frozen threshold in units of the score, needed for export. None: percentile by training progress.
        class_prior: chance per class that a neighbor has the same class, from `count_class_prior`.
        joint: "prior" as in the released code, needs class_prior; "product" as printed in the paper, takes none.
            None: "prior" with a class_prior, "product" without.

    Raises:
        ValueError: an option is out of range, or joint and class_prior do not fit.
    """
    if joint is not None:
        checked_choice("joint", joint, ("prior", "product"))
    if joint == "prior" and class_prior is None:
        raise ValueError("joint='prior' needs class_prior; count it with count_class_prior or use joint='product'")
    if joint == "product" and class_prior is not None:
        raise ValueError("joint='product' does not use class_prior; leave one of the two out")
    prior = None if class_prior is None else [checked_number("class_prior", float(p), 0.0, 1.0) for p in class_prior]
    options = S4MCOptions(
        score=score,
        drop_share=drop_share,
        percentile_over=percentile_over,
        neighborhood=neighborhood,
        strongest=strongest,
        beta=beta,
        ignored_neighbors=ignored_neighbors,
    )
    method = S4MC(options, None if prior is None else torch.tensor(prior))
    if threshold is not None:
        method.freeze_threshold(threshold)
    return method


def count_class_prior(label: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Chance that a 4-neighbor of a pixel has the pixel's class, counted over all pairs of valid neighbors.

    A class without any pair gets the chance over all classes together, so that a rare class missing from the few
    labels is refined like the others.

    Args:
        label: (N, H, W) int64.
        valid: (N, H, W) bool.
        num_classes: length of the result.

    Returns:
        (C,) float32 in [0, 1].

    Raises:
        ValueError: no two neighboring pixels are valid, or a valid class id is outside 0 .. num_classes - 1.
    """
    if bool((valid & ((label < 0) | (label >= num_classes))).any()):
        raise ValueError(f"labels hold class ids outside 0 to {num_classes - 1}; mark such pixels as not valid")
    pairs = torch.zeros(num_classes, dtype=torch.int64, device=label.device)
    equal = torch.zeros_like(pairs)
    for dim in (1, 2):
        size = label.shape[dim] - 1
        here, there = label.narrow(dim, 0, size), label.narrow(dim, 1, size)
        both = valid.narrow(dim, 0, size) & valid.narrow(dim, 1, size)
        for classes in (here[both], there[both]):  # each pair counts once from either side
            pairs += torch.bincount(classes, minlength=num_classes)
        equal += 2 * torch.bincount(here[both & (here == there)], minlength=num_classes)
    if not bool(pairs.any()):
        raise ValueError("no two neighboring pixels are valid, so no class prior can be counted; give labeled masks")
    pooled = equal.sum() / pairs.sum()
    return torch.where(pairs > 0, equal / pairs.clamp_min(1), pooled).float()
