# SPDX-License-Identifier: Apache-2.0
"""The calibration node before a camera that sees what the test holds before it: every answer is one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger

from tests.ros_support import spinning, wait_until
from wam_ros.core.board import Board
from wam_ros.core.errors import ConfigError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.files.assets import find, load_robot
from wam_ros.files.board import board_text
from wam_ros.files.load import to_data
from wam_ros.nodes.calibration import CalibrationNode
from wam_ros.ros.convert import image_to_msg, ns_to_stamp
from wam_ros.ros.qos import EVENT, SENSOR, STATE
from wam_ros.ros.status import find_status, read_values
from wam_ros.ros.timebase import steady_clock
from wam_ros.vision.boards import picture

WIDTH, HEIGHT, RATE_HZ = 320, 240, 10.0
BOARD = Board(columns=6, rows=5, square_m=0.03, marker_m=0.0225, dictionary="4x4_250")
EMPTY = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


def shown() -> np.ndarray:
    """The board from the front."""
    drawn = picture(BOARD, 40)
    seen = np.full((HEIGHT, WIDTH), 255, np.uint8)
    top, left = (HEIGHT - drawn.shape[0]) // 2, (WIDTH - drawn.shape[1]) // 2
    seen[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return np.repeat(seen[:, :, None], 3, axis=2)


class Driver(Node):
    """A robot with one camera.

    Attributes:
        picture: what the camera sees; info_width: of the intrinsics that it says.
        position: (J,) where the arms are; restless: they tremble.
        status: of the calibration node.
    """

    def __init__(self, context, robot) -> None:
        super().__init__("driver", context=context)
        self.robot, self.position = robot, np.array(robot.ready_position())
        self.picture, self.info_width, self.restless = EMPTY, 640, False
        self.status: dict[str, str] = {}
        self._ticks = 0
        camera = robot.cameras[0]
        self._color = self.create_publisher(Image, camera.color, SENSOR)
        self._info = self.create_publisher(CameraInfo, camera.info, SENSOR)
        self._joints = [(t, self.create_publisher(JointState, t.stream.topic, STATE)) for t in feedback_topics(robot)]
        self._asked = {
            n: self.create_client(Trigger, f"calibrate/{n}") for n in ("capture", "solve", "verify", "save", "discard")
        }
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)
        self.create_timer(0.05, self._on_tick, clock=steady_clock())

    def _on_tick(self) -> None:
        self._ticks += 1
        stamp = ns_to_stamp(self.get_clock().now().nanoseconds)
        position = self.position + 0.05 * self.restless * (self._ticks % 2)
        for topic, publisher in self._joints:
            message = JointState(name=[topic.name], position=topic.to_native(position).tolist())
            message.header.stamp = stamp
            publisher.publish(message)
        if self._ticks % 2:
            message = image_to_msg(self.picture, "rgb8", 0, "")
            message.header.stamp = stamp
            self._color.publish(message)
            focal = 300.0
            k = [focal, 0.0, WIDTH / 2 - 0.5, 0.0, focal, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0]
            self._info.publish(
                CameraInfo(width=self.info_width, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
            )

    def _on_diagnostics(self, array) -> None:
        status = find_status(array, "wam/calibration")
        if status is not None:
            self.status = read_values(status)

    def ask(self, executor, name: str) -> tuple[bool, str]:
        wait_until(executor, self._asked[name].service_is_ready)
        future = self._asked[name].call_async(Trigger.Request())
        wait_until(executor, future.done)
        return future.result().success, future.result().message

    def until_it_says(self, executor, words: str, key: str = "news") -> None:
        wait_until(executor, lambda: words in self.status.get(key, ""))


def one_camera(folder) -> str:
    robot = load_robot("sim_r1_lite")
    camera = replace(robot.camera("left_wrist"), width=WIDTH, height=HEIGHT, rate_hz=RATE_HZ)
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(to_data(replace(robot, cameras=(camera,), leader_camera="left_wrist"))))
    return str(path)


def make(context, robot: str, **params) -> CalibrationNode:
    given = {"robot": robot, "task": str(find("config/calibration.yaml")), "rest_s": 0.2} | params
    return CalibrationNode(context=context, parameter_overrides=[Parameter(n, value=v) for n, v in given.items()])


def test_what_it_is_asked_for_it_grants_or_refuses_in_one_sentence(ros_context, tmp_path):
    robot, out = one_camera(tmp_path), tmp_path / "cell.yaml"
    node = make(ros_context, robot, board=board_text(BOARD), out=str(out))
    driver = Driver(ros_context, load_robot(robot))
    with spinning(ros_context, node, driver) as executor:
        driver.until_it_says(executor, "camera left_wrist: camera_info: expected 320x240, got 640x240")
        granted, said = driver.ask(executor, "capture")
        assert (granted, said.startswith("capture refused: camera left_wrist")) == (False, True)
        driver.restless, driver.info_width = True, WIDTH
        wait_until(executor, lambda: "moves; let the arms rest" in driver.ask(executor, "capture")[1])
        assert driver.ask(executor, "solve") == (False, "solve refused: nothing has been captured")
        assert driver.ask(executor, "verify") == (False, "nothing has been solved")
        assert driver.ask(executor, "save") == (False, "nothing is saved: nothing has been solved")
        driver.restless = False
        driver.until_it_says(executor, "left_wrist: board: none in view")
        assert driver.status["poses"] == "0"
        driver.picture = shown()
        # The newest picture may still be the one before: ask until the board is on it.
        wait_until(executor, lambda: driver.ask(executor, "capture") and driver.status["poses"] == "1")
        driver.until_it_says(executor, "expected at least 8 poses", "lacks")
        driver.until_it_says(executor, "left_wrist: move the tool of arm left by", "advice")
        assert float(driver.status["coverage_left_wrist"]) > 0.2
        wait_until(executor, lambda: driver.ask(executor, "capture")[0])
        driver.until_it_says(executor, "sees the same as before")
        driver.position = driver.position + 0.1
        driver.until_it_says(executor, "2", "poses")
        wait_until(executor, lambda: driver.ask(executor, "solve")[0])
        driver.until_it_says(executor, "expected at least 8 poses")
        granted, said = driver.ask(executor, "save")
        assert (granted, said.startswith("nothing is saved: hand-eye: camera left_wrist")) == (False, True)
        assert driver.ask(executor, "discard") == (True, "2 poses forgotten")
        assert not out.exists()


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        (
            {"serials": "right_wrist=0815"},
            "serials: expected CAMERA=SERIAL with one of left_wrist, got 'right_wrist=0815'",
        ),
        ({"board": "{columns: 2}"}, "at least 3 x 3 squares"),
        ({"board": "{colums: 9}"}, "an unknown key"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start_in_one_sentence(ros_context, tmp_path, params, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make(ros_context, one_camera(tmp_path), **params)
