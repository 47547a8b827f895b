# SPDX-License-Identifier: Apache-2.0
"""The viewer: what rviz gets, and a page that answers only to itself."""

from __future__ import annotations

import io
import socket
import urllib.request

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
viser = pytest.importorskip("viser", reason="no viser in this environment")
import yourdfpy
import zstandard
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.types import Trajectory
from wam_ros.kinematics.description import urdf_text
from wam_ros.kinematics.forward import Kinematics
from wam_ros.nodes.viewer import ViewerNode
from wam_ros.ros.convert import image_to_msg, trajectory_to_msg
from wam_ros.ros.qos import COMMAND, LATCHED, SENSOR, STATE
from wam_ros.ros.status import OK, make_status
from wam_ros.ros.tf import LinkBroadcaster, transform_message
from wam_ros.view.page import ContactSheet, DrawnJoints, Page


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def page(robot):
    pressed = []
    page = Page(robot, free_port(), lambda: pressed.append(True))
    yield page
    page.close()


# the page


def unpacked(frame: bytes) -> bytes:
    """What the server sends: a head, then zstd."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(frame[frame.index(zstandard.FRAME_HEADER) :])


def refused(page, **origin) -> int:
    with pytest.raises(InvalidStatus) as refusal, connect(page.url.replace("http", "ws"), **origin):
        pass
    return refusal.value.response.status_code


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1.evil.example", "http://127.0.0.1:1", "http://localhost", "null"],
)
def test_a_foreign_page_is_refused(page, origin):
    assert refused(page, origin=origin) == 403


def test_who_does_not_say_where_he_comes_from_is_refused(page):
    assert refused(page) == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_its_own_page_is_let_in(page, host):
    port = page.url.rsplit(":", 1)[1]
    with connect(
        page.url.replace("http", "ws"), origin=f"http://{host}:{port}", subprotocols=[f"viser-v{viser.__version__}"]
    ) as own:
        assert own.recv(timeout=240)


def test_the_page_is_served_to_this_computer_only(page):
    with urllib.request.urlopen(page.url, timeout=240) as answer:
        assert b"<html" in answer.read()[:2000].lower()
    others = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1"
    }
    for address in others:
        if not address.startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((address, int(page.url.rsplit(":", 1)[1])), timeout=2)


def test_a_taken_port_is_one_clear_sentence(page, robot):
    port = int(page.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=f"viewer: port: expected a free port, got {port}"):
        Page(robot, port, lambda: None)


def test_the_drawn_robot_stands_where_kinematics_says(robot):
    urdf = yourdfpy.URDF.load(io.StringIO(urdf_text(robot)))
    kinematics, joints = Kinematics(robot), DrawnJoints(robot, urdf.actuated_joint_names)
    position = robot.ready_position() * 0.9
    urdf.update_cfg(joints.configuration(position))
    for arm in robot.arms:
        drawn = urdf.get_transform(arm.tool_frame, robot.base_frame)
        assert drawn == pytest.approx(kinematics.tool_pose(position, arm), abs=1e-9)


def test_a_contact_sheet_has_a_place_for_every_camera(robot):
    sheet = ContactSheet(robot)
    assert not sheet.image.any()
    for number, camera in enumerate(robot.cameras):
        sheet.put({camera.name: np.full((camera.height, camera.width, 3), 60 * (number + 1), np.uint8)})
    shades, counts = np.unique(sheet.image, return_counts=True)
    assert set(shades) >= {60, 120, 180}
    assert shades[counts.argmax()] == 60 * (1 + [camera.name for camera in robot.cameras].index(robot.leader_camera))


# the node


class Robot(Node):
    """A driver and a graph that say what the viewer listens to."""

    def __init__(self, context, robot) -> None:
        super().__init__("robot", context=context)
        self.robot, self.stops, self.markers, self.descriptions = robot, [], [], []
        self.cameras = {c.name: self.create_publisher(Image, c.color, SENSOR) for c in robot.cameras}
        self.joints = [(t, self.create_publisher(JointState, t.stream.topic, STATE)) for t in feedback_topics(robot)]
        self.committed = self.create_publisher(JointTrajectory, "motion/committed", COMMAND)
        self.safety = self.create_publisher(DiagnosticStatus, "safety/state", LATCHED)
        self.create_service(Trigger, "safety_stop", self._on_stop)
        self.create_subscription(MarkerArray, "markers", self._on_markers, LATCHED)
        self.create_subscription(MarkerArray, "markers/workspace", self._on_markers, LATCHED)
        self.create_subscription(String, "robot_description", self.descriptions.append, LATCHED)

    def _on_stop(self, _request, response):
        self.stops.append(True)
        response.success = True
        return response

    def _on_markers(self, message):
        self.markers.extend(message.markers)

    def named(self, namespace) -> list[Marker]:
        return [marker for marker in self.markers if marker.ns == namespace]

    def speak(self) -> None:
        for camera in self.robot.cameras:
            image = np.full((camera.height, camera.width, 3), 200, np.uint8)
            self.cameras[camera.name].publish(image_to_msg(image, "rgb8", 1, camera.frame))
        for topic, publisher in self.joints:
            publisher.publish(JointState(position=topic.to_native(self.robot.ready_position()).tolist()))


def make_viewer(context, robot, **params) -> ViewerNode:
    values = {"robot": robot.name, "task": "towel_fold", "port": 0} | params
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return ViewerNode(context=context, parameter_overrides=overrides)


@pytest.fixture
def scene(ros_context, robot):
    viewer, peer = make_viewer(ros_context, robot), Robot(ros_context, robot)
    with spinning(ros_context, viewer, peer) as executor:
        yield executor, viewer, peer


def straight(robot) -> Trajectory:
    rows = robot.ready_position() + np.linspace(0, 0.3, 20)[:, None] * ~np.array(robot.gripper_mask)
    return Trajectory(robot.joint_names, tuple(range(0, 20_000_000, 1_000_000)), rows, np.zeros_like(rows))


def test_rviz_gets_the_way_of_each_tool(scene, robot):
    executor, _, peer = scene
    trajectory = straight(robot)
    wait_until(executor, lambda: peer.committed.get_subscription_count() > 0)
    peer.committed.publish(trajectory_to_msg(trajectory))
    wait_until(executor, lambda: len(peer.named("committed")) == len(robot.arms))
    kinematics = Kinematics(robot)
    for marker, arm in zip(peer.named("committed"), robot.arms, strict=True):
        end = marker.points[-1]
        assert marker.header.frame_id == robot.base_frame
        assert (end.x, end.y, end.z) == pytest.approx(kinematics.tool_pose(trajectory.positions[-1], arm)[:3, 3])
        assert len(marker.points) == len(marker.colors) == 20


def test_rviz_gets_the_description_the_workspace_and_why_it_stopped(scene, robot):
    executor, _, peer = scene
    peer.safety.publish(make_status("wam/safety", OK, "STOPPED", {"cause": "CAMERA_STALE:head"}))
    wait_until(executor, lambda: peer.named("safety") and peer.named("workspace") and peer.descriptions)
    assert peer.named("safety")[-1].text == "STOPPED\nCAMERA_STALE:head"
    assert len(peer.named("workspace")[-1].points) == 24
    assert peer.descriptions[-1].data == urdf_text(robot)


def test_a_trajectory_of_another_robot_is_not_drawn(scene, robot):
    executor, _, peer = scene
    wait_until(executor, lambda: peer.committed.get_subscription_count() > 0)
    foreign = straight(robot)
    peer.committed.publish(
        trajectory_to_msg(Trajectory(foreign.names[::-1], foreign.times_ns, foreign.positions, foreign.velocities))
    )
    peer.safety.publish(make_status("wam/safety", OK, "ARMED", {"cause": ""}))
    wait_until(executor, lambda: peer.named("safety"))
    assert not peer.named("committed")


def test_the_stop_button_asks_safety(scene):
    executor, viewer, peer = scene
    viewer.ask_to_stop()
    wait_until(executor, lambda: peer.stops)


def test_the_page_shows_what_the_graph_says(ros_context, robot):
    port = free_port()
    viewer, peer = make_viewer(ros_context, robot, port=port), Robot(ros_context, robot)
    with (
        spinning(ros_context, viewer, peer) as executor,
        connect(
            f"ws://127.0.0.1:{port}",
            origin=f"http://127.0.0.1:{port}",
            subprotocols=[f"viser-v{viser.__version__}"],
            max_size=None,
        ) as browser,
    ):
        peer.safety.publish(make_status("wam/safety", OK, "STOPPED", {"cause": "JOINTS_STALE:left"}))
        heard = b""

        def shown() -> bool:
            nonlocal heard
            peer.speak()
            try:
                heard += unpacked(browser.recv(timeout=0.01))
            except TimeoutError:
                return False
            return b"JOINTS_STALE:left" in heard and b"\xff\xd8\xff" in heard.split(b"JOINTS_STALE:left", 1)[1]

        wait_until(executor, shown)
        assert b"its feedback stayed away" in heard, "what to do about it"
        assert b"show_share_button\xc2" in heard, "the share button would ask an outside service for an address"


def test_without_the_message_package_there_is_no_tf_and_no_error(ros_context, robot):
    node = Node("plain", context=ros_context)
    with spinning(ros_context, node):
        links = LinkBroadcaster(node, robot)
        links.publish(robot.ready_position(), 0)
        assert links.available is (transform_message() is not None)
        assert links.available is any(topic == "/tf" for topic, _ in node.get_topic_names_and_types())


def tells(node) -> set[str]:
    """Topics of frames on which a node has a publisher."""
    own = node.get_publisher_names_and_types_by_node(node.get_name(), "/")
    return {topic for topic, _ in own} & {"/tf", "/tf_static", "/robot_description", "/viewer/joint_states"}


def test_robot_state_publisher_is_told_every_joint_by_its_name_and_nobody_else_tells_frames(ros_context, robot):
    viewer, peer = make_viewer(ros_context, robot, frames="robot_state_publisher"), Robot(ros_context, robot)
    heard: list[JointState] = []
    peer.create_subscription(JointState, "viewer/joint_states", heard.append, STATE)
    with spinning(ros_context, viewer, peer) as executor:
        wait_until(executor, lambda: peer.speak() or bool(heard))
        assert tells(viewer) == {"/viewer/joint_states"}
    urdf = yourdfpy.URDF.load(io.StringIO(urdf_text(robot)))
    joints = dict(zip(heard[-1].name, heard[-1].position, strict=True))
    assert joints.keys() == set(urdf.actuated_joint_names)
    urdf.update_cfg(joints)
    for arm in robot.arms:
        drawn = urdf.get_transform(arm.tool_frame, robot.base_frame)
        assert drawn == pytest.approx(Kinematics(robot).tool_pose(robot.ready_position(), arm), abs=1e-6)
        assert {finger: joints[finger] for finger in arm.gripper.fingers} == pytest.approx(arm.gripper.fingers)


def test_where_the_robots_software_tells_its_frames_the_viewer_tells_none(ros_context, robot):
    viewer = make_viewer(ros_context, robot, frames="robot")
    assert tells(viewer) == set()
    viewer.destroy_node()
    with pytest.raises(ConfigError, match="frames: expected viewer, robot_state_publisher or robot, got 'me'"):
        make_viewer(ros_context, robot, frames="me")
