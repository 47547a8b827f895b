# SPDX-License-Identifier: Apache-2.0
"""The xacro arguments that put frames where a calibration has found them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import invert, rpy
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import find
from wam_ros.kinematics.description import urdf_text
from wam_ros.kinematics.forward import Kinematics


def urdf_arguments(robot: Robot, placed: Mapping[tuple[str, str], FloatArray]) -> dict[str, str]:
    """Return ``FRAME_xyz`` [m] and ``FRAME_rpy`` [rad] of every frame, in the link on which the URDF hangs it.

    Args:
        robot: whose xacro declares these arguments; frames that are hung anew do not count.
        placed: (parent, child) to ``T_parent_child``; the parent any link that is fixed to the URDF's own.

    Raises:
        ConfigError: the xacro has no such arguments, or something moves between the two parents.
    """
    robot = replace(robot, frames={})
    declared, parents = find(f"urdf/{robot.urdf}").read_text(encoding="utf-8"), _parents(urdf_text(robot))
    kinematics = Kinematics(robot)
    arguments: dict[str, str] = {}
    for (parent, child), T_parent_child in placed.items():
        if f'name="{child}_xyz"' not in declared or f'name="{child}_rpy"' not in declared:
            expected = f"arguments {child}_xyz and {child}_rpy"
            raise ConfigError(mismatch(robot.urdf, expected, "none", "declare them, with the fixed joint's origin"))
        if not kinematics.fixed(parent, parents[child]):
            raise ConfigError(mismatch(f"{child}: parent", f"a link fixed to {parents[child]}", parent, "correct it"))
        home = robot.ready_position()
        T = invert(kinematics.pose(home, parents[child])) @ kinematics.pose(home, parent) @ T_parent_child
        arguments |= {f"{child}_xyz": _numbers(T[:3, 3]), f"{child}_rpy": _numbers(rpy(T[:3, :3]))}
    return arguments


def _parents(text: str) -> dict[str, str]:
    """Return each link of a URDF to the one it hangs on."""
    joints = ((j.find("child"), j.find("parent")) for j in ElementTree.fromstring(text).iter("joint"))
    return {c.get("link", ""): p.get("link", "") for c, p in joints if c is not None and p is not None}


def _numbers(values: FloatArray) -> str:
    return " ".join(f"{v:.9f}" for v in values)
