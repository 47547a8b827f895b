# SPDX-License-Identifier: Apache-2.0
"""Arms through their vendor's library: real ROS, a stand-in for the library, and the library itself where it is installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from tests import sdk_support
from tests.ros_support import spinning, wait_until
from tests.sdk_support import LOOP_S, OLD_S, Controller
from wam_ros.arms.sdk_arm import VendorArm, load_library
from wam_ros.core.errors import ConfigError, MissingDependencyError, RunError
from wam_ros.core.robot import Robot
from wam_ros.core.sdk import SdkArm
from wam_ros.files.assets import load_robot
from wam_ros.files.load import to_data
from wam_ros.nodes.arms import Arms
from wam_ros.ros.act import CommandSink
from wam_ros.ros.feedback import JointFeedback
from wam_ros.ros.qos import COMMAND, EVENT
from wam_ros.ros.status import ERROR, find_status, read_values

ROBOT = load_robot("ac_one_direct")
LEFT = ROBOT.arms[0]


@pytest.fixture
def library(monkeypatch):
    module = sdk_support.library(ROBOT.sdk.module, ROBOT.sdk.controller)
    monkeypatch.setitem(sys.modules, ROBOT.sdk.module, module)
    return module


class Side(Node):
    """Our side of the driver."""

    def __init__(self, context) -> None:
        super().__init__("side", context=context)
        self.sink = CommandSink(self, ROBOT)
        self.feedback = JointFeedback(self, ROBOT, self.now_ns)
        self.rogue = self.create_publisher(JointState, LEFT.command.topic, COMMAND)
        self.status = None
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def stream(self, position: np.ndarray) -> None:
        self.sink.stream(position, self.now_ns())

    def _on_diagnostics(self, array) -> None:
        self.status = find_status(array, "wam/arms")

    def figure(self, key: str) -> float:
        return float(read_values(self.status).get(key, "nan")) if self.status else float("nan")


def made(context, robot: str = "ac_one_direct") -> Arms:
    return Arms(context=context, parameter_overrides=[Parameter("robot", value=robot)])


def test_an_arm_is_limp_until_told_where_it_stands_follows_within_limits_holds_and_goes_limp_at_the_end(
    ros_context, library
):
    driver, side = made(ros_context), Side(ros_context)
    left, right = Controller.opened["can1"], Controller.opened["can3"]
    with spinning(ros_context, driver, side) as executor:
        wait_until(executor, lambda: bool(np.isfinite(side.feedback.position).all()))
        start = side.feedback.position.copy()
        assert start[:6] == pytest.approx(left.position[:6])
        assert 0 < side.feedback.stamp_ns <= side.now_ns() - int(OLD_S * 1e9), "the time at which the motors said it"

        # told to jump: refused, and nothing has become stiff
        far = start.copy()
        far[0] += 0.5

        def refused() -> bool:
            side.stream(far)
            return side.figure("refused_left") > 0

        wait_until(executor, refused)
        assert "0.50 rad from where it stands" in side.status.message
        assert not left.stiff
        assert left.told == 0

        # a limp arm is moved by hand; it then starts from there, not from where it was opened
        left.position[1] += 0.4
        wait_until(executor, lambda: abs(side.feedback.position[1] - start[1] - 0.4) < 1e-6)
        here = side.feedback.position.copy()

        def stiff() -> bool:
            side.stream(here)
            return left.stiff and right.stiff

        wait_until(executor, stiff)
        assert left.largest_step < 1e-6, "it began with a step"

        goal = here.copy()
        goal[[0, 2]] += 0.3
        goal[6] = 1.0

        def there() -> bool:
            side.stream(goal)
            return bool(np.abs(side.feedback.position - goal).max() < 1e-3)

        wait_until(executor, there)
        assert left.position[6] == pytest.approx(0.082), "metres of opening"
        assert left.largest_step <= max(LEFT.limits.velocity_rad_s) * LOOP_S + 1e-9

        # what cannot be a target is not followed; when nothing comes any more, it holds
        told = left.told
        for spoilt in ([np.nan] * 7, [0.0] * 6, [*np.degrees(goal[:6]), 0.0], [*goal[:6], -3.4]):
            before = driver._refused["left"]
            side.rogue.publish(JointState(position=spoilt))
            wait_until(executor, lambda before=before: driver._refused["left"] > before)
        assert left.told <= told + 10
        assert left.stiff
        assert left.position[:6] == pytest.approx(goal[:6], abs=1e-3)

        # motors that speak no more: no feedback, no targets, and diagnostics say so
        left.dead = True
        wait_until(executor, lambda: side.status.level == ERROR and "silent: left" in side.status.message)
        stamp_ns, told = side.feedback._stamps_ns["left"], left.told
        side.stream(goal)
        wait_until(executor, lambda: "silent" in driver._said["left"])
        assert left.told == told
        assert side.feedback._stamps_ns["left"] == stamp_ns
        before = left.damped, right.damped
    assert (left.stiff, right.stiff) == (False, False), "left standing stiff"
    assert (left.damped, right.damped) == (before[0] + 1, before[1] + 1)


def test_the_library_is_told_the_robots_limits_and_its_gripper(ros_context, library):
    driver = made(ros_context)
    told, limits, margin = Controller.opened["can1"], LEFT.limits, LEFT.limits.feedback_margin_rad
    driver.destroy_node()
    assert told.robot.joint_vel_max == pytest.approx(limits.velocity_rad_s)
    assert (told.robot.joint_pos_min >= np.subtract(limits.lower_rad, margin)).all()
    assert (told.robot.joint_pos_max <= np.add(limits.upper_rad, margin)).all()
    assert told.robot.joint_pos_min[1] == -0.05, "its own limit, where that is narrower"
    assert (told.robot.gripper_width, told.robot.gripper_open_readout) == (0.082, -3.4)
    assert told.robot.gripper_vel_max == pytest.approx(0.164)
    assert told.control.default_preview_time == pytest.approx(0.01)


def written(robot: Robot, folder) -> str:
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(to_data(robot)))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "X9"}, ConfigError, "Unknown robot model.*correct model"),
        ({"arms": {"left": SdkArm("can1", -3.4)}}, ConfigError, "sdk.arms: expected left, right"),
        (
            {"arms": {"left": SdkArm("can7", -3.4), "right": SdkArm("can3", -3.4)}},
            RunError,
            "arm left: expected motors on can7, got Failed .*; sudo slcand .* can7",
        ),
        ({"module": "no_such_library"}, MissingDependencyError, "no_such_library.*pip install arx5-interface"),
    ],
    ids=["model", "arms", "port", "library"],
)
def test_what_does_not_fit_is_one_sentence_with_its_cure(ros_context, library, tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        made(ros_context, written(replace(ROBOT, sdk=replace(ROBOT.sdk, **changes)), tmp_path))


def test_a_robot_with_a_driver_of_its_own_is_refused(ros_context):
    with pytest.raises(ConfigError, match="robot ac_one: expected sdk, a vendor's library, got none; start the driver"):
        made(ros_context, "ac_one")


@pytest.mark.skipif(find_spec(ROBOT.sdk.module) is None, reason=f"{ROBOT.sdk.module} is not installed here")
def test_the_library_itself_has_all_that_is_used_of_it():
    real, ours = load_library(ROBOT.sdk), sdk_support.library("stand_in", ROBOT.sdk.controller)
    for name in (name for name in vars(ours) if not name.startswith("_")):
        assert hasattr(real, name)
    methods = ("get_timestamp", "get_joint_state", "set_joint_cmd", "set_to_damping", "set_gain")
    assert all(hasattr(getattr(real, ROBOT.sdk.controller), method) for method in methods)
    config = real.RobotConfigFactory.get_instance().get_config(ROBOT.sdk.model)
    assert all(hasattr(config, name) for name in vars(sdk_support.RobotConfigs().get_config("X5")))
    unplugged = replace(ROBOT.sdk, arms={"left": SdkArm("nowhere0", -3.4)})
    with pytest.raises(RunError, match="motors on nowhere0"):
        VendorArm(real, unplugged, LEFT, 0.01)
