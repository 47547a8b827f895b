# SPDX-License-Identifier: Apache-2.0
"""Whether a dataset is whole, of the robot at hand, in its order of joints, and has what is wanted of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wam_ros.core.episode import ACTION, STATE
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.declaration import Declaration


def require_whole(root: Path) -> None:
    """Refuse a dataset in which anything is missing, cut off or wrong; not every picture is decoded.

    Raises:
        DatasetError: naming the first problem.
    """
    problems = examine(root).problems
    if problems:
        others = f" ({len(problems) - 1} more: wam check dataset {root})" if problems[1:] else ""
        raise DatasetError(f"{problems[0]}{others}")


def require_robot(root: Path | str, said: Declaration, robot: Robot, remedy: str) -> None:
    """Refuse a dataset of another robot or order of joints.

    Raises:
        DatasetError: naming the first difference and the remedy.
    """
    pairs = (
        ("robot", robot.name, said.robot),
        ("joints of the state", robot.joint_names, said.layout.column(STATE).names),
        ("joints of the action", robot.joint_names, said.layout.column(ACTION).names),
    )
    for what, wanted, got in pairs:
        if wanted != got:
            raise DatasetError(mismatch(f"{root}: {what}", wanted, got, remedy))


def require_views(root: Path | str, said: Declaration, rate_hz: float, cameras: Iterable[str], remedy: str) -> None:
    """Refuse a dataset of another rate, or without one of these cameras.

    Raises:
        DatasetError: naming the first difference and the remedy.
    """
    if said.layout.fps != rate_hz:
        raise DatasetError(mismatch(f"{root}: rate [fps]", rate_hz, float(said.layout.fps), remedy))
    found = {stream.camera for stream in said.layout.features if stream.kind == "color"}
    for camera in cameras:
        if camera not in found:
            raise DatasetError(mismatch(f"{root}: cameras", f"one named {camera}", sorted(found), remedy))
