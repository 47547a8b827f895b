# SPDX-License-Identifier: Apache-2.0
"""Earphone cases on a table, each to be packed into a box with a lid; hands hold by friction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import mujoco
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.packing import Pack, PackingTruth
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import FloatArray, frozen
from wam_ros.files.load import from_data
from wam_ros.sim.judgement import Judgement, stage_shares
from wam_ros.sim.scene import RIGID, TASK
from wam_ros.sim.tasks.layout import Area, Drawn, draw
from wam_ros.sim.tasks.packing import STAGES, Course, measures, returned
from wam_ros.sim.tasks.parts import CLOTHS, distractor_mjcf, pack_mjcf, table_mjcf

MOST_PACKS, MOST_DISTRACTORS = 3, 6


@dataclass(frozen=True)
class EarphoneOptions:
    """Where everything is, in the robot's base frame, and the settings in which the task is tried.

    Attributes:
        table_near_x_m, table_top_z_m: near edge and height of the table.
        work_x_m, work_y_m: place that is kept free for packing.
        box_x_m, box_y_m, case_x_m, case_y_m: middle of the ranges of the first box and the first case.
        spread_box_m, spread_case_m, spread_yaw_rad: half ranges of their poses.
        packs: boxes and cases, 1 to 3.
        novel_placement: positions are drawn from beyond the ranges.
        unseen_cloth: another cloth lies on the table, drawn for each attempt.
        distractors: things that have nothing to do with the task.
    """

    table_near_x_m: float
    table_top_z_m: float
    work_x_m: float
    work_y_m: float
    box_x_m: float
    box_y_m: float
    case_x_m: float
    case_y_m: float
    table_depth_m: float = 0.60
    table_width_m: float = 1.30
    spread_box_m: float = 0.03
    spread_case_m: float = 0.04
    spread_yaw_rad: float = 0.52
    packs: int = 1
    novel_placement: bool = False
    unseen_cloth: bool = False
    distractors: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("packs", 1, MOST_PACKS), ("distractors", 0, MOST_DISTRACTORS)):
            got = getattr(self, name)
            if not least <= got <= most:
                raise ConfigError(
                    mismatch(f"scene_options: {name}", f"{least} to {most}", got, "choose another number")
                )

    def area(self, wider: float) -> Area:
        """Return where things may lie, in ranges of poses that are wider by a share."""
        return Area(
            work=np.array([self.work_x_m, self.work_y_m]),
            box=np.array([self.box_x_m, self.box_y_m]),
            case=np.array([self.case_x_m, self.case_y_m]),
            spreads=(1 + wider) * np.array([self.spread_box_m, self.spread_case_m, self.spread_yaw_rad]),
            novel=self.novel_placement,
        )


class Earphones:
    """The scene and its judge."""

    physics = RIGID
    graspable_body = ""
    furniture: tuple[str, ...] = ("table", "cloth")
    assets: Mapping[str, bytes] = MappingProxyType({})

    def __init__(self, robot: Robot, task: Task) -> None:
        """Read the task's options.

        Raises:
            ConfigError: for unknown or missing options, or stages that this scene does not judge.
        """
        self.options = from_data(EarphoneOptions, task.scene_options, f"task {task.name}: scene_options")
        self._shares = stage_shares(task, STAGES)
        self._arms = tuple(arm.name for arm in robot.arms)
        self.truth_names = PackingTruth.names(self.options.packs, self._arms)

    def mjcf(self) -> str:
        """Return the table, and all that lies on it in one place until the first attempt."""
        o = self.options
        packs = "".join(pack_mjcf(n, len(self._arms)) for n in range(o.packs))
        others = "".join(distractor_mjcf(n, len(self._arms)) for n in range(o.distractors))
        return table_mjcf(o.table_near_x_m, o.table_depth_m, o.table_width_m, o.table_top_z_m, packs + others)

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.int32]:
        """Find boxes, lids, cases and distractors; return the ids of the boxes, then the cases."""
        self._model, self._data = model, data
        o = self.options
        things = [f"box{n}" for n in range(o.packs)] + [f"case{n}" for n in range(o.packs)]
        bodies = np.array([model.body(TASK + name).id for name in things], dtype=np.int32)
        others = [model.body(f"{TASK}other{n}").id for n in range(o.distractors)]
        # Three slides and a ball joint each, in the robot's base frame.
        seats = [int(model.jnt_qposadr[model.body_jntadr[body]]) for body in (*bodies, *others)]
        self._boxes, self._cases = seats[: o.packs], seats[o.packs : 2 * o.packs]
        self._others = seats[2 * o.packs :]
        self._lids = [int(model.joint(f"{TASK}lid{n}").qposadr[0]) for n in range(o.packs)]
        self._cloth = model.geom(f"{TASK}cloth").id
        self._cloths = [-1, *(model.material(TASK + name).id for name in CLOTHS)]
        self._bodies = bodies
        return bodies

    def reset(self, rng: np.random.Generator, wider: float = 0.0) -> None:
        """Draw where boxes, cases and distractors are, from ranges that are wider by a share; and the cloth."""
        o = self.options
        drawn: Drawn = draw(rng, o.area(wider), o.packs, o.distractors)
        for seats, poses in ((self._boxes, drawn.boxes), (self._cases, drawn.cases), (self._others, drawn.others)):
            for seat, pose in zip(seats, poses, strict=True):
                self._put(seat, np.array([*pose[:2], o.table_top_z_m + pose[2]]), pose[3])
        self._placed = [np.array([*pose[:2], o.table_top_z_m, pose[3]]) for pose in drawn.boxes]
        chosen = 1 + rng.integers(len(CLOTHS)) if o.unseen_cloth else 0
        self._model.geom_matid[self._cloth] = self._cloths[chosen]
        self._courses = [Course()] * o.packs

    def push(self, by: FloatArray) -> None:
        """Move the first box as it stands by (3,) x [m], y [m], yaw [rad]; it is judged from there."""
        seat, pose = self._boxes[0], self._pose(self._boxes[0])
        self._put(seat, pose[:3] + [*by[:2], 0.0], pose[3] + by[2])
        self._placed[0] = self._placed[0] + [*by[:2], 0.0, by[2]]

    def points(self) -> FloatArray:
        """(N, 3) world positions of the boxes and cases."""
        positions: FloatArray = self._data.xpos[self._bodies]
        return positions

    def watch(self, held: Mapping[str, list[int]]) -> None:
        """Remember the stages that stay reached."""
        holding = {index for indices in held.values() for index in indices}
        count = self.options.packs
        self._courses = [
            course.after(self._pack(n), n in holding, count + n in holding) for n, course in enumerate(self._courses)
        ]

    def truth(self, held: Mapping[str, list[int]]) -> FloatArray:
        """Return the packed :class:`PackingTruth`."""
        o = self.options
        packs = tuple(self._pack(n) for n in range(o.packs))
        first = np.array([held[arm][0] if held[arm] else -1 for arm in self._arms], dtype=np.float64)
        return PackingTruth(np.array([o.work_x_m, o.work_y_m]), packs, first).pack()

    def judge(self, held: Mapping[str, list[int]]) -> Judgement:
        """Return stages, progress and verdict; a stage is reached when it is for every box, its share grows with each."""
        holding = {index for indices in held.values() for index in indices}
        packs = [self._pack(n) for n in range(self.options.packs)]
        done = [
            [course.grasped, course.opened, course.inserted, returned(pack, n in holding)]
            for n, (course, pack) in enumerate(zip(self._courses, packs, strict=True))
        ]
        shares = dict(zip(STAGES, np.mean(done, axis=0).tolist(), strict=True))
        stages = {name: share == 1.0 for name, share in shares.items()}
        progress = sum(self._shares[name] * share for name, share in shares.items())
        found = {f"{key}{n}": x for n, pack in enumerate(packs) for key, x in measures(pack).items()}
        return Judgement(stages, progress, all(stages.values()), found)

    def _put(self, seat: int, point: FloatArray, yaw: float) -> None:
        self._data.qpos[seat : seat + 7] = [*point, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]

    def _pose(self, seat: int) -> FloatArray:
        """(5,) x, y, z, yaw, cosine of the tilt."""
        turn = np.empty(9)
        mujoco.mju_quat2Mat(turn, self._data.qpos[seat + 3 : seat + 7])
        return frozen([*self._data.qpos[seat : seat + 3], np.arctan2(turn[3], turn[0]), turn[8]])

    def _pack(self, n: int) -> Pack:
        box, case = self._pose(self._boxes[n]), self._pose(self._cases[n])
        return Pack(frozen(self._placed[n]), box, float(self._data.qpos[self._lids[n]]), case)
