# SPDX-License-Identifier: Apache-2.0
"""``like: NAME`` in a description: everything the other one says, except what is said here.

Mappings are merged key by key, lists of named things (arms, cameras, stages) name by name; anything else is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wam_ros.core.errors import ConfigError
from wam_ros.files.load import read_yaml

LIKE = "like"


def read_description(path: Path, find: Callable[[str], Path], below: tuple[Path, ...] = ()) -> Any:
    """Return the data of a file, with what it takes over from others.

    Args:
        path: the file.
        find: returns the file of a name.
        below: files that take over from this one.

    Raises:
        ConfigError: unreadable, not YAML, or a file that takes over from itself.
    """
    data = read_yaml(path)
    if not isinstance(data, dict) or LIKE not in data:
        return data
    if path in below:
        raise ConfigError(f"{path}: $.{LIKE}: takes over from itself; name another description")
    changes = {key: value for key, value in data.items() if key != LIKE}
    return merged(read_description(find(str(data[LIKE])), find, (*below, path)), changes)


def merged(base: Any, changes: Any) -> Any:
    """Return ``base`` with ``changes``; neither is altered."""
    if isinstance(base, dict) and isinstance(changes, dict):
        return {**base, **{k: merged(base[k], v) if k in base else v for k, v in changes.items()}}
    if _named(base) and _named(changes):
        new = {item["name"]: item for item in changes}
        kept = [merged(item, new.pop(item["name"], {})) for item in base]
        return [*kept, *new.values()]
    return changes


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)
