# SPDX-License-Identifier: Apache-2.0
"""A square towel on a table, to be folded in half: near edge onto far edge, and once more if a task asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import mujoco
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.truth import TowelTruth
from wam_ros.core.types import FloatArray
from wam_ros.files.load import from_data
from wam_ros.sim.judgement import Judgement, stage_shares
from wam_ros.sim.scene import CLOTH
from wam_ros.sim.tasks.folding import FOLDINGS, Folding

RADIUS_M = 0.003  # half thickness of the cloth's collision shape


@dataclass(frozen=True)
class TowelOptions:
    """Where table and towel are, in the robot's base frame; how far an attempt's towel may lie from there.

    Attributes:
        table_near_x_m, table_top_z_m: near edge and height of the table.
        towel_x_m, towel_y_m: middle of the range of towel positions.
        spread_x_m, spread_y_m, spread_yaw_rad: half ranges of the towel's pose.
        vertices: of the cloth along an edge; odd, so that it can fold at a row. Two folds need 13 and a cloth that is
            stiff and thin: coarser or thicker ones spring open.
        young_pa, thickness_m: how it resists bending and stretching.
        folds: in half, 1 or 2 of them.
    """

    table_near_x_m: float
    table_top_z_m: float
    towel_x_m: float
    towel_y_m: float = 0.0
    table_depth_m: float = 0.75
    table_width_m: float = 1.3
    size_m: float = 0.30
    vertices: int = 11
    young_pa: float = 3e4
    thickness_m: float = 0.003
    folds: int = 1
    mass_kg: float = 0.06
    spread_x_m: float = 0.04
    spread_y_m: float = 0.05
    spread_yaw_rad: float = 0.35


class Towel:
    """The scene and its judge."""

    physics = CLOTH
    graspable_body = "towel_0"
    furniture: tuple[str, ...] = ("table",)
    assets: Mapping[str, bytes] = MappingProxyType({})

    def __init__(self, robot: Robot, task: Task) -> None:
        """Read the task's options.

        Raises:
            ConfigError: for unknown or missing options, or stages that this scene does not judge.
        """
        self.options = from_data(TowelOptions, task.scene_options, f"task {task.name}: scene_options")
        if self.options.folds not in FOLDINGS:
            got = self.options.folds
            raise ConfigError(mismatch(f"task {task.name}: scene_options.folds", sorted(FOLDINGS), got, "choose one"))
        self._folding: Folding = FOLDINGS[self.options.folds](self.options.size_m)
        self._shares = stage_shares(task, self._folding.stages)
        self._arms = tuple(arm.name for arm in robot.arms)
        self._base_frame = robot.base_frame
        self.truth_names = TowelTruth.names(self._arms)
        self._placed = np.zeros(3)

    def mjcf(self) -> str:
        """Return table and towel; the towel lies at the middle of its range."""
        o = self.options
        table_x = o.table_near_x_m + o.table_depth_m / 2
        spacing = o.size_m / (o.vertices - 1)
        return f"""<mujoco><compiler angle="radian"/><worldbody>
          <geom name="table" type="box" size="{o.table_depth_m / 2} {o.table_width_m / 2} 0.015"
                pos="{table_x} 0 {o.table_top_z_m - 0.015}" rgba="0.72 0.60 0.46 1"
                contype="1" conaffinity="0" friction="0.8 0.01 0.001" solref="0.01 1"/>
          <flexcomp name="towel" type="grid" dim="2" count="{o.vertices} {o.vertices} 1" spacing="{spacing} {spacing} 0.01"
                    pos="{o.towel_x_m} {o.towel_y_m} {self._rest_z_m}" mass="{o.mass_kg}" radius="{RADIUS_M}"
                    rgba="0.25 0.55 0.85 1">
            <edge equality="false" damping="0"/>
            <elasticity young="{o.young_pa}" poisson="0.1" thickness="{o.thickness_m}" elastic2d="both" damping="0.02"/>
            <contact contype="2" conaffinity="3" selfcollide="auto" condim="3" friction="0.8 0.01 0.001"
                     solref="0.01 1" margin="0.001"/>
          </flexcomp></worldbody></mujoco>"""

    @property
    def _rest_z_m(self) -> float:
        return self.options.table_top_z_m + RADIUS_M + 0.001

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.int32]:
        """Find vertices, slide joints and triangles of the cloth; return the vertices' body ids."""
        self._data = data
        mujoco.mj_forward(model, data)
        base = model.body(self._base_frame).id
        self._origin, self._turn = data.xpos[base].copy(), data.xmat[base].reshape(3, 3).copy()
        bodies: NDArray[np.int32] = model.flex_vertbodyid.copy()
        self._slides = model.jnt_qposadr[model.body_jntadr[bodies]]
        self._flat = self._to_base(self.points())
        self._triangles = model.flex_elem.reshape(-1, 3).copy()
        return bodies

    def reset(self, rng: np.random.Generator, wider: float = 0.0) -> None:
        """Draw a pose, from a range that is wider by a share, and lay the towel there, flat."""
        o = self.options
        spread = (1 + wider) * np.array([o.spread_x_m, o.spread_y_m, o.spread_yaw_rad])
        self._placed = np.array([o.towel_x_m, o.towel_y_m, 0.0]) + rng.uniform(-spread, spread)
        cos, sin = np.cos(self._placed[2]), np.sin(self._placed[2])
        middle = np.array([o.towel_x_m, o.towel_y_m])
        moved = self._flat.copy()
        moved[:, :2] = self._placed[:2] + (self._flat[:, :2] - middle) @ np.array([[cos, sin], [-sin, cos]])
        for axis in range(3):
            self._data.qpos[self._slides + axis] = moved[:, axis] - self._flat[:, axis]
        self._folding.reset()

    def push(self, by: FloatArray) -> None:
        """Move the towel as it lies by (3,) x [m], y [m], yaw [rad] about its middle; it is judged from there."""
        now = self._to_base(self.points())
        middle = now[:, :2].mean(axis=0)
        cos, sin = np.cos(by[2]), np.sin(by[2])
        moved = now.copy()
        moved[:, :2] = middle + by[:2] + (now[:, :2] - middle) @ np.array([[cos, sin], [-sin, cos]])
        for axis in range(3):
            self._data.qpos[self._slides + axis] += moved[:, axis] - now[:, axis]
        self._placed = np.array([*self._placed[:2] + by[:2], self._placed[2] + by[2]])

    def points(self) -> FloatArray:
        """(N, 3) world positions of the vertices."""
        positions: FloatArray = self._data.flexvert_xpos
        return positions

    def watch(self, held: Mapping[str, list[int]]) -> None:
        """Note what only lasts for a moment, while both hands hold something."""
        if all(held.values()):
            self._folding.watch(self._over_table(), held)

    def truth(self, held: Mapping[str, list[int]]) -> FloatArray:
        """Return the packed :class:`TowelTruth`."""
        grid = self._grid()
        corners, middles = grid[[0, 0, -1, -1], [-1, 0, -1, 0]], grid[len(grid) // 2, [-1, 0]]
        counts = np.array([len(held[arm]) for arm in self._arms], float)
        return TowelTruth(self._placed, corners, middles, counts).pack()

    def judge(self, held: Mapping[str, list[int]]) -> Judgement:
        """Return stages, progress and the strict verdict."""
        done, measures = self._folding.judge(self._over_table(), self._placed, held, self._triangles)
        progress = sum(self._shares[name] for name, reached in done.items() if reached)
        return Judgement(done, progress, all(done.values()), measures)

    def _over_table(self) -> FloatArray:
        return np.asarray(self._grid() - [0, 0, self.options.table_top_z_m])

    def _grid(self) -> FloatArray:
        n = self.options.vertices
        return self._to_base(self.points()).reshape(n, n, 3)

    def _to_base(self, points: FloatArray) -> FloatArray:
        turned: FloatArray = (points - self._origin) @ self._turn
        return turned
