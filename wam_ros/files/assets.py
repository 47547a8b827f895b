# SPDX-License-Identifier: Apache-2.0
"""Find configuration, URDF and other files that travel with the package.

Search order: a given path, the folders of ``WAM_ROS_PATH``, the source checkout, the installed share
folder (wheel or colcon). An editable install places no data files, hence the checkout.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from wam_ros.core.errors import ConfigError
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.files.inherit import read_description
from wam_ros.files.load import from_data

Kind = Literal["robots", "tasks", "policies"]
T = TypeVar("T")


def roots() -> list[Path]:
    """Return the folders that may hold ``config/`` and ``urdf/``, first match wins."""
    given = [Path(p) for p in os.environ.get("WAM_ROS_PATH", "").split(os.pathsep) if p]
    checkout = Path(__file__).resolve().parents[2]
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [*given, checkout, *(p / "share" / "wam_ros" for p in [*prefixes, Path(sys.prefix)])]


def find(relative: str) -> Path:
    """Return the first existing file of that relative name.

    Raises:
        ConfigError: listing where it was looked for.
    """
    for root in roots():
        if (root / relative).exists():
            return root / relative
    looked = ", ".join(str(r) for r in roots())
    raise ConfigError(f"{relative}: not found (looked in {looked}); set WAM_ROS_PATH to the folder that holds it")


def names(kind: Kind) -> list[str]:
    """Return the names of all robots, tasks or policies that can be found."""
    return sorted({p.stem for root in roots() for p in (root / "config" / kind).glob("*.yaml")})


def _config(kind: Kind, name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in names(kind):
        raise ConfigError(
            f"{kind}: expected one of {', '.join(names(kind))}, got {name!r}; choose one, or give the path of a YAML file"
        )
    return find(f"config/{kind}/{name}.yaml")


def _load(kind: Kind, name: str, cls: type[T]) -> T:
    path = _config(kind, name)
    return from_data(cls, read_description(path, lambda other: _config(kind, other)), str(path))


def load_robot(name: str, *, calibrated: bool = True) -> Robot:
    """Return the robot of that name, or of that YAML path, with its calibration file in force if it names one.

    Args:
        name: or path.
        calibrated: False for those who make its calibration: as if it named none.

    Raises:
        ConfigError: a file is missing or wrong.
        CalibrationError: the calibration is of another robot or camera, or was changed.
    """
    robot = _load("robots", name, Robot)
    if not robot.calibration or not calibrated:
        return replace(robot, calibration="") if robot.calibration else robot
    # Late: what can solve a calibration is not loaded for nothing.
    from wam_ros.files.calibrated import calibrated as put_in_force

    return put_in_force(robot, _config("robots", name).parent / robot.calibration)


def load_task(name: str) -> Task:
    """Return the task of that name, or of that YAML path."""
    return _load("tasks", name, Task)


def load_policy(name: str) -> Policy:
    """Return the policy of that name, or of that YAML path."""
    return _load("policies", name, Policy)


def twins() -> list[str]:
    """Return the names of the simulated robots that can be found."""
    return [name for name in names("robots") if load_robot(name).simulated]
