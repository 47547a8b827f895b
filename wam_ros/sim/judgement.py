# SPDX-License-Identifier: Apache-2.0
"""What a judge says of an attempt, and what every scene of the simulator offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.task import Task
from wam_ros.core.types import FloatArray
from wam_ros.sim.scene import Physics


@dataclass(frozen=True)
class Judgement:
    """How far an attempt has come.

    Attributes:
        stages: stage name of the task YAML to whether it is reached.
        progress: sum of the shares of reached stages, 0..1.
        success: the whole task by its strict measure.
        measures: the numbers behind it, with units in their names.
    """

    stages: dict[str, bool]
    progress: float
    success: bool
    measures: dict[str, float]


def stage_shares(task: Task, judged: tuple[str, ...]) -> dict[str, float]:
    """Return each stage's share of the progress.

    Raises:
        ConfigError: the task's stages are not those that the scene judges, in their order.
    """
    if tuple(stage.name for stage in task.stages) != judged:
        got = [stage.name for stage in task.stages]
        raise ConfigError(mismatch(f"task {task.name}: stages", judged, got, "name these stages in this order"))
    return {stage.name: stage.share for stage in task.stages}


class Scene(Protocol):
    """Furniture and workpiece of one task. Sees the truth; policies never do.

    Attributes:
        physics: how it is solved.
        graspable_body: where idle grasp constraints are attached; empty where hands hold by friction.
        furniture: names of the shapes that are tinted.
        assets: files that the MJCF names.
        truth_names: labels of :meth:`truth`.
    """

    physics: Physics
    graspable_body: str
    furniture: tuple[str, ...]
    assets: Mapping[str, bytes]
    truth_names: tuple[str, ...]

    def mjcf(self) -> str:
        """Return the scene's MJCF, written in the robot's base frame."""
        ...

    def bind(self, model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.int32]:
        """Find the workpiece in the compiled model; return the ids of the bodies that hands can hold."""
        ...

    def reset(self, rng: np.random.Generator, wider: float = 0.0) -> None:
        """Place the workpiece for a new attempt, in a range of poses that is wider than the task's by a share."""
        ...

    def push(self, by: FloatArray) -> None:
        """Move the workpiece as it lies by (3,) x [m], y [m], yaw [rad]."""
        ...

    def points(self) -> FloatArray:
        """(N, 3) world positions of the bodies that hands can hold."""
        ...

    def watch(self, held: Mapping[str, list[int]]) -> None:
        """Note what only lasts for a moment; called after every step."""
        ...

    def truth(self, held: Mapping[str, list[int]]) -> FloatArray:
        """Return the values of ``truth_names``."""
        ...

    def judge(self, held: Mapping[str, list[int]]) -> Judgement:
        """Return how far the attempt has come."""
        ...
