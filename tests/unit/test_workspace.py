"""The task's box, for the tools of both arms."""

from __future__ import annotations

import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.core.task import Box
from wam_ros.files.assets import load_task
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.workspace import Workspace


def test_a_position_is_inside_when_every_tool_is(robot: Robot) -> None:
    ready = robot.ready_position()
    tools = np.array([Kinematics(robot).tool_pose(ready, arm)[:3, 3] for arm in robot.arms])
    around = Box(tuple(tools.min(axis=0) - 0.05), tuple(tools.max(axis=0) + 0.05))
    stretched = ready.copy()
    stretched[0] += 0.6
    assert Workspace(robot, around).holds(np.stack((ready, stretched, ready))).tolist() == [True, False, True]


def test_the_ready_pose_lies_inside_the_box_of_the_towel_task(robot: Robot) -> None:
    assert Workspace(robot, load_task("towel_fold").workspace).holds(robot.ready_position()[None]).all()
