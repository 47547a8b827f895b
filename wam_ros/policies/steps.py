# SPDX-License-Identifier: Apache-2.0
"""X-WAM's vectors: absolute tool poses with the quaternion's w first as states, steps of tool poses as actions.

A step is ``[dx dy dz, rotation vector, d opening]`` of each arm in the base frame. Steps add up from the measured
pose: positions and openings are added, rotations applied on the left (sharinka0715/X-WAM evaluation). Rows are not
refused when the arm cannot do them: it does what it can, and says how far it stayed behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.card import VectorLayout
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import rigid
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.follow import ToolFollower
from wam_ros.policies.layouts import ActionLayout, StateLayout, layout_of
from wam_ros.policies.poses import Tools

OUT_OF_REACH_M = 0.005
"""Less than this is the solver's business."""


@dataclass(frozen=True)
class Shortfall:
    """What of a chunk's poses the arms could not do: rows clamped and rows slowed, and the largest distance."""

    rows_unreached: int = 0
    rows_slowed: int = 0
    worst_m: float = 0.0


def state_layout_of(declared: VectorLayout, robot: Robot) -> StateLayout:
    """Return the layout of states that a card declares, bound to a robot.

    Raises:
        ConfigError: the number of dimensions is not the kind's.
    """
    if declared.kind != "pose_scalar_first":
        return layout_of(declared, robot)
    _check(declared, 8 * len(robot.arms))
    return PosesScalarFirst(robot)


def action_layout_of(declared: VectorLayout, robot: Robot, rate_hz: float) -> ActionLayout:
    """Return the layout of actions that a card declares, bound to a robot; rows are ``1 / rate_hz`` apart.

    Raises:
        ConfigError: the number of dimensions is not the kind's.
    """
    if declared.kind != "pose_steps":
        return layout_of(declared, robot)
    _check(declared, 7 * len(robot.arms))
    return PoseSteps(robot, rate_hz)


def _check(declared: VectorLayout, expected: int) -> None:
    if len(declared.names) != expected:
        what, got = f"layout {declared.kind}", len(declared.names)
        raise ConfigError(mismatch(what, f"{expected} dimensions", got, "use a checkpoint for as many arms"))


class PosesScalarFirst:
    """States ``[x y z, qw qx qy qz, opening]`` of each arm, w not negative."""

    def __init__(self, robot: Robot) -> None:
        self._tools = Tools(robot)

    def state(self, joints: FloatArray) -> FloatArray:
        """Return the vector (8 for each arm) of measured joints."""
        return np.concatenate(
            [
                [*T[:3, 3], *_scalar_first(T), opening]
                for T, opening in zip(self._tools.poses(joints), self._tools.openings(joints), strict=True)
            ]
        )


class PoseSteps:
    """Actions as steps of the tools.

    Attributes:
        shortfall: of the newest ``positions``.
    """

    def __init__(self, robot: Robot, rate_hz: float) -> None:
        self._tools = Tools(robot)
        self._followers = [ToolFollower(self._tools.kinematics, arm, rate_hz) for arm in robot.arms]
        self.shortfall = Shortfall()

    def positions(self, rows: FloatArray, joints: FloatArray) -> FloatArray:
        """Return joint positions (K, J) of steps (K, 7 for each arm) from the observed joints (J,)."""
        out, unreached, slowed = np.empty((len(rows), len(joints))), [], []
        starts, openings = self._tools.poses(joints), self._tools.openings(joints)
        for a, arm in enumerate(self._tools.slices):
            steps = rows[:, 7 * a : 7 * a + 7]
            followed = self._followers[a].follow(_accumulated(steps, starts[a]), joints[arm][:-1])
            opening = np.clip(openings[a] + np.cumsum(steps[:, 6]), 0.0, 1.0)
            out[:, arm] = np.column_stack((followed.angles_rad, opening))
            unreached.append(followed.unreached_m)
            slowed.append(followed.slowed)
        worst = np.max(unreached, axis=0)
        self.shortfall = Shortfall(
            int((worst > OUT_OF_REACH_M).sum()), int(np.any(slowed, axis=0).sum()), float(worst.max(initial=0.0))
        )
        return out

    def rows(self, positions: FloatArray, joints: FloatArray) -> FloatArray:
        """Return the steps (K, 7 for each arm) that lead along joint positions (K, J)."""
        path = [joints, *positions]
        return np.stack([self._step(a, b) for a, b in zip(path, path[1:], strict=False)])

    def _step(self, before: FloatArray, after: FloatArray) -> FloatArray:
        poses = zip(self._tools.poses(before), self._tools.poses(after), strict=True)
        openings = zip(self._tools.openings(before), self._tools.openings(after), strict=True)
        return np.concatenate(
            [
                [*(b[:3, 3] - a[:3, 3]), *Rotation.from_matrix(b[:3, :3] @ a[:3, :3].T).as_rotvec(), g_b - g_a]
                for (a, b), (g_a, g_b) in zip(poses, openings, strict=True)
            ]
        )


def _accumulated(steps: FloatArray, start: FloatArray) -> list[FloatArray]:
    """Return the poses (4, 4) after each step."""
    poses, turn, point = [], start[:3, :3], start[:3, 3]
    for step in steps:
        turn, point = Rotation.from_rotvec(step[3:6]).as_matrix() @ turn, point + step[:3]
        poses.append(rigid(turn, point))
    return poses


def _scalar_first(T: FloatArray) -> FloatArray:
    quaternion: FloatArray = Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True)
    return np.roll(quaternion, 1)
