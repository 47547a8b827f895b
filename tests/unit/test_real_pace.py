# SPDX-License-Identifier: Apache-2.0
"""With the speeds, delays and gripper pace of the real robot's description the work is done, motion's joining in between."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
from wam_ros.core.rows import committed_rows, row_times_ns
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.motion.splicer import Splicer
from wam_ros.policies.base import Request
from wam_ros.policies.expert import Expert
from wam_ros.sim.rollout import Pace, attempt
from wam_ros.sim.world import World

LATENCY_S = 0.15


def test_a_robot_with_a_delay_and_careful_speeds_folds_the_towel():
    robot, task, policy = load_robot("r1_lite"), load_task("towel_fold"), load_policy("expert")
    assert robot.habits.delay_s > 0
    assert max(robot.motion_limits()[0]) < max(load_robot("sim_r1_lite").motion_limits()[0])
    expert = Expert()
    expert.load(policy, robot, task)
    world = World(robot, task, render=False)
    splicer = Splicer.for_robot(robot, method=task.method)
    blank = np.zeros((policy.mosaic.height, policy.mosaic.width, 3), np.uint8)

    def act(seen):
        committed = splicer.committed(seen.stamp_ns)
        prefix = committed and committed_rows(committed, row_times_ns(seen.stamp_ns, policy.rate_hz, policy.horizon))
        return expert.infer(Request(seen, blank, task.instruction, prefix, LATENCY_S))

    pace = Pace(policy.rate_hz, policy.execute_rows, LATENCY_S, draw=False)
    *_, last = attempt(world, act, 0, pace, splicer)
    world.close()
    assert last.judgement.success, last.judgement
    assert splicer.statistics.seam_step_rad_max < 1e-9
