"""What every method checks before it starts: the tensors it was given and the options it was built with."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reliability.selection import SelectionInputs


def usable_inputs(inputs: SelectionInputs) -> tuple[Tensor, Tensor]:
    """Probabilities in float32 and the pixels a method may use.

    Half precision rounds a confidence to 1 above 0.9998 (bfloat16: 0.998), so selection never runs in it; the cast
    cannot give back what was lost, it only keeps the sums right.

    Returns:
        probabilities (N, C, H, W) float32; usable (N, H, W) bool: `valid`, and finite in every class. A NaN pixel is
        thereby treated as not valid instead of poisoning the statistics of its image.

    Raises:
        ValueError: wrong number of dimensions, fewer than two classes, or `valid` is not a bool map of the same size.
    """
    probabilities, valid = inputs.probabilities, inputs.valid
    if probabilities.ndim != 4 or not probabilities.is_floating_point():
        raise ValueError(
            f"probabilities must be floating point (N, C, H, W) but are {probabilities.dtype} "
            f"{tuple(probabilities.shape)}; add a batch dimension to a single image"
        )
    check_two_classes(probabilities)
    if valid.dtype != torch.bool:
        raise ValueError(f"valid must be bool but is {valid.dtype}; use label != ignore_index")
    size = (probabilities.shape[0], probabilities.shape[2], probabilities.shape[3])
    if valid.ndim != 3 or any(got != want for got, want in zip(valid.shape, size, strict=True)):
        raise ValueError(f"valid must have shape {size} like the probabilities but has {tuple(valid.shape)}")
    probabilities = probabilities.float()
    return probabilities, valid & torch.isfinite(probabilities.sum(dim=1))


def check_two_classes(probabilities: Tensor) -> None:
    """Refuse a single class: its probability is always 1 and there is no runner-up to compare it with.

    Raises:
        ValueError: fewer than two classes in dimension 1.
    """
    if probabilities.shape[1] < 2:
        raise ValueError(
            f"reliability needs at least 2 classes but the probabilities have {probabilities.shape[1]}; "
            "for one foreground class give background and foreground as two channels"
        )


def checked_number(option: str, value: object, lowest: float, highest: float = math.inf) -> float:
    """`value` as a float within [lowest, highest].

    Raises:
        ValueError: not a finite number, or outside the range; names the option.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not lowest <= value <= highest:  # type: ignore[arg-type, operator]
        upper = "" if highest == math.inf else f" and at most {highest:g}"
        raise ValueError(f"option '{option}' must be a number of at least {lowest:g}{upper} but is {value!r}")
    return float(value)  # type: ignore[arg-type]


def checked_count(option: str, value: object, lowest: int, highest: int | None = None) -> int:
    """`value` as a whole number within [lowest, highest].

    Raises:
        ValueError: not a whole number, or outside the range; names the option.
    """
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or value < lowest or (highest is not None and value > highest):  # type: ignore[operator]
        upper = "" if highest is None else f" and at most {highest}"
        raise ValueError(f"option '{option}' must be a whole number of at least {lowest}{upper} but is {value!r}")
    return value  # type: ignore[return-value]


def checked_choice(option: str, value: object, choices: Sequence[object]) -> None:
    """Accept only one of `choices`, without taking 1 for True.

    Raises:
        ValueError: any other value; names the option and what it may be.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"option '{option}' must be one of {allowed} but is {value!r}")
