# SPDX-License-Identifier: Apache-2.0
"""The scenes of the simulator, by the name that a task YAML gives."""

from __future__ import annotations

from collections.abc import Callable

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.sim.judgement import Scene
from wam_ros.sim.tasks.board import BoardTable
from wam_ros.sim.tasks.earphones import Earphones
from wam_ros.sim.tasks.towel import Towel

SCENES: dict[str, Callable[[Robot, Task], Scene]] = {"towel": Towel, "earphones": Earphones, "board": BoardTable}


def make_scene(robot: Robot, task: Task) -> Scene:
    """Return the scene that a task names.

    Raises:
        ConfigError: the task has no twin, or its options or stages are not the scene's.
    """
    if task.scene not in SCENES:
        raise ConfigError(mismatch(f"task {task.name}: scene", sorted(SCENES), repr(task.scene), "name one of them"))
    return SCENES[task.scene](robot, task)
