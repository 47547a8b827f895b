# SPDX-License-Identifier: Apache-2.0
"""What a model's state and action vectors mean, brought to joint positions in robot order and back.

Joint layouts have one number for each joint of the robot. Pose layouts have, arm by arm, the tool in the
robot's base frame and the gripper's opening: absolute ``[x y z, qx qy qz qw, opening]``, relative to the
observed tool ``[dx dy dz, rotation vector, opening]`` with the rotation applied on the left, in the base frame.
Grippers are absolute in every layout.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.card import VectorLayout
from wam_ros.core.errors import BackendError, ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import rigid
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.inverse import ToolSolver
from wam_ros.policies.poses import Tools

REACH_TOLERANCE_M = 0.01
"""A target farther than this from what the arm can reach is not this robot's action."""


class StateLayout(Protocol):
    """A layout of states bound to a robot."""

    def state(self, joints: FloatArray) -> FloatArray:
        """Return the vector (P,) of measured joints (J,)."""
        ...


class ActionLayout(Protocol):
    """A layout of actions bound to a robot."""

    def positions(self, rows: FloatArray, joints: FloatArray) -> FloatArray:
        """Return joint positions (K, J) of action rows (K, A), given the observed joints (J,)."""
        ...

    def rows(self, positions: FloatArray, joints: FloatArray) -> FloatArray:
        """Return the action rows (K, A) that mean these joint positions (K, J): a committed prefix."""
        ...


class Layout(StateLayout, ActionLayout, Protocol):
    """A layout that serves for both."""


def layout_of(declared: VectorLayout, robot: Robot) -> Layout:
    """Return the layout that a card declares, bound to a robot.

    Raises:
        ConfigError: the number of dimensions is not the kind's.
    """
    if declared.kind.startswith("joint"):
        return Joints(robot, relative=declared.kind == "joint_relative")
    relative = declared.kind == "pose_relative"
    expected = (7 if relative else 8) * len(robot.arms)
    if len(declared.names) != expected:
        raise ConfigError(
            mismatch(
                f"layout {declared.kind}",
                f"{expected} dimensions",
                len(declared.names),
                "use a checkpoint for as many arms",
            )
        )
    return Poses(robot, relative=relative)


class Joints:
    """Positions of all joints in robot order, absolute or as the difference to the observed ones."""

    def __init__(self, robot: Robot, *, relative: bool) -> None:
        # A gripper's opening means the same whatever it was before.
        self._relative = ~np.array(robot.gripper_mask) if relative else np.zeros(len(robot.joint_names), dtype=bool)

    def state(self, joints: FloatArray) -> FloatArray:
        """Return the joints as they are."""
        return joints

    def positions(self, rows: FloatArray, joints: FloatArray) -> FloatArray:
        """Return rows with the observed joints added where they are relative."""
        absolute: FloatArray = rows + joints * self._relative
        return absolute

    def rows(self, positions: FloatArray, joints: FloatArray) -> FloatArray:
        """Return positions with the observed joints taken away where rows are relative."""
        relative: FloatArray = positions - joints * self._relative
        return relative


class Poses:
    """Tool poses of all arms in the base frame, absolute or relative to the observed ones."""

    def __init__(self, robot: Robot, *, relative: bool) -> None:
        self._robot, self._is_relative = robot, relative
        self._tools = Tools(robot)
        self._solvers = [ToolSolver(self._tools.kinematics, arm) for arm in robot.arms]
        self._width = 7 if relative else 8

    def state(self, joints: FloatArray) -> FloatArray:
        """Return absolute poses and openings (8 for each arm)."""
        return np.concatenate(
            [_absolute(T, g) for T, g in zip(self._tools.poses(joints), self._tools.openings(joints), strict=True)]
        )

    def positions(self, rows: FloatArray, joints: FloatArray) -> FloatArray:
        """Solve each row's poses from the row before, so that an arm keeps its branch.

        Raises:
            BackendError: a pose out of the arm's reach.
        """
        start = self._tools.poses(joints)
        out, last = np.empty((len(rows), len(joints))), joints.copy()
        for k, row in enumerate(rows):
            for a, part in enumerate(row.reshape(-1, self._width)):
                T = self._target(part[:-1], start[a])
                arm = self._tools.slices[a]
                found = self._solvers[a].solve(T, last[arm][:-1])
                if found.point_error_m > REACH_TOLERANCE_M:
                    what = f"row {k}: tool of arm {self._robot.arms[a].name}"
                    got = f"{1e3 * found.point_error_m:.0f} mm away"
                    raise BackendError(mismatch(what, "a reachable pose", got, "check the action layout of the card"))
                last[arm] = [*found.angles_rad, part[-1]]
            out[k] = last
        return out

    def rows(self, positions: FloatArray, joints: FloatArray) -> FloatArray:
        """Return the poses of given joint positions."""
        start = self._tools.poses(joints)
        return np.stack([self._row(position, start) for position in positions])

    def _row(self, position: FloatArray, start: list[FloatArray]) -> FloatArray:
        parts = zip(self._tools.poses(position), start, self._tools.openings(position), strict=True)
        if not self._is_relative:
            return np.concatenate([_absolute(T, opening) for T, _, opening in parts])
        return np.concatenate([_relative(T, T0, opening) for T, T0, opening in parts])

    def _target(self, part: FloatArray, start: FloatArray) -> FloatArray:
        if self._is_relative:
            turn = Rotation.from_rotvec(part[3:6]).as_matrix()
            return rigid(turn @ start[:3, :3], start[:3, 3] + part[:3])
        return rigid(Rotation.from_quat(part[3:7]).as_matrix(), part[:3])


def _absolute(T: FloatArray, opening: float) -> FloatArray:
    return np.concatenate([T[:3, 3], Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True), [opening]])


def _relative(T: FloatArray, start: FloatArray, opening: float) -> FloatArray:
    turn = Rotation.from_matrix(T[:3, :3] @ start[:3, :3].T).as_rotvec()
    return np.concatenate([T[:3, 3] - start[:3, 3], turn, [opening]])
