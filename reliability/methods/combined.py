"""Several methods at once: refined probabilities go into each part, and a pixel counts as far as all parts let it.

Two families of methods complement each other. Some judge the distribution of a pixel (CSL, thresholds), others ask for
evidence outside of it (neighbors, prototypes, boxes). The chain is: refinement, selection by each part, one weight.

The product of the weights is Pixelsieve's own rule; no paper publishes numbers for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from reliability.checks import checked_choice, checked_count, checked_number, usable_inputs
from reliability.lookup import build_method
from reliability.scores import NEIGHBOR_STRENGTH, probability_of, refine
from reliability.selection import Normalizer, Observation, PixelSelection, SelectionInputs, SelectionMethod

_NAME = __name__.rpartition(".")[2]


class Refinement(nn.Module):
    """S4MC's refinement as a step of its own: probabilities that their neighbors raised, summing to 1 again.

    Refined probabilities are those of "this pixel or a neighbor" and do not sum to 1. CSL's residual variance and the
    entropy assume a sum of 1, so they are divided by it; S4MC's own method compares margins and does not.

    Attributes:
        class_prior: (C,) buffer or None; see `scores.refine`.
    """

    class_prior: Tensor | None

    def __init__(
        self,
        class_prior: Sequence[float] | None = None,
        neighborhood: Literal[4, 8] = 4,
        strongest: int = 1,
        beta: float = NEIGHBOR_STRENGTH,
    ) -> None:
        """Options and defaults as in `scores.refine`.

        Raises:
            ValueError: an option is out of range.
        """
        super().__init__()
        checked_choice("neighborhood", neighborhood, (4, 8))
        self.neighborhood = neighborhood
        self.strongest = checked_count("strongest", strongest, 1, neighborhood)
        self.beta = checked_number("beta", beta, 0.0, 1.0)
        prior = None if class_prior is None else [checked_number("class_prior", p, 0.0, 1.0) for p in class_prior]
        self.register_buffer("class_prior", None if prior is None else torch.tensor(prior))

    def forward(self, probabilities: Tensor, usable: Tensor) -> Tensor:
        """(N, C, H, W) refined; pixels that are not usable support no neighbor."""
        refined = refine(
            probabilities,
            self.class_prior,
            valid=usable,
            neighborhood=self.neighborhood,
            strongest=self.strongest,
            beta=self.beta,
        )
        return refined / refined.sum(dim=1, keepdim=True)


class Combined(SelectionMethod):
    """The product of the weights of all parts; reliable where every part says so.

    - The pseudo-label stays the most probable class before refinement, as in S4MC. Where the neighbors make another
      class the winner the parts judged that class and not the pseudo-label: the pixel gets weight 0.
    - `scores` holds "confidence" before refinement, and the parts' scores; a name that occurs twice is put behind the
      part's own, "csl_confidence".
    - The normalizer is that of the parts where they agree. If they differ and one divides by its weights, so does the
      whole, by the product of the parts' divisor weights: a part that divides by valid pixels gives 1 for each of them,
      one that divides by kept pixels gives 1 for its reliable ones. Otherwise valid pixels are the divisor.

    Attributes:
        parts: the methods by name.
        refinement: None without one.
    """

    def __init__(self, parts: Mapping[str, SelectionMethod], refinement: Refinement | None) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.refinement = refinement
        self.needs = frozenset[str]().union(*(part.needs for part in parts.values()))
        self.learns_from = frozenset[str]().union(*(part.learns_from for part in parts.values()))
        self.normalizer = common_normalizer([part.normalizer for part in parts.values()])

    def prepare(self, num_classes: int, num_features: int) -> None:
        """Prepare each part."""
        for _, part in self._parts():
            part.prepare(num_classes, num_features)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        confidence, label = probabilities.max(dim=1)
        shown, agreed = inputs, usable
        if self.refinement is not None:
            refined = self.refinement(probabilities, usable)
            agreed = usable & (probability_of(refined, label) >= refined.amax(dim=1))
            shown = replace_probabilities(inputs, refined)
        verdicts = {name: part(shown) for name, part in self._parts()}
        weight, reliable = agreed.float(), agreed
        for verdict in verdicts.values():
            weight, reliable = weight * verdict.weight, reliable & verdict.reliable
        return PixelSelection(
            label,
            weight=weight,
            reliable=reliable,
            scores=self._scores(verdicts, torch.where(usable, confidence, 0.0)),
            divisor_weight=self._divisor_weight(verdicts, inputs.valid) if self.normalizer == "weight" else None,
        )

    def _parts(self) -> list[tuple[str, SelectionMethod]]:
        return cast("list[tuple[str, SelectionMethod]]", list(self.parts.items()))

    def _scores(self, verdicts: Mapping[str, PixelSelection], confidence: Tensor) -> dict[str, Tensor]:
        owners = Counter(["confidence", *(score for verdict in verdicts.values() for score in verdict.scores)])
        scores = {"confidence": confidence}
        for name, verdict in verdicts.items():
            scores |= {(f"{name}_{key}" if owners[key] > 1 else key): score for key, score in verdict.scores.items()}
        return scores

    def _divisor_weight(self, verdicts: Mapping[str, PixelSelection], valid: Tensor) -> Tensor:
        """(N, H, W), see the class."""
        product = valid.float()
        for name, part in self._parts():
            verdict = verdicts[name]
            if part.normalizer == "weight":
                product = product * (verdict.weight if verdict.divisor_weight is None else verdict.divisor_weight)
            elif part.normalizer == "kept":
                product = product * verdict.reliable
        return product

    @torch.no_grad()
    def collect(self, observation: Observation) -> dict[str, Tensor]:
        """What each part collects that learns from such a batch, under "<part>/<name>"."""
        kind = "labeled" if observation.is_labeled else "unlabeled"
        rows: dict[str, Tensor] = {}
        for name, part in self._parts():
            if kind in part.learns_from:
                rows |= {f"{name}/{key}": tensor for key, tensor in part.collect(observation).items()}
        return rows

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """Give each part its rows."""
        for name, part in self._parts():
            own = {key.removeprefix(f"{name}/"): tensor for key, tensor in rows.items() if key.startswith(f"{name}/")}
            if own:
                part.absorb(own)


def common_normalizer(normalizers: Sequence[Normalizer]) -> Normalizer:
    """One divisor for the product of several methods, see `Combined`."""
    if len(set(normalizers)) == 1:
        return normalizers[0]
    return "weight" if "weight" in normalizers else "valid"


def replace_probabilities(inputs: SelectionInputs, probabilities: Tensor) -> SelectionInputs:
    """The same inputs with other probabilities. Not `dataclasses.replace`, which the exporter does not follow."""
    return SelectionInputs(probabilities, inputs.valid, inputs.features, inputs.box_class_mask, inputs.progress)


def build(
    parts: Sequence[str] = ("csl",),
    refine: bool = True,
    refine_options: Mapping[str, Any] | None = None,
    part_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Combined:
    """Several methods as one; every option can be written in a configuration file.

    Args:
        parts: names of methods, each once.
        refine: whether the parts see probabilities that neighbors raised (S4MC). A part that refines by itself, as s4mc
            does, would refine twice: turn it off there.
        refine_options: of the refinement: class_prior, neighborhood, strongest, beta; the defaults are S4MC's.
        part_options: options of each part by its name, for example {"s4mc": {"threshold": 0.3}}, which freezes a
            percentile for export.

    Raises:
        ValueError: no part, an unknown or repeated one, `combined` inside itself, or an option that is refused.
    """
    names, options = _checked_names(parts), dict(part_options or {})
    checked_choice("refine", refine, (False, True))
    unused = sorted(set(options) - set(names))
    if unused:
        raise ValueError(f"part_options of combined name '{unused[0]}', which is no part of it; its parts are {names}")
    if refine_options and not refine:
        raise ValueError("refine_options of combined do nothing with refine=false; leave one of the two out")
    refinement = _refinement(dict(refine_options or {})) if refine else None
    return Combined({name: build_method(name, **options.get(name, {})) for name in names}, refinement)


def _checked_names(parts: Sequence[str]) -> list[str]:
    if isinstance(parts, str) or not all(isinstance(name, str) for name in parts) or not parts:
        raise ValueError(f"option 'parts' must be a list of method names, for example [\"csl\"], but is {parts!r}")
    repeated = [name for name, times in Counter(parts).items() if times > 1]
    if repeated:
        raise ValueError(f"option 'parts' of combined names '{repeated[0]}' twice; each method can be a part once")
    if _NAME in parts:
        raise ValueError("combined cannot be a part of itself; list its parts instead")
    return list(parts)


def _refinement(options: dict[str, Any]) -> Refinement:
    allowed = ("class_prior", "neighborhood", "strongest", "beta")
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(f"refine_options of combined have no '{unknown[0]}'; they are {', '.join(allowed)}")
    return Refinement(**options)
