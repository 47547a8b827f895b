# SPDX-License-Identifier: Apache-2.0
"""Write the table of 0003-scene-placement.md: run `python docs/adr/0003-scene-placement.py` in the checkout."""

import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from wam_ros.core.errors import BackendError
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.clearance import Clearance
from wam_ros.kinematics.forward import Kinematics
from wam_ros.policies.fold import FoldPlanner

STRAIGHT_ELBOW_RAD = -2.737  # joint 3 at which upper arm and forearm are in line
ROBOT = load_robot("sim_r1_lite")
SQUARE = 0.15 * np.array([[-1, 1], [-1, -1], [1, 1], [1, -1]])
POSES = list(itertools.product((-0.04, 0.04), (-0.05, 0.05), (-0.35, 0.35)))


def study(towel_x_m: float, table_z_m: float) -> str:
    """One row: what the worst of the eight extreme towel poses needs."""
    planner, kinematics, clearance = FoldPlanner(ROBOT), Kinematics(ROBOT), Clearance(ROBOT)
    out_of_reach, lean, elbow, body, hands, duration = 0, [], [], [], [], []
    for x, y, yaw in POSES:
        cos, sin = np.cos(yaw), np.sin(yaw)
        corners = np.column_stack(
            [SQUARE @ [[cos, sin], [-sin, cos]] + [towel_x_m + x, y], np.full(4, table_z_m + 0.004)]
        )
        try:
            path = planner.plan(ROBOT.ready_position(), corners)
        except BackendError:
            out_of_reach += 1
            continue
        holding = (path.times_s >= path.holding_s[0]) & (path.times_s <= path.holding_s[1])
        tools = [kinematics.tool_pose(p, arm) for p in path.positions[holding][::6] for arm in ROBOT.arms]
        lean.append(max(np.degrees(np.arccos(-tool[2, 0])) for tool in tools))
        elbow.append(np.abs(path.positions[:, [2, 9]] - STRAIGHT_ELBOW_RAD).min())
        distances = clearance.check(path.positions[::6])
        body.append(distances.arm_to_body_m.min() * 1e3)
        hands.append(distances.arm_to_arm_m.min() * 1e3)
        duration.append(path.times_s[-1])
    worst = [f"{max(lean):.0f}", f"{min(elbow):.2f}", f"{min(body):.0f}", f"{min(hands):.0f}", f"{max(duration):.1f}"]
    return " | ".join([f"{towel_x_m:.2f}", f"{table_z_m:+.2f}", f"{out_of_reach}/8", *worst])


if __name__ == "__main__":
    for towel_x_m in (0.18, 0.24, 0.30, 0.36):
        for table_z_m in (-0.14, -0.04, 0.06):
            sys.stdout.write("| " + study(towel_x_m, table_z_m) + " |\n")
