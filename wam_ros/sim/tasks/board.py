# SPDX-License-Identifier: Apache-2.0
"""A calibration board on a table: nothing to grasp, only to look at. ``board_cell.py`` is the same without physics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.transforms import rigid
from wam_ros.core.types import FloatArray
from wam_ros.files.board import parse_board
from wam_ros.files.load import from_data
from wam_ros.sim.judgement import Judgement, stage_shares
from wam_ros.sim.scene import RIGID
from wam_ros.vision.boards import picture, whole_px
from wam_ros.vision.encode import png

STAGES = ("stands",)
PX_PER_M = 5000
"""Of the board's picture."""
MARGIN = 1
"""White squares around the pattern, on every side."""
ABOVE_TABLE_M = 0.001


@dataclass(frozen=True)
class BoardOptions:
    """Where table and board are, in the robot's base frame.

    Attributes:
        table_near_x_m, table_top_z_m: near edge and height of the table.
        board_x_m, board_y_m, board_yaw_rad: middle of the board, and its turn about the vertical.
        board: which one, as ``files/board.py`` reads it; empty: the standard one.
    """

    table_near_x_m: float
    table_top_z_m: float
    board_x_m: float
    board_y_m: float = 0.0
    board_yaw_rad: float = 0.0
    board: str = ""
    table_depth_m: float = 0.75
    table_width_m: float = 1.3


class BoardTable:
    """The scene; its judge only sees that nobody has taken the board away."""

    physics = RIGID
    graspable_body = ""
    furniture: tuple[str, ...] = ("table",)
    truth_names: tuple[str, ...] = ("board_x_m", "board_y_m", "board_z_m", "board_yaw_rad")

    def __init__(self, robot: Robot, task: Task) -> None:
        """Read the task's options.

        Raises:
            ConfigError: for unknown or missing options, or stages that this scene does not judge.
        """
        self.options = from_data(BoardOptions, task.scene_options, f"task {task.name}: scene_options")
        self.board = parse_board(self.options.board)
        self._shares = stage_shares(task, STAGES)
        square_px = whole_px(self.board, PX_PER_M)
        drawn, margin = picture(self.board, square_px), MARGIN * square_px
        framed = np.pad(drawn, margin, constant_values=255)
        self.assets: Mapping[str, bytes] = {"board.png": png(np.repeat(framed[:, :, None], 3, axis=2))}

    def mjcf(self) -> str:
        """Return table and board, face up, x of its pattern to the robot's right."""
        o = self.options
        table_x = o.table_near_x_m + o.table_depth_m / 2
        width, height = (np.array(self.board.size_m) + 2 * MARGIN * self.board.square_m) / 2
        half = (o.board_yaw_rad - np.pi / 2) / 2
        return f"""<mujoco><compiler angle="radian"/>
          <asset><texture name="board" type="2d" file="board.png"/><material name="board" texture="board"/></asset>
          <worldbody>
            <geom name="table" type="box" size="{o.table_depth_m / 2} {o.table_width_m / 2} 0.015"
                  pos="{table_x} 0 {o.table_top_z_m - 0.015}" rgba="0.72 0.60 0.46 1" contype="1" conaffinity="0"/>
            <geom name="board" type="plane" size="{width} {height} 0.01" material="board" contype="0" conaffinity="0"
                  pos="{o.board_x_m} {o.board_y_m} {o.table_top_z_m + ABOVE_TABLE_M}" quat="{np.cos(half)} 0 0 {np.sin(half)}"/>
          </worldbody></mujoco>"""

    def pose(self) -> FloatArray:
        """(4, 4) the board's frame, at its first corner, in the robot's base frame."""
        o, (width, height) = self.options, self.board.size_m
        middle = np.array([o.board_x_m, o.board_y_m, o.table_top_z_m + ABOVE_TABLE_M])
        T_base_middle = rigid(Rotation.from_euler("z", o.board_yaw_rad - np.pi / 2).as_matrix(), middle)
        corner: FloatArray = T_base_middle @ rigid(np.diag([1.0, -1.0, -1.0]), np.array([-width / 2, height / 2, 0.0]))
        return corner

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.int32]:
        """There is nothing to hold."""
        return np.zeros(0, dtype=np.int32)

    def reset(self, rng: np.random.Generator, wider: float = 0.0) -> None:
        """The board stays."""

    def push(self, by: FloatArray) -> None:
        """The board stays."""

    def points(self) -> FloatArray:
        """(0, 3): there is nothing to hold."""
        return np.zeros((0, 3))

    def watch(self, held: Mapping[str, list[int]]) -> None:
        """Nothing happens to it."""

    def truth(self, held: Mapping[str, list[int]]) -> FloatArray:
        """Return middle and turn of the board."""
        o = self.options
        return np.array([o.board_x_m, o.board_y_m, o.table_top_z_m + ABOVE_TABLE_M, o.board_yaw_rad])

    def judge(self, held: Mapping[str, list[int]]) -> Judgement:
        """Return that the board stands."""
        return Judgement(dict.fromkeys(STAGES, True), sum(self._shares.values()), True, {})
