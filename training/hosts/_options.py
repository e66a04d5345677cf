"""Checks of host options that several hosts share; each error names the key of the configuration."""

import math
from collections.abc import Sequence


def number_option(option: str, value: object, lowest: float, highest: float = math.inf) -> float:
    """`value` as a float within [lowest, highest].

    Raises:
        ValueError: not a finite number, or outside the range.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not lowest <= value <= highest:  # type: ignore[arg-type, operator]
        upper = "" if highest == math.inf else f" to {highest:g}"
        raise ValueError(f"host.options.{option}: must be a number from {lowest:g}{upper}, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def count_option(option: str, value: object, lowest: int) -> int:
    """`value` as a whole number of at least `lowest`.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(f"host.options.{option}: must be a whole number of at least {lowest}, got {value!r}")
    return value


def decay_option(option: str, value: object) -> float:
    """`value` as the decay of a moving average, in [0, 1).

    Raises:
        ValueError: anything else; at 1 the average would never move.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"host.options.{option}: must be a number from 0 up to, not including, 1, got {value!r}")
    return float(value)


def choice_option(option: str, value: object, choices: Sequence[str]) -> None:
    """Accept only one of `choices`.

    Raises:
        ValueError: any other value.
    """
    if value not in choices:
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ValueError(f"host.options.{option}: choose {listed}, got {value!r}")
