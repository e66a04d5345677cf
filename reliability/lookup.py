"""Selection methods by name. The folder methods/ is the list: a new file is a new method, nothing is registered."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from reliability.selection import SelectionMethod


def method_names() -> tuple[str, ...]:
    """Every name that `build_method` accepts, in alphabetical order."""
    files = (Path(__file__).parent / "methods").glob("*.py")
    return tuple(sorted(file.stem for file in files if not file.stem.startswith("_")))


def method_options(name: str) -> dict[str, Any]:
    """The options of one method with their defaults.

    Raises:
        ValueError: unknown method; lists the known ones.
    """
    if name not in method_names():
        raise ValueError(f"unknown selection method '{name}'; choose one of {', '.join(method_names())}")
    parameters = inspect.signature(importlib.import_module(f"reliability.methods.{name}").build).parameters
    return {option: parameter.default for option, parameter in parameters.items()}


def build_method(name: str, **options: Any) -> SelectionMethod:  # noqa: ANN401 - each method checks its own options
    """A selection method in evaluation mode.

    Raises:
        ValueError: unknown method or option, or an option's value is out of range; says what is allowed.
    """
    defaults = method_options(name)
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        allowed = ", ".join(defaults) or "none"
        raise ValueError(f"selection method '{name}' has no option '{unknown[0]}'; its options are {allowed}")
    method: SelectionMethod = importlib.import_module(f"reliability.methods.{name}").build(**options)
    return method.eval()
