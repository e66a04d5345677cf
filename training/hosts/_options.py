"""The one check of host options that reliability/checks.py does not have; hosts call the others with their key."""


def decay_option(option: str, value: object) -> float:
    """`value` as the decay of a moving average, in [0, 1).

    Args:
        option: key of the configuration without its section, host.options.
        value: as configured.

    Raises:
        ValueError: anything else; at 1 the average would never move.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"option 'host.options.{option}' must be a number of at least 0 and below 1 but is {value!r}")
    return float(value)
