# SPDX-License-Identifier: Apache-2.0
"""Observations from a driver's topics: real publishers, real messages, one time for all."""

from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from sensor_msgs.msg import JointState as JointStateMsg

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.ros.convert import image_to_msg, ns_to_stamp
from wam_ros.ros.inlets import Inlets
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.qos import SENSOR, STATE

MS = 1_000_000


class Driver(Node):
    """Publishes what a test tells it to, on the robot's topics."""

    def __init__(self, robot, context):
        super().__init__("driver", context=context)
        self.robot = robot
        kinds = {"raw": Image, "compressed": CompressedImage}
        self.cameras = {c.name: self.create_publisher(kinds[c.transport], c.color, SENSOR) for c in robot.cameras}
        self.depths = {
            c.name: self.create_publisher(kinds[c.depth_transport], c.depth, SENSOR) for c in robot.cameras if c.depth
        }
        self.topics = {t.name: t for t in feedback_topics(robot)}
        self.joints = {n: self.create_publisher(JointStateMsg, t.stream.topic, STATE) for n, t in self.topics.items()}
        self.truth = self.create_publisher(JointStateMsg, "sim/truth", STATE)

    def now_ns(self):
        return self.get_clock().now().nanoseconds

    def send_joints(self, stamp_ns, position, only=None, names=None):
        """(J,) positions in robot order, grippers normalised, under placeholder names."""
        for name, topic in self.topics.items():
            if only in (None, name):
                values = topic.to_native(np.asarray(position, float)).tolist()
                msg = JointStateMsg(name=names or ["placeholder"], position=values)
                msg.header.stamp = ns_to_stamp(stamp_ns)
                self.joints[name].publish(msg)

    def send_pictures(self, stamp_ns, shade=7):
        for camera in self.robot.cameras:
            picture = np.full((camera.height, camera.width, 3), shade, np.uint8)
            if camera.transport == "raw":
                msg = image_to_msg(picture, "rgb8", stamp_ns, camera.frame)
            else:
                msg = CompressedImage(format="png", data=cv2.imencode(".png", picture)[1].tobytes())
                msg.header.stamp = ns_to_stamp(stamp_ns)
            self.cameras[camera.name].publish(msg)

    def send_truth(self, stamp_ns, values):
        msg = JointStateMsg(name=["a", "b"], position=values)
        msg.header.stamp = ns_to_stamp(stamp_ns)
        self.truth.publish(msg)


class Scene:
    """A driver and a listener with an ObservationSource, on one executor."""

    def __init__(self, robot, context, executor, listener, driver, **options):
        self.seen = []
        self.executor, self.driver = executor, driver
        self.source = ObservationSource(listener, robot, on_observation=self.seen.append, **options)
        ports = [*driver.cameras.values(), *driver.joints.values()]
        ports += driver.depths.values() if options.get("with_depth") else []
        ports += [driver.truth] if options.get("with_truth") else []
        wait_until(executor, lambda: all(port.get_subscription_count() for port in ports))

    def until(self, condition):
        wait_until(self.executor, condition)


@contextmanager
def scene(robot, context, sim_time=False, **options):
    overrides = [Parameter("use_sim_time", value=sim_time)]
    listener = Node("listener", context=context, parameter_overrides=overrides)
    driver = Driver(robot, context)
    with spinning(context, listener, driver) as executor:
        made = Scene(robot, context, executor, listener, driver, **options)
        yield made
        made.source.close()


def positions(robot, value):
    """As far from the ready pose as that, grippers half of it open."""
    return np.where(robot.gripper_mask, value / 2, robot.ready_position() + value / 10)


def test_cameras_and_joints_are_brought_to_the_leaders_time(robot, ros_context):
    with scene(robot, ros_context) as s:
        t = s.driver.now_ns()
        s.driver.send_joints(t - 5 * MS, positions(robot, 0.2))
        s.driver.send_joints(t + 5 * MS, positions(robot, 0.4))
        s.driver.send_pictures(t)
        s.until(lambda: s.seen)
        assert s.source.image_stamp_ns("head") == s.source.images_stamp_ns == t
        assert s.source.joints_stamp_ns == t + 5 * MS
        newest = s.source.latest_joints().position
    (seen,) = s.seen
    assert seen.complete
    assert (seen.stamp_ns, seen.joints.stamp_ns) == (t, t)
    assert list(seen.views) == ["head", "left_wrist", "right_wrist"]
    assert all((view.color == 7).all() and view.stamp_ns == t for view in seen.views.values())
    np.testing.assert_allclose(seen.joints.position, positions(robot, 0.3), rtol=1e-12)
    np.testing.assert_allclose(newest, positions(robot, 0.4), rtol=1e-12)


