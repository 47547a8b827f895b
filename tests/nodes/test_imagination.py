# SPDX-License-Identifier: Apache-2.0
"""What a policy imagines, from its worker to clouds and errors, on real topics; and what must not follow from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("torch", reason="torch is not installed")
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from tests.nodes.test_policy import FRAME_NS, Rig, policy_node
from tests.policy_support import Probe, Surroundings, probe_policy
from tests.ros_support import spinning
from tests.xwam_checkpoint import CAMERAS, MOSAIC, random_checkpoint
from wam_ros.core.imagination import Imagination
from wam_ros.core.transforms import apply, invert
from wam_ros.files.assets import load_robot
from wam_ros.files.load import to_data
from wam_ros.kinematics.forward import Kinematics
from wam_ros.nodes.imagination import ImaginationNode
from wam_ros.ros.clouds import ERROR, IMAGINED, MEASURED, cloud_from_msg
from wam_ros.ros.convert import color_from_msg, depth_from_msg, image_to_msg, stamp_to_ns
from wam_ros.ros.imagined import COLOR, view_info
from wam_ros.ros.qos import SENSOR
from wam_ros.ros.status import find_status, read_values

OFFSETS_NS = (0, FRAME_NS, 2 * FRAME_NS)
WALL_M, TOO_FAR = 1.0, 1.1
MATRIX = np.array([[200.0, 0, 159.5], [0, 200.0, 119.5], [0, 0, 1]])
#: What a viewer on a bad line asks for.
POOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Dreamer(Probe):
    """Imagines the wall that everybody sees, a tenth too far; dreams on until it is called while ``restless``."""

    imagining = False
    metres = True

    def __init__(self) -> None:
        super().__init__()
        self.dreams = self.cancelled = 0
        self.restless = False

    def imagine(self, cancelled) -> Imagination | None:
        if not self.imagining or not self.requests:
            return None
        self.dreams += 1
        while self.restless:
            if cancelled():
                self.cancelled += 1
                return None
        observation = self.requests[-1].observation
        colors = {c: np.full((3, 64, 80, 3), len(c), np.uint8) for c in CAMERAS}
        depths = {c: np.full((3, 64, 80), TOO_FAR * WALL_M, np.float32) for c in CAMERAS}
        joints = np.tile(observation.joints.position, (3, 1))
        return Imagination(observation.stamp_ns, OFFSETS_NS, colors, depths if self.metres else None, joints)


class Deep(Surroundings):
    """Cameras that see a wall, and how far it is; collects what is imagined."""

    def __init__(self, context, robot) -> None:
        super().__init__(context, robot)
        self.wall = np.full((240, 320), 1000 * WALL_M, np.uint16)
        self.encoding, self.info_height = "16UC1", 240
        self.seen, self.said, self.report = {}, {}, {}
        self._depths = {c: self.create_publisher(Image, c.depth, SENSOR) for c in robot.cameras}
        self._infos = {c: self.create_publisher(CameraInfo, c.info, SENSOR) for c in robot.cameras}

    def say_pictures(self, stamp_ns: int, without: str = "") -> None:
        for camera, publisher in self._infos.items():
            publisher.publish(view_info(self.info_height, 320, MATRIX, stamp_ns, camera.frame))
        for camera, publisher in self._depths.items():
            publisher.publish(image_to_msg(self.wall, self.encoding, stamp_ns, camera.frame))
        super().say_pictures(stamp_ns, without)

    def look_at(self, topic: str, kind: type) -> None:
        self.said[topic] = self.create_subscription(kind, topic, lambda m: self.seen.update({topic: m}), POOR)

    def look_away(self) -> None:
        for subscription in self.said.values():
            self.destroy_subscription(subscription)
        self.said.clear()
        self.seen.clear()

    def _on_diagnostics(self, array) -> None:
        super()._on_diagnostics(array)
        status = find_status(array, "wam/imagination")
        if status is not None:
            self.report = {"message": status.message, **read_values(status)}


class Dream(Rig):
    """The policy, the imagination, and what stands around them."""

    @property
    def probe(self) -> Dreamer:
        return Dreamer.last

    def think(self) -> None:
        """Let the policy infer once more."""
        before = len(self.around.chunks)
        while len(self.around.chunks) == before:
            self.see()

    def watch(self, *topics: tuple[str, type]) -> None:
        for topic in topics:
            self.around.look_at(*topic)
        self.until(lambda: self.around.report.get("state") == "LOOKING")
        self.until(lambda: self.node.count_subscribers(COLOR) == 1)

    def see_until(self, condition) -> None:
        while not condition():
            self.see()

    def reported(self, key: str) -> str:
        return self.around.report.get(key, "")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Folders of a checkpoint with a depth coding, and of one without."""
    folders = {depth: tmp_path_factory.mktemp("checkpoint") for depth in (True, False)}
    random_checkpoint(folders[True])
    random_checkpoint(folders[False], depth=None)
    return folders


