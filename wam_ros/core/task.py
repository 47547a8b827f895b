# SPDX-License-Identifier: Apache-2.0
"""What a task YAML says: instruction, scene, stages, time limit, workspace, how chunks are joined."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wam_ros.core.errors import ConfigError, mismatch

Method = Literal["wait", "naive", "ensemble", "average", "fade", "c2", "governed"]


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in the robot's base frame [m]."""

    lower_m: tuple[float, float, float]
    upper_m: tuple[float, float, float]

    def __post_init__(self) -> None:
        if any(lo >= hi for lo, hi in zip(self.lower_m, self.upper_m, strict=True)):
            raise ConfigError(
                mismatch("box", "lower_m below upper_m on every axis", (self.lower_m, self.upper_m), "swap the bounds")
            )


@dataclass(frozen=True)
class Stage:
    """A part of the task that is judged on its own."""

    name: str
    share: float


@dataclass(frozen=True)
class Task:
    """Everything the package knows about one task.

    Attributes:
        instruction: the sentence given to the policy.
        learner: policy that is to learn it; demonstrations are recorded with its views and at its rate.
        scene: name of the simulator's scene; empty if the task has no twin.
        stages: their shares add up to 1.
        timeout_s: an attempt that has not succeeded by then has failed.
        workspace: where the tools may go, in the robot's base frame.
        method: how a new chunk is joined to the committed trajectory.
        scene_options: the scene's own settings.
    """

    name: str
    description: str
    instruction: str
    default_robot: str
    default_policy: str
    stages: tuple[Stage, ...]
    timeout_s: float
    workspace: Box
    learner: str = ""
    scene: str = ""
    method: Method = "governed"
    scene_options: dict[str, float | int | bool | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        total = sum(stage.share for stage in self.stages)
        if abs(total - 1.0) > 1e-9:
            raise ConfigError(mismatch("stages: shares", "a sum of 1", total, "correct the shares"))