def test_joints_are_taken_by_name_where_the_driver_names_them(robot, ros_context):
    with scene(robot, ros_context) as s:
        t = s.driver.now_ns()
        wanted = positions(robot, 0.2) + np.arange(14) / 100
        names = [*reversed(robot.arms[0].joints), "torso"]
        msg = JointStateMsg(name=names, position=[*wanted[5::-1].tolist(), 99.0])
        msg.header.stamp = ns_to_stamp(t)
        s.driver.joints["left"].publish(msg)
        for name in ("left_gripper", "right", "right_gripper"):
            s.driver.send_joints(t, wanted, only=name)
        s.until(lambda: s.source.joints_stamp_ns == t)
        np.testing.assert_allclose(s.source.latest_joints().position, wanted)


@pytest.mark.parametrize(
    ("values", "names"), [([0.1] * 5, []), ([0.1] * 5 + [float("nan")], []), ([0.1] * 6, ["left_arm_joint1"] * 6)]
)
def test_a_bad_joint_message_is_refused_and_counted_and_nothing_is_filled_in(robot, ros_context, values, names):
    with scene(robot, ros_context) as s:
        t = s.driver.now_ns()
        msg = JointStateMsg(name=names, position=values)
        msg.header.stamp = ns_to_stamp(t)
        s.driver.joints["left"].publish(msg)
        s.until(lambda: s.source.statistics().get("refused_joints/left") == 1)
        for name in ("left_gripper", "right", "right_gripper"):
            s.driver.send_joints(t, positions(robot, 0.2), only=name)
        s.driver.send_pictures(t)
        s.until(lambda: s.source.statistics().get("missing_joints/left") == 1)
        assert s.source.latest_joints() is None
        assert not s.seen


def test_a_picture_of_another_size_is_refused(robot, ros_context):
    with scene(robot, ros_context) as s:
        s.driver.cameras["head"].publish(image_to_msg(np.zeros((10, 20, 3), np.uint8), "rgb8", s.driver.now_ns(), ""))
        s.until(lambda: s.source.statistics().get("refused_head") == 1)
        assert s.source.image_stamp_ns("head") == 0


def test_an_unstamped_message_is_refused_with_the_cure(robot, ros_context, monkeypatch):
    said, refuse = [], Inlets._refuse
    monkeypatch.setattr(Inlets, "_refuse", lambda *args: said.append(str(args[-1])) or refuse(*args))
    with scene(robot, ros_context) as s:
        s.driver.send_pictures(0)
        s.until(lambda: all(s.source.statistics().get(f"refused_{c.name}") == 1 for c in robot.cameras))
    assert all("let the driver stamp its messages" in text for text in said)


def test_stamps_are_those_of_receipt_where_the_robot_says_so(robot, ros_context):
    with scene(replace(robot, stamp_source="receive"), ros_context) as s:
        before = s.driver.now_ns()

        def another_moment():
            s.driver.send_joints(0, positions(robot, 0.2))
            s.driver.send_pictures(0)
            return s.seen

        s.until(another_moment)
        assert before < s.seen[0].stamp_ns < s.driver.now_ns()


def test_a_cameras_latency_is_taken_off_its_stamps(robot, ros_context):
    late = replace(robot, cameras=tuple(replace(c, latency_s=0.02) for c in robot.cameras))
    with scene(late, ros_context) as s:
        t = s.driver.now_ns()
        s.driver.send_joints(t - 20 * MS, positions(robot, 0.2))
        s.driver.send_pictures(t)
        s.until(lambda: s.seen)
        assert s.seen[0].stamp_ns == t - 20 * MS


def test_compressed_pictures_are_decoded_and_broken_ones_refused(robot, ros_context):
    compressed = replace(robot, cameras=tuple(replace(c, transport="compressed") for c in robot.cameras))
    with scene(compressed, ros_context) as s:
        t = s.driver.now_ns()
        broken = CompressedImage(format="jpeg", data=b"broken")
        broken.header.stamp = ns_to_stamp(t)
        s.driver.cameras["head"].publish(broken)
        s.until(lambda: s.source.statistics().get("refused_head") == 1)
        s.driver.send_joints(t, positions(robot, 0.2))
        s.driver.send_pictures(t, shade=90)
        s.until(lambda: s.seen)
        assert all((view.color == 90).all() for view in s.seen[0].views.values())


