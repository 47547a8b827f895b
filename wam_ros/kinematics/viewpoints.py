# SPDX-License-Identifier: Apache-2.0
"""Where to look at a calibration board from: joint positions of one arm that show it from many sides, safely."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.board import Board, Optics
from wam_ros.core.robot import Arm, Camera, Robot
from wam_ros.core.transforms import apply, invert, rigid
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.clearance import Clearance
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.inverse import ToolSolver

LEAST_CLEARANCE_M = 0.03
LEAST_IN_VIEW = 0.5
"""Share of the board's corners that a viewpoint must show."""
LARGEST_TILT_RAD, LARGEST_ROLL_RAD = 0.75, 0.9
DISTANCES = (1.0, 1.7)
"""Nearest and farthest, in board widths that fill the picture."""
WHOLE_DISTANCES = (2.2, 3.2)
"""The same for a board of which nothing may be hidden, also not by the gripper before the camera."""
TRIES_PER_VIEW = 12


class Viewpoints:
    """Draws views of a board for the arms of one robot; not for use by two threads at once."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._kinematics = Kinematics(robot)
        self._clearance = Clearance(robot)
        self._solvers = {arm.name: ToolSolver(self._kinematics, arm) for arm in robot.arms}

    def tools(self, position: FloatArray) -> dict[str, FloatArray]:
        """Return arm to T_base_tool (4, 4), each in the arm's own base frame, for a (J,) position."""
        return {
            arm.name: invert(self._kinematics.pose(position, arm.base_frame))
            @ self._kinematics.tool_pose(position, arm)
            for arm in self._robot.arms
        }

    def carriers(self) -> dict[str, str]:
        """Return camera to the arm that carries it, empty for a camera that no arm moves."""
        return {camera.name: self._carrier(camera) for camera in self._robot.cameras}

    def camera_pose(self, position: FloatArray, camera: str) -> FloatArray:
        """(4, 4) pose of a camera in the robot's base frame, as the URDF has it."""
        return self._kinematics.pose(position, self._robot.camera(camera).frame)

    def draw(
        self, camera: str, optics: Optics, T_base_board: FloatArray, board: Board, count: int, rng: np.random.Generator
    ) -> list[FloatArray]:
        """Return up to ``count`` (J,) positions from which a carried camera sees the board; other arms stay ready.

        Args:
            camera: carried by an arm.
            optics: of the camera.
            T_base_board: (4, 4) the board in the robot's base frame, roughly.
            board: what it looks like.
            count: how many are wanted.
            rng: draws the views.
        """
        arm = next(arm for arm in self._robot.arms if arm.name == self._carrier(self._robot.camera(camera)))
        ready = self._robot.ready_position()
        upright = self._upright(ready, camera, T_base_board)
        found: list[FloatArray] = []
        for _ in range(count * TRIES_PER_VIEW):
            if len(found) == count:
                break
            wanted = T_base_board @ _view(board, optics, upright, rng)
            position = self._reach(arm, camera, wanted, ready)
            if position is not None and self._shows(position, camera, optics, T_base_board, board):
                found.append(position)
        return found

    def _carrier(self, camera: Camera) -> str:
        """The arm whose tool and camera keep their distance while the arm moves."""
        at_rest = self._robot.ready_position()
        for arm in self._robot.arms:
            moved = at_rest.copy()
            moved[[self._robot.joint_names.index(name) for name in arm.joints]] += 0.1
            poses = [self._kinematics.pose(q, camera.frame) for q in (at_rest, moved)]
            tools = [self._kinematics.tool_pose(q, arm) for q in (at_rest, moved)]
            if np.allclose(invert(tools[0]) @ poses[0], invert(tools[1]) @ poses[1], atol=1e-9):
                return arm.name
        return ""

    def _upright(self, ready: FloatArray, camera: str, T_base_board: FloatArray) -> float:
        """How the camera is turned about the board's normal when the arm is ready."""
        R = invert(T_base_board)[:3, :3] @ self.camera_pose(ready, camera)[:3, :3]
        return float(np.arctan2(R[1, 0] - R[0, 1], R[0, 0] + R[1, 1]))

    def _reach(self, arm: Arm, camera: str, T_base_camera: FloatArray, ready: FloatArray) -> FloatArray | None:
        """A position that brings the camera about there, if arms and body stay clear of each other."""
        slots = [self._robot.joint_names.index(name) for name in arm.joints]
        T_camera_tool = invert(self.camera_pose(ready, camera)) @ self._kinematics.tool_pose(ready, arm)
        solution = self._solvers[arm.name].solve(T_base_camera @ T_camera_tool, ready[slots])
        position = ready.copy()
        position[slots] = solution.angles_rad
        distances = self._clearance.check(position)
        clear = min(distances.arm_to_arm_m[0], distances.arm_to_body_m[0]) > LEAST_CLEARANCE_M
        return position if clear and solution.point_error_m < 0.02 else None

    def _shows(self, position: FloatArray, camera: str, optics: Optics, T_base_board: FloatArray, board: Board) -> bool:
        T_board_camera = invert(T_base_board) @ self.camera_pose(position, camera)
        corners = apply(invert(T_board_camera), board.corners())
        if T_board_camera[2, 3] > -0.5 * min(board.size_m) or (corners[:, 2] < 0.05).any():
            return False
        pixels = optics.pinhole.project(corners)
        inside = ((pixels > 0) & (pixels < [optics.width, optics.height])).all(axis=1)
        return bool(inside.mean() >= (1.0 if board.found_whole else LEAST_IN_VIEW))


def _view(board: Board, optics: Optics, upright_rad: float, rng: np.random.Generator) -> FloatArray:
    """T_board_camera of a drawn view: in front of the board is where its z axis is negative."""
    azimuth = rng.uniform(-np.pi, np.pi)
    tilt = Rotation.from_rotvec(rng.uniform(0.1, LARGEST_TILT_RAD) * np.array([np.cos(azimuth), np.sin(azimuth), 0.0]))
    roll = upright_rad + rng.uniform(-LARGEST_ROLL_RAD, LARGEST_ROLL_RAD)
    R = (tilt * Rotation.from_euler("z", roll)).as_matrix()
    filling = max(board.size_m[0] * optics.fx / optics.width, board.size_m[1] * optics.fy / optics.height)
    middle = np.array([*board.size_m, 0.0]) / 2 + np.r_[rng.uniform(-0.2, 0.2, 2) * board.size_m, 0.0]
    return rigid(R, middle - R[:, 2] * filling * rng.uniform(*(WHOLE_DISTANCES if board.found_whole else DISTANCES)))


def spread(positions: list[FloatArray], tools: Mapping[int, FloatArray]) -> list[int]:
    """Return the order in which positions differ most from all before in the tool's orientation.

    Args:
        positions: candidates.
        tools: index to T_base_tool (4, 4).
    """
    turns = Rotation.from_matrix(np.stack([tools[i][:3, :3] for i in range(len(positions))]))
    apart = np.array([(turn.inv() * turns).magnitude() for turn in turns])
    order = [0] if positions else []
    while len(order) < len(positions):
        nearest = apart[:, order].min(axis=1)
        nearest[order] = -1
        order.append(int(nearest.argmax()))
    return order
