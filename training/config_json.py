"""TrainConfig as JSON, and `key=value` changes typed by the field they name."""

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from datasets.files import write_atomically
from training.config import TrainConfig
from training.config_section import Section, describe_type

_Section = TypeVar("_Section", bound=Section)


def config_to_json(config: Section) -> dict[str, Any]:
    """Nested plain values; `config_from_json` reads them back to an equal configuration."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def config_from_json(content: Any, source: str) -> TrainConfig:  # noqa: ANN401 - checked here
    """A configuration from parsed JSON; absent keys keep their defaults.

    Raises:
        ValueError: unknown key or wrong value; names `source`, the dotted key and what is allowed.
    """
    try:
        return _section_from_json(TrainConfig, content, "")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def read_config(path: Path) -> TrainConfig:
    """Read a config.json.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON or not a configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no configuration at {path}; every run folder holds one as config.json")
    try:
        return config_from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error


def write_config(path: Path, config: TrainConfig) -> None:
    """Write a config.json that `read_config` reads back unchanged."""
    write_atomically(path, (json.dumps(config_to_json(config), indent=2) + "\n").encode())


def apply_changes(config: TrainConfig, changes: Sequence[str]) -> TrainConfig:
    """Apply `section.key=value` texts in order; the field's type decides how the text is read.

    Lists are written `192,256` or `[192, 256]`; options of a host or a method `selection.options.alpha=8`.

    Raises:
        ValueError: no '=', unknown key or wrong value.
    """
    content = config_to_json(config)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set {change}: expected key=value, for example --set optimizer.lr=0.01")
        _put(content, TrainConfig, key.strip(), text.strip())
    return _section_from_json(TrainConfig, content, "")


def _put(content: dict[str, Any], section: type[Section], key: str, text: str, prefix: str = "") -> None:
    head, _, rest = key.partition(".")
    hint = _field_hint(section, head, prefix)
    dotted = prefix + head
    if isinstance(hint, type) and issubclass(hint, Section):
        if not rest:
            raise ValueError(f"{dotted} is a section; set one of its keys, for example {dotted}.{_keys(hint)[0]}")
        _put(content[head], hint, rest, text, dotted + ".")
    elif rest and get_origin(hint) is dict:
        content[head][rest] = _literal(text)
    elif rest:
        raise ValueError(f"{prefix}{key}: {dotted} has no keys below it; it is {describe_type(hint)}")
    else:
        content[head] = _parse(dotted, text, hint)


def _keys(section: type[Section]) -> list[str]:
    return [item.name for item in dataclasses.fields(section)]


def _field_hint(section: type[Section], name: str, prefix: str) -> Any:  # noqa: ANN401 - a type hint
    keys = _keys(section)
    if name not in keys:
        near = difflib.get_close_matches(name, keys, n=1)
        guess = f" Did you mean {prefix}{near[0]}?" if near else ""
        raise ValueError(f"unknown key {prefix + name!r}.{guess} Allowed here: {', '.join(keys)}")
    return get_type_hints(section)[name]


def _literal(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _parse(key: str, text: str, hint: Any) -> Any:  # noqa: ANN401
    if hint is str:
        return text
    if get_origin(hint) is tuple and not text.startswith("["):
        text = f"[{text}]"
    value = _literal(text)
    if hint is bool and not isinstance(value, bool):
        raise ValueError(f"{key}: expected true or false, got {text!r}")
    return value


def _section_from_json(section: type[_Section], content: Any, prefix: str) -> _Section:  # noqa: ANN401
    if not isinstance(content, Mapping):
        raise ValueError(f"{prefix.rstrip('.') or 'the file'}: expected an object of keys and values, got {content!r}")
    values = {}
    for name, value in content.items():
        hint = _field_hint(section, str(name), prefix)
        values[name] = _value_from_json(value, hint, f"{prefix}{name}.")
    return section(**values)


def _value_from_json(value: Any, hint: Any, prefix: str) -> Any:  # noqa: ANN401
    if isinstance(hint, type) and issubclass(hint, Section):
        return _section_from_json(hint, value, prefix)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(float(item) if get_args(hint)[0] is float and type(item) is int else item for item in value)
    if hint is float and type(value) is int:
        return float(value)
    return value


def differing_keys(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Dotted keys whose values differ, in the order of the fields."""
    first, second = _flat(config_to_json(one)), _flat(config_to_json(other))
    return [key for key in {**first, **second} if first.get(key) != second.get(key)]


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value and key not in ("options", "classes"):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
