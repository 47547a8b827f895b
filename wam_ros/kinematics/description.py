# SPDX-License-Identifier: Apache-2.0
"""From a robot's xacro to its URDF text and its pinocchio model, with everything locked that no policy moves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from xml.parsers.expat import ExpatError

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from wam_ros.core.errors import ConfigError, MissingDependencyError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.files.assets import find


def urdf_text(robot: Robot) -> str:
    """Return the robot's description as URDF, rendered with its xacro arguments.

    Raises:
        ConfigError: the file is missing or is not valid xacro.
        MissingDependencyError: xacro is not installed.
    """
    return _render(str(find(f"urdf/{robot.urdf}")), tuple(sorted(robot.urdf_args.items())))


@lru_cache(maxsize=8)
def _render(path: str, arguments: tuple[tuple[str, str], ...]) -> str:
    try:
        import xacro
    except ImportError as error:
        raise MissingDependencyError(
            "xacro is needed to read robot descriptions; install it: pip install xacro"
        ) from error
    try:
        return str(xacro.process_file(path, mappings=dict(arguments)).toxml())
    except (xacro.XacroException, ExpatError) as error:
        raise ConfigError(f"{path}: is not valid xacro ({' '.join(str(error).split())}); correct the file") from error


def full_model(robot: Robot) -> pin.Model:
    """Return the model of the whole URDF, lift, wheels and fingers included.

    Raises:
        ConfigError: the URDF cannot be read, or lacks a joint or frame that the robot YAML names.
    """
    try:
        model = pin.buildModelFromXML(urdf_text(robot))
    except ValueError as error:
        raise ConfigError(f"{robot.urdf}: is not a valid URDF ({error}); correct the file") from error
    _check_names(robot, model)
    return model


def locked_position(robot: Robot, model: pin.Model) -> NDArray[np.float64]:
    """(nq,) configuration of the full model at which everything but the arms is locked: fingers wide open."""
    q: NDArray[np.float64] = pin.neutral(model)
    opened = {joint: value for arm in robot.arms for joint, value in arm.gripper.fingers.items()}
    set_joints(model, q, {**robot.fixed_joints_rad, **opened})
    return q


def set_joints(model: pin.Model, q: NDArray[np.float64], values: Mapping[str, float]) -> None:
    """Write named joint positions into a configuration of the model, in place."""
    for joint, value in values.items():
        q[model.joints[model.getJointId(joint)].idx_q] = value


def locked_joints(robot: Robot, model: pin.Model) -> list[int]:
    """Return the ids of the joints that are not arm joints."""
    arms = {joint for arm in robot.arms for joint in arm.joints}
    return [index for index, name in enumerate(model.names) if index > 0 and name not in arms]


def _check_names(robot: Robot, model: pin.Model) -> None:
    fingers = [joint for arm in robot.arms for joint in arm.gripper.fingers]
    for joint in (*(j for arm in robot.arms for j in arm.joints), *robot.fixed_joints_rad, *fingers):
        if not model.existJointName(joint):
            raise ConfigError(mismatch(f"{robot.urdf}: joint", list(model.names)[1:], joint, "correct the robot YAML"))
    frames = [frame for arm in robot.arms for frame in (arm.base_frame, arm.tool_frame)]
    for frame in (robot.base_frame, *frames, *(camera.frame for camera in robot.cameras)):
        if not model.existFrame(frame):
            raise ConfigError(
                mismatch(f"{robot.urdf}: frame", [f.name for f in model.frames], frame, "correct the robot YAML")
            )