def test_truth_comes_with_the_observation_and_none_is_made_without_it(robot, ros_context):
    with scene(robot, ros_context, with_truth=True) as s:
        t = s.driver.now_ns()
        s.driver.send_joints(t, positions(robot, 0.2))
        s.driver.send_pictures(t)
        s.until(lambda: s.source.statistics().get("missing_truth") == 1)
        later = s.driver.now_ns()
        s.driver.send_truth(later, [1.5, -2.0])
        s.driver.send_joints(later, positions(robot, 0.2))
        s.driver.send_pictures(later)
        s.until(lambda: s.seen)
        assert s.source.truth_stamp_ns == later
        assert s.source.truth_names == ("a", "b")
    assert [seen.stamp_ns for seen in s.seen] == [later]
    np.testing.assert_array_equal(s.seen[0].truth, [1.5, -2.0])


def test_depth_belongs_to_its_picture_and_is_left_out_when_it_never_comes(robot, ros_context):
    with scene(robot, ros_context, with_depth=True) as s:
        t = s.driver.now_ns()
        s.driver.send_joints(t, positions(robot, 0.2))
        s.driver.depths["head"].publish(image_to_msg(np.full((240, 320), 1500, np.uint16), "16UC1", t, ""))
        s.driver.send_pictures(t)
        s.until(lambda: s.seen)
    views = s.seen[0].views
    assert (views["head"].depth_m == 1.5).all()
    assert views["left_wrist"].depth_m is None
    assert s.seen[0].complete


def test_data_may_come_before_the_simulated_clock_that_they_belong_to(robot, ros_context):
    with scene(robot, ros_context, sim_time=True) as s:
        clock = s.driver.create_publisher(Clock, "/clock", 10)
        s.until(lambda: clock.get_subscription_count())
        for t in (5_000 * MS, 5_066 * MS):
            s.driver.send_joints(t, positions(robot, 0.2))
            s.driver.send_pictures(t)
            s.until(lambda t=t: s.seen and s.seen[-1].stamp_ns == t)
            clock.publish(Clock(clock=ns_to_stamp(t)))
        assert s.source.statistics()["clock_jumps"] == 0
    assert all(seen.complete for seen in s.seen)


def test_only_the_cameras_that_are_wanted_are_waited_for(robot, ros_context):
    listener = Node("listener", context=ros_context)
    with spinning(ros_context, listener):
        source = ObservationSource(listener, robot, on_observation=lambda _: None, cameras=["right_wrist"])
        assert source.statistics()["leader"] == "right_wrist"
        with pytest.raises(ConfigError, match="got ceiling"):
            ObservationSource(listener, robot, on_observation=lambda _: None, cameras=["ceiling"])


def test_feedback_that_nobody_speaks_is_an_error(robot, ros_context):
    arm = replace(robot.arms[0], state=replace(robot.arms[0].state, kind="smoke_signals"))
    listener = Node("listener", context=ros_context)
    with spinning(ros_context, listener), pytest.raises(ConfigError, match="smoke_signals"):
        ObservationSource(listener, replace(robot, arms=(arm,)), on_observation=lambda _: None)


@pytest.mark.parametrize("ahead_s", [37.0, -3600.0], ids=["future", "past"])
def test_stamps_of_another_clock_are_refused_with_the_cure_and_do_no_harm_where_arrival_counts(
    robot, ros_context, monkeypatch, ahead_s
):
    said, refuse = [], Inlets._refuse
    monkeypatch.setattr(Inlets, "_refuse", lambda *args: said.append(str(args[-1])) or refuse(*args))
    with scene(robot, ros_context) as s:
        t = s.driver.now_ns()
        s.driver.send_joints(t + round(ahead_s * 1e9), positions(robot, 0.2))
        s.until(lambda: sum(n for k, n in s.source.statistics().items() if k.startswith("refused_joints")) == 4)
        assert s.source.latest_joints() is None
    assert all("synchronise the clocks of both computers" in text for text in said)
    with scene(replace(robot, stamp_source="receive"), ros_context) as s:
        s.driver.send_joints(t + round(ahead_s * 1e9), positions(robot, 0.2))
        s.until(lambda: s.source.latest_joints() is not None)


def test_joints_in_degrees_are_refused_before_they_make_an_observation(robot, ros_context):
    with scene(robot, ros_context) as s:
        s.driver.send_joints(s.driver.now_ns(), np.degrees(positions(robot, 1.0)))
        s.until(lambda: s.source.statistics().get("refused_joints/left", 0) >= 1)
        assert s.source.latest_joints() is None
