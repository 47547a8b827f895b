# SPDX-License-Identifier: Apache-2.0
"""``--set KEY=VALUE``: run with a robot, task, policy or node that differs in a few values.

``task.method=c2``, ``policy.options.steps=4``, ``robot.cameras.0.rate_hz=30`` and ``robot.cameras.all.rate_hz=15`` change a
description; the changed YAML lies in the run folder, so what ran can be read there. ``motion.heartbeat_s=0.2`` is a parameter
of the node ``motion``. Values are written as in YAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.files.load import from_data, to_data
from wam_ros.graph import Plan, RunOptions, Value

KINDS = ("robot", "task", "policy")
#: Stands for each entry of a list.
ALL = "all"
T = TypeVar("T")


@dataclass(frozen=True)
class Assignment:
    """``place.path=value``: the place is a kind of description or a node."""

    place: str
    path: tuple[str, ...]
    value: Any


def parse(text: str) -> Assignment:
    """Read ``KEY=VALUE``.

    Raises:
        ConfigError: it is not of that form.
    """
    key, equals, value = text.partition("=")
    place, *path = key.split(".")
    if not equals or not path or not all((place, *path)):
        raise ConfigError(mismatch("--set", "PLACE.KEY=VALUE", repr(text), "write it as in task.method=c2"))
    try:
        return Assignment(place, tuple(path), yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML; put it in quotes") from error


def node_parameters(assignments: Sequence[Assignment]) -> tuple[tuple[str, str, Value], ...]:
    """Return the assignments that are for nodes, as :attr:`RunOptions.params`.

    Raises:
        ConfigError: a value that no parameter can have.
    """
    found = [a for a in assignments if a.place not in KINDS]
    for a in found:
        if len(a.path) != 1 or type(a.value) not in (str, int, float, bool):
            shown = f"{'.'.join(a.path)}={a.value!r}"
            raise ConfigError(mismatch(f"--set {a.place}", "PARAMETER=number, word or true/false", shown, "correct it"))
    return tuple((a.place, a.path[0], a.value) for a in found)


def apply(plan: Plan, assignments: Sequence[Assignment], folder: Path) -> RunOptions:
    """Write the changed descriptions to ``folder`` and return options that name them.

    Raises:
        ConfigError: a key or value that the description cannot have.
    """
    changed = {kind: [a for a in assignments if a.place == kind] for kind in KINDS}
    # All are checked before the first is written.
    texts = {kind: _changed_yaml(getattr(plan, kind), found) for kind, found in changed.items() if found}
    for kind, text in texts.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{kind}.yaml").write_text(text, encoding="utf-8")
    named = {kind: getattr(plan.options, kind) for kind in KINDS} | {k: str(folder / f"{k}.yaml") for k in texts}
    return replace(plan.options, robot=named["robot"], task=named["task"], policy=named["policy"])


def with_values(description: T, assignments: Sequence[Assignment]) -> T:
    """Return a description with other values, checked as strictly as a file.

    Raises:
        ConfigError: a key or value that it cannot have.
    """
    if not assignments:
        return description
    data = to_data(description)
    for a in assignments:
        _assign(data, a.path, a)
    return from_data(type(description), data, f"--set {assignments[0].place}")


def _changed_yaml(description: object, assignments: Sequence[Assignment]) -> str:
    return yaml.safe_dump(to_data(with_values(description, assignments)), sort_keys=False, allow_unicode=True)


def _assign(data: Any, path: Sequence[str], assignment: Assignment) -> None:
    step, *further = path
    everyone = isinstance(data, list) and step == ALL
    for key in range(len(data)) if everyone else [_key(data, step, assignment, not further)]:
        if further:
            _assign(data[key], further, assignment)
        else:
            data[key] = assignment.value


def _key(data: Any, step: str, assignment: Assignment, new: bool) -> str | int:
    """Return the key or index of a step; only a mapping can get a new one."""
    if isinstance(data, dict) and (new or step in data):
        return step
    if isinstance(data, list) and step.isdecimal() and int(step) < len(data):
        return int(step)
    where = f"--set {assignment.place}.{'.'.join(assignment.path)}"
    raise ConfigError(mismatch(where, _keys(data), step, "correct the key"))


def _keys(data: Any) -> str:
    if isinstance(data, dict):
        return ", ".join(data)
    return f"0..{len(data) - 1}, {ALL}" if isinstance(data, list) else "no keys"
