# SPDX-License-Identifier: Apache-2.0
"""The drift monitor over ROS: blind without depth, quiet while all agree, and it names the camera or arm that has moved."""

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from tests.nodes.test_policy import FRAME_NS, Rig
from tests.policy_support import Surroundings
from tests.room_support import measured
from tests.ros_support import spinning
from wam_ros.core.board import Optics
from wam_ros.core.transforms import exp, invert
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.hands import Hands
from wam_ros.nodes.drift import DriftNode
from wam_ros.ros.convert import image_to_msg, ns_to_stamp
from wam_ros.ros.qos import SENSOR
from wam_ros.ros.status import OK, WARN, find_status, read_values

MOMENT_NS = 310_000_000
#: In the robot's base frame: a table before it, a wall behind the table, a slanted board.
ROOM = (([0.0, 0, -0.04], [0.0, 0, 1]), ([0.75, 0, 0], [-1.0, 0, 0]), ([0.0, 0.35, 0], [0.2, -1.0, 0.3]))
STILL = np.zeros(6)
EYE = Optics(320, 240, 240.0, 240.0, 159.5, 119.5)


class Cell(Surroundings):
    """A robot at rest whose cameras measure a room; one of them may sit elsewhere than the URDF has it."""

    def __init__(self, context, robot) -> None:
        super().__init__(context, robot)
        self.report, self.level = {}, b""
        self.depths = {}
        self._kinematics, self._hands = Kinematics(robot), Hands(robot)
        self._deep = {c.name: self.create_publisher(Image, c.depth, SENSOR) for c in robot.cameras}
        self._infos = {c.name: self.create_publisher(CameraInfo, c.info, SENSOR) for c in robot.cameras}

    @property
    def listened_to(self) -> bool:
        publishers = [*self._deep.values(), *self._infos.values(), *(p for _, p in self._cameras.values())]
        return bool(self.report) and all(p.get_subscription_count() > 0 for p in publishers)

    def stand(self, arm_moved=STILL, **moved) -> None:
        """Measure from where the cameras really are, given the twists by which some, or the left arm's base, have moved."""
        ready, boxes, bases = self.robot.ready_position(), [], {"": np.eye(4)}
        for name, hand in self._hands.at(ready).items():
            T = hand.T_base_arm @ exp(arm_moved if name == "left" else STILL)
            bases[name] = T @ invert(hand.T_base_arm)
            boxes += [(T @ placed, half) for placed, half in zip(hand.T_arm_box, hand.half_m, strict=True)]
        for camera in self.robot.cameras:
            T = bases[camera.arm] @ self._kinematics.pose(ready, camera.frame) @ exp(moved.get(camera.name, STILL))
            self.depths[camera.name] = measured(T, EYE, ROOM, boxes)

    def say_pictures(self, stamp_ns: int, without: str = "") -> None:
        for camera in self.robot.cameras:
            info = CameraInfo(width=EYE.width, height=EYE.height, k=EYE.matrix().reshape(-1))
            info.header.stamp = ns_to_stamp(stamp_ns)
            self._infos[camera.name].publish(info)
            if camera.name in self.depths:
                depth = image_to_msg(self.depths[camera.name], "32FC1", stamp_ns, camera.frame)
                self._deep[camera.name].publish(depth)
        super().say_pictures(stamp_ns, without)

    def _on_diagnostics(self, array) -> None:
        status = find_status(array, "wam/drift")
        if status is not None:
            self.report, self.level = {"message": status.message, **read_values(status)}, status.level


@pytest.fixture
def watched(ros_context, robot):
    given = {"robot": "sim_r1_lite", "window_s": 3.0, "use_sim_time": True}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node, cell = DriftNode(context=ros_context, parameter_overrides=overrides), Cell(ros_context, robot)
    with spinning(ros_context, node, cell) as executor:
        rig = Rig(executor, node, cell)
        rig.until(lambda: cell.listened_to and rig._clock.get_subscription_count() == 1)

        def until(condition) -> None:
            """Let moments pass until it is so."""
            while not condition():
                rig.pass_time(MOMENT_NS - FRAME_NS)
                rig.see()

        yield cell, until


def test_the_monitor_is_blind_quiet_and_right(watched):
    cell, until = watched
    assert cell.report["state"] == "BLIND"
    until(lambda: cell.report.get("blind_head") == "no depth comes")
    assert cell.level == OK
    cell.stand()
    until(lambda: cell.report["state"] == "WATCHING" and "blind_head" not in cell.report)
    assert cell.level == OK
    assert float(cell.report["shift_mm_head"]) < 1
    cell.stand(left_wrist=np.r_[0.004, 0.005, 0.0077, 0.02, -0.02, 0.02])
    until(lambda: cell.report["suspect"] == "left_wrist" and cell.report["state"] == "DRIFTED")
    assert cell.level == WARN
    assert cell.report["message"].startswith("camera left_wrist: what it sees lies ")
    assert float(cell.report["shift_mm_left_wrist"]) > 1.5
    cell.stand(arm_moved=np.r_[0.004, 0.005, 0.0077, 0.02, -0.02, 0.02])
    until(lambda: cell.report["suspect"] == "arm_left")
    assert "as if its base were " in cell.report["message"]
    cell.depths.clear()
    until(lambda: cell.report.get("blind_left_wrist") == "no depth comes")
    assert cell.report["state"] == "DRIFTED", "what was found stays until the camera is seen to agree"
    cell.stand()
    until(lambda: cell.report["state"] == "WATCHING" and cell.report["suspect"] == "")
