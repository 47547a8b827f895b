# SPDX-License-Identifier: Apache-2.0
"""Strict YAML to frozen dataclasses: an unknown, missing or mistyped key is an error with its path.

The dataclass is the only declaration of a format. ``True`` does not pass for an integer; an integer
passes for a float field. Checks beyond types live in each dataclass's ``__post_init__``.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from wam_ros.core.errors import ConfigError

T = TypeVar("T")


def load_yaml(path: Path, cls: type[T]) -> T:
    """Read a YAML file into a dataclass.

    Raises:
        ConfigError: unreadable, not YAML, or not of the declared form; starts with the file.
    """
    return from_data(cls, read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Return the data of a YAML file.

    Raises:
        ConfigError: unreadable or not YAML; starts with the file.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({' '.join(str(error).split())}); correct the file") from error


def from_data(cls: type[T], data: object, place: str = "") -> T:
    """Build a dataclass from parsed data; ``place`` starts every error message."""
    value = _convert(data, cls, "$", place)
    return typing.cast("T", value)


def to_data(value: object) -> Any:
    """Return plain data that :func:`from_data` reads back to an equal value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_data(v) for v in value]
    if isinstance(value, dict):
        return {k: to_data(v) for k, v in value.items()}
    return value


def _fail(place: str, path: str, expected: object, got: object, remedy: str) -> ConfigError:
    where = f"{place}: " if place else ""
    return ConfigError(f"{where}{path}: expected {expected}, got {got}; {remedy}")


def _convert(data: Any, hint: Any, path: str, place: str) -> Any:
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _convert_dataclass(data, hint, path, place)
    if origin is typing.Literal:
        if data in args and type(data) in {type(a) for a in args}:
            return data
        raise _fail(place, path, f"one of {', '.join(map(str, args))}", repr(data), "choose one of them")
    if origin in (typing.Union, types.UnionType):
        return _convert_union(data, args, path, place)
    if origin is tuple:
        return _convert_tuple(data, args, path, place)
    if origin is dict:
        if not isinstance(data, dict):
            raise _fail(place, path, "a mapping", repr(data), "write 'key: value' lines")
        return {_convert(k, args[0], path, place): _convert(v, args[1], f"{path}.{k}", place) for k, v in data.items()}
    if hint is float and type(data) is int:
        return float(data)
    if type(data) is hint:
        return data
    raise _fail(place, path, hint.__name__, repr(data), "correct the value")


def _convert_dataclass(data: Any, cls: Any, path: str, place: str) -> Any:
    if not isinstance(data, dict):
        raise _fail(place, path, f"a mapping with the keys of {cls.__name__}", repr(data), "write 'key: value' lines")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in data:
        if key not in fields:
            raise _fail(
                place,
                f"{path}.{key}",
                f"one of {', '.join(sorted(fields))}",
                "an unknown key",
                "correct its name or remove it",
            )
    for name, f in fields.items():
        if name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise _fail(place, f"{path}.{name}", "a value", "nothing", "add the key")
    values = {name: _convert(data[name], hints[name], f"{path}.{name}", place) for name in fields if name in data}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(
            f"{place}: {path}: {error}" if place and not str(error).startswith(place) else str(error)
        ) from error


def _convert_union(data: Any, args: tuple[Any, ...], path: str, place: str) -> Any:
    for arg in args:
        if arg is type(data) or (arg is type(None) and data is None):
            return data
    for arg in args:
        if arg is type(None):
            continue
        try:
            return _convert(data, arg, path, place)
        except ConfigError:
            continue
    names = ", ".join(getattr(a, "__name__", str(a)) for a in args)
    raise _fail(place, path, f"one of {names}", repr(data), "correct the value")


def _convert_tuple(data: Any, args: tuple[Any, ...], path: str, place: str) -> Any:
    if not isinstance(data, list | tuple):
        raise _fail(place, path, "a list", repr(data), "write [a, b, ...]")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(v, args[0], f"{path}[{i}]", place) for i, v in enumerate(data))
    if len(data) != len(args):
        raise _fail(place, path, f"{len(args)} items", len(data), "give exactly that many")
    return tuple(_convert(v, a, f"{path}[{i}]", place) for i, (v, a) in enumerate(zip(data, args, strict=True)))