@pytest.fixture
def make_dream(ros_context, robot, checkpoints, tmp_path):
    stack = []

    def make(dreamed=robot, depth=True, **params) -> Dream:
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump(to_data(dreamed)))
        changes = {"backend": "tests.nodes.test_imagination:Dreamer", "checkpoint": str(checkpoints[depth])}
        sizes = {"rate_hz": 10.0, "horizon": 16, "execute_rows": 2, "mosaic": to_data(MOSAIC)}
        policy = probe_policy(tmp_path, **changes, **sizes)
        given = {"robot": str(path), "policy": policy, "use_sim_time": True, **params}
        parameters = [Parameter(name, value=value) for name, value in given.items()]
        node = policy_node(ros_context, policy, use_sim_time=True)
        imagination = ImaginationNode(context=ros_context, parameter_overrides=parameters)
        around = Deep(ros_context, robot)
        entered = spinning(ros_context, node, imagination, around)
        rig = Dream(entered.__enter__(), node, around)
        stack.append(entered)
        rig.until(lambda: around.connected and around.values.get("phase") == "READY")
        rig.until(lambda: rig._clock.get_subscription_count() == 2 and around.report)
        rig.arm()
        return rig

    yield make
    for entered in stack:
        entered.__exit__(None, None, None)


def test_it_is_imagined_for_who_looks_and_measured_against_what_comes(make_dream, robot):
    rig = make_dream()
    rig.think()
    assert (rig.probe.imagining, rig.probe.dreams, rig.reported("state")) == (False, 0, "RESTING")

    clouds = (IMAGINED, MEASURED, ERROR)
    rig.watch(*((topic, PointCloud2) for topic in clouds), ("imagined/head/depth", Image))
    rig.see_until(lambda: {*clouds, "imagined/head/depth"} <= rig.around.seen.keys())
    T = Kinematics(robot).pose(robot.ready_position(), "head_optical_frame")
    for topic, distance in ((IMAGINED, TOO_FAR * WALL_M), (MEASURED, WALL_M), (ERROR, TOO_FAR * WALL_M)):
        message = rig.around.seen[topic]
        assert message.header.frame_id == robot.base_frame
        points = cloud_from_msg(message).points
        assert len(points) == 3 * 64 * 80
        np.testing.assert_allclose(apply(invert(T), points[: 64 * 80])[:, 2], distance, atol=1e-4)
    depth = rig.around.seen["imagined/head/depth"]
    assert (depth.encoding, depth.header.frame_id) == ("32FC1", "head_optical_frame")
    np.testing.assert_allclose(depth_from_msg(depth), TOO_FAR * WALL_M)
    assert stamp_to_ns(depth.header.stamp) in {r.observation.stamp_ns + OFFSETS_NS[-1] for r in rig.probe.requests}

    rig.see_until(lambda: rig.reported("absrel_133ms"))
    assert float(rig.reported("absrel_133ms")) == pytest.approx(0.1, abs=1e-3)
    assert float(rig.reported("delta1_0ms")) == 1
    assert float(rig.reported("psnr_db_67ms")) == 99
    assert not rig.reported("refused")

    rig.around.look_away()
    rig.until(lambda: rig.node.count_subscribers(COLOR) == 0)
    rig.until(lambda: rig.reported("state") == "RESTING")
    rig.think()
    dreams = rig.probe.dreams
    rig.think()
    assert rig.probe.dreams == dreams


