# SPDX-License-Identifier: Apache-2.0
"""From a robot's xacro to its URDF text and its pinocchio model, with everything locked that no policy moves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import ConfigError, MissingDependencyError, mismatch
from wam_ros.core.place import Place
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import rpy
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import find


def urdf_text(robot: Robot) -> str:
    """Return the robot's description as URDF, rendered with its xacro arguments, calibrated frames in their places.

    Raises:
        ConfigError: the file is missing or is not valid xacro, or has no such frames.
        MissingDependencyError: xacro is not installed.
    """
    text = _render(str(find(f"urdf/{robot.urdf}")), tuple(sorted(robot.urdf_args.items())))
    return _rehung(text, tuple(sorted(robot.frames.items()))) if robot.frames else text


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


@lru_cache(maxsize=8)
def _rehung(text: str, frames: tuple[tuple[str, Place], ...]) -> str:
    """Hang frames on other links, at other places: their fixed joints get new parents and origins."""
    root = ElementTree.fromstring(text)
    joints = {_link(joint, "child"): joint for joint in root.iter("joint")}
    for frame, place in frames:
        joint = joints.get(frame)
        if joint is None or joint.get("type") != "fixed":
            got = "no such frame" if joint is None else f"a {joint.get('type')} joint"
            raise ConfigError(mismatch(f"frames: {frame}", "a frame on a fixed joint of the URDF", got, "correct it"))
        if place.parent == frame or frame in _above(place.parent, joints):
            raise ConfigError(
                mismatch(f"frames: {frame}: parent", "a link that does not hang on it", place.parent, "correct it")
            )
        for part in joint.findall("parent") + joint.findall("origin"):
            joint.remove(part)
        turn = rpy(Rotation.from_quat(place.quaternion_xyzw).as_matrix())
        xyz, angles = (" ".join(f"{v:.12g}" for v in values) for values in (place.xyz_m, turn))
        ElementTree.SubElement(joint, "parent", link=place.parent)
        ElementTree.SubElement(joint, "origin", xyz=xyz, rpy=angles)
    return ElementTree.tostring(root, encoding="unicode")


def _above(link: str, joints: Mapping[str, ElementTree.Element]) -> list[str]:
    """The links on which a link hangs, up to the root."""
    found = []
    while link in joints:
        link = _link(joints[link], "parent")
        found.append(link)
    return found


def _link(joint: ElementTree.Element, what: str) -> str:
    part = joint.find(what)
    return "" if part is None else part.get("link", "")


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


def set_position(robot: Robot, model: pin.Model, q: NDArray[np.float64], position: FloatArray) -> None:
    """Write (J,) positions in robot order into a configuration of the full model, openings as places of the fingers."""
    values = dict(zip(robot.joint_names, position, strict=True))
    for arm in robot.arms:
        opening = values.pop(arm.gripper.joint)
        values |= {finger: opening * opened for finger, opened in arm.gripper.fingers.items()}
    set_joints(model, q, values)


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
