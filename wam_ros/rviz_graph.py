# SPDX-License-Identifier: Apache-2.0
"""What ROS itself brings to look at a run: rviz2, and robot_state_publisher for the frames that it draws.

Not every installation has them. One node alone tells the frames: the robot's own software where it does so, else
robot_state_publisher where it is installed, else our viewer. A joint_state_publisher would have nothing to add, since the
viewer tells every joint of the URDF.
"""

from __future__ import annotations

from dataclasses import replace

from wam_ros.core.robot import Robot
from wam_ros.files.assets import find
from wam_ros.files.packages import has_program, program
from wam_ros.graph import VIEWER_JOINTS, NodeSpec, Value
from wam_ros.kinematics.description import urdf_text
from wam_ros.kinematics.links import Links

VIEW = "rviz/wam.rviz"
TELLER = "robot_state_publisher"


def with_rviz(specs: tuple[NodeSpec, ...], robot: Robot) -> tuple[NodeSpec, ...]:
    """Return a graph with rviz2 beside its viewer, and with robot_state_publisher where that is to tell the frames.

    Raises:
        MissingDependencyError: rviz2 is not installed.
    """
    program("rviz2", "rviz2")
    sim_time: dict[str, Value] = {"use_sim_time": robot.simulated}
    words = ("-d", str(find(VIEW)), "-f", Links(robot).root)
    rviz = NodeSpec("rviz", "rviz2", sim_time, required=False, package="rviz2", arguments=words)
    viewer = next(spec for spec in specs if spec.name == "viewer")
    if viewer.params["frames"] != "viewer" or not has_program(TELLER, TELLER):
        return (*specs, rviz)
    quiet = replace(viewer, params={**viewer.params, "frames": TELLER})
    described = {**sim_time, "robot_description": urdf_text(robot)}
    # Not named as its program is: a robot may run one of its own, for other frames.
    frames = NodeSpec("frames", TELLER, described, (("joint_states", VIEWER_JOINTS),), required=False, package=TELLER)
    return (*(quiet if spec is viewer else spec for spec in specs), frames, rviz)