def test_the_next_observation_ends_a_dream_and_a_subscriber_that_sleeps_holds_nobody_up(make_dream, ros_context):
    rig = make_dream()
    asleep = Node("asleep", context=ros_context)
    try:
        asleep.create_subscription(PointCloud2, IMAGINED, lambda _: None, POOR)
        rig.until(lambda: rig.node.count_subscribers(COLOR) == 1)
        while rig.probe.dreams < 4:
            rig.think()
        rig.probe.restless = True
        while rig.probe.cancelled < 2:
            rig.think()  # a chunk comes although the dream before it never ends by itself
        assert all(len(c.points) == 16 for c in rig.around.chunks)
    finally:
        rig.probe.restless = False
        asleep.destroy_node()


@pytest.mark.parametrize(
    ("encoding", "wall", "reason"),
    [
        ("32FC1", np.full((240, 320), 1000, np.float32), "depth of head: expected metres, got a median of 1000"),
        ("mono8", np.full((240, 320), 100, np.uint8), "head/depth"),
        ("32FC1", np.full((240, 320), np.nan, np.float32), ""),
    ],
)
def test_depth_that_is_not_believed_gives_no_points_and_the_rest_goes_on(make_dream, encoding, wall, reason):
    rig = make_dream(measure=True)
    rig.around.encoding, rig.around.wall = encoding, wall
    rig.watch((IMAGINED, PointCloud2), (MEASURED, PointCloud2))
    rig.see_until(lambda: rig.reported("psnr_db_67ms") and MEASURED in rig.around.seen and IMAGINED in rig.around.seen)
    assert rig.around.seen[MEASURED].width == 0
    assert not rig.reported("absrel_67ms")
    if encoding == "mono8":
        rig.until(lambda: int(rig.reported("refused_head/depth") or 0) > 0)
    else:
        assert rig.reported("refused").startswith(reason)


def real(robot):
    return replace(robot, simulated=False)


@pytest.mark.parametrize(
    ("robot", "params", "height", "reason"),
    [
        (real(load_robot("sim_r1_lite")), {}, 240, "calibration of sim_r1_lite: expected a file, got none"),
        (load_robot("sim_r1_lite"), {}, 480, "camera head: camera_info: expected 320x240, got 320x480"),
    ],
)
def test_without_knowing_where_the_cameras_are_there_are_pictures_and_no_clouds(
    make_dream, robot, params, height, reason
):
    rig = make_dream(robot, measure=True, **params)
    rig.around.info_height = height
    rig.watch((IMAGINED, PointCloud2), ("imagined/head/color", Image), (MEASURED, PointCloud2))
    rig.see_until(lambda: "imagined/head/color" in rig.around.seen and rig.reported("absrel_133ms"))
    assert (color_from_msg(rig.around.seen["imagined/head/color"]) == len("head")).all()
    assert reason in rig.reported("refused")
    assert not rig.around.seen.keys() & {IMAGINED, MEASURED}


def test_without_a_depth_coding_on_the_card_there_are_pictures_and_measured_clouds_only(make_dream, monkeypatch):
    monkeypatch.setattr(Dreamer, "metres", False)
    rig = make_dream(depth=False, measure=True)
    rig.watch((IMAGINED, PointCloud2), ("imagined/head/color", Image), (MEASURED, PointCloud2))
    rig.see_until(lambda: rig.reported("psnr_db_67ms") and MEASURED in rig.around.seen)
    rig.see_until(lambda: "imagined/head/color" in rig.around.seen)
    assert "its card has no depth coding" in rig.reported("refused")
    assert IMAGINED not in rig.around.seen
