"""What every configuration section is made of: fields that know what they allow and refuse anything else when made."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints


def knob(
    default: Any,  # noqa: ANN401 - stands where a dataclass field's default stands
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    names: Callable[[], tuple[str, ...]] | None = None,
) -> Any:  # noqa: ANN401
    """A field with the values it allows: from `minimum` to `maximum` (each item of a tuple), or one of `names()`."""
    metadata = {"minimum": minimum, "maximum": maximum, "names": names}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Base of all configuration sections: checks each field's type and range when the section is made.

    Raises:
        ValueError: names the dotted key, the value and what is allowed.
    """

    section: ClassVar[str] = ""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            key = f"{self.section}.{item.name}" if self.section else item.name
            _check_type(key, getattr(self, item.name), hints[item.name])
            _check_range(key, getattr(self, item.name), dict(item.metadata))


def describe_type(hint: Any) -> str:  # noqa: ANN401 - any type hint
    """A type hint in words, for error messages."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        items = get_args(hint)
        return f"{len(items)} values of type {describe_type(items[0])}, for example [{', '.join(['1'] * len(items))}]"
    if get_origin(hint) is dict:
        return "an object of names and values"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _check_type(key: str, value: Any, hint: Any) -> None:  # noqa: ANN401
    origin, items = get_origin(hint), get_args(hint)
    if origin is Literal:
        fits = value in items
    elif origin is tuple:
        fits = isinstance(value, tuple) and len(value) == len(items) and all(_is(v, items[0]) for v in value)
    elif origin is dict:
        fits = isinstance(value, dict)
    else:
        fits = _is(value, hint)
    if not fits:
        raise ValueError(f"{key}: expected {describe_type(hint)}, got {value!r}")


def _is(value: Any, kind: type) -> bool:  # noqa: ANN401
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _check_range(key: str, value: Any, limits: dict[str, Any]) -> None:  # noqa: ANN401
    low, high, names = limits.get("minimum"), limits.get("maximum"), limits.get("names")
    if names is not None and value not in names():
        raise ValueError(f"{key}: unknown name {value!r}; choose one of {', '.join(names())}")
    numbers = value if isinstance(value, tuple) else (value,)
    too_low = low is not None and any(not number >= low for number in numbers)  # `not >=` refuses NaN as well
    too_high = high is not None and any(not number <= high for number in numbers)
    if too_low or too_high:
        bounds = " and ".join(
            f"at {word} {bound}" for word, bound in (("least", low), ("most", high)) if bound is not None
        )
        raise ValueError(f"{key}: must be {bounds}, got {value!r}")


def check_order(key: str, limits: tuple[float, float]) -> None:
    """Refuse a range whose first value exceeds the second.

    Raises:
        ValueError: names the dotted key.
    """
    low, high = limits
    if low > high:
        raise ValueError(f"{key}: the first value must not exceed the second, got {[low, high]}")
