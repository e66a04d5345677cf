"""Finds backbones and hosts by name: a file in the folder is all it takes to add one."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from training.step import Host

_HERE = Path(__file__).parent


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_HERE / folder).glob("*.py") if not path.stem.startswith("_")))


def backbone_names() -> tuple[str, ...]:
    """Every file in training/backbones, sorted."""
    return _names("backbones")


def host_names() -> tuple[str, ...]:
    """Every file in training/hosts, sorted."""
    return _names("hosts")


def _module(folder: str, name: str, noun: str) -> ModuleType:
    if name not in _names(folder):
        raise ValueError(f"unknown {noun} {name!r}; choose one of {', '.join(_names(folder))}")
    return importlib.import_module(f"training.{folder}.{name}")


def backbone_module(name: str) -> ModuleType:
    """The module that builds one encoder-decoder pair.

    Raises:
        ValueError: no such file; lists the names there are.
    """
    return _module("backbones", name, "backbone")


def build_host(name: str, **options: Any) -> "Host":  # noqa: ANN401 - each host checks its own options
    """A host ready to compute one step's losses.

    Raises:
        ValueError: unknown host, unknown option or a value the host refuses; lists what is allowed.
    """
    module = _module("hosts", name, "host")
    refuse_unknown_options("host", "host", name, module, options)
    return cast("Host", module.build(**options))


def refuse_unknown_options(section: str, noun: str, name: str, module: ModuleType, options: dict[str, Any]) -> None:
    """Say which option of a host or a backbone does not exist, and which do.

    Raises:
        ValueError: `module.build` has no such keyword; names the key of the configuration.
    """
    decided_elsewhere = ("num_classes", "pretrained")
    allowed = [key for key in inspect.signature(module.build).parameters if key not in decided_elsewhere]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"{section}.options: {noun} {name!r} has no option {', '.join(map(repr, unknown))}; "
            f"it takes {', '.join(allowed) or 'none'}"
        )
