# SPDX-License-Identifier: Apache-2.0
"""The camera driver before our own side of a robot: what its devices see is what an observation would be made of."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from tests.realsense_support import HEIGHT, LENS, WIDTH, SoftwareBus, SoftwareCamera, picture
from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError, MissingDependencyError
from wam_ros.core.robot import Robot
from wam_ros.files.assets import load_robot
from wam_ros.files.load import to_data
from wam_ros.nodes.camera_realsense import CameraRealsense
from wam_ros.realsense import reader as reading
from wam_ros.ros.convert import stamp_to_ns
from wam_ros.ros.inlets import Inlets
from wam_ros.ros.optics import OpticsEar
from wam_ros.ros.qos import EVENT, SENSOR
from wam_ros.ros.status import find_status, read_values

LEFT, RIGHT = "0815", "0816"


def robot(folder, serials: dict[str, str], **changes) -> Robot:
    """An AC One with small wrist cameras, left raw and right compressed, in a file of the folder."""

    def small(camera):
        transport = "raw" if camera.name == "left_wrist" else "compressed"
        sized = replace(camera, width=WIDTH, height=HEIGHT, transport=transport, serial=serials.get(camera.name, ""))
        return replace(sized, depth_transport=transport)

    known = load_robot("ac_one")
    made = replace(known, cameras=tuple(map(small, known.cameras)), **changes)
    (folder / "robot.yaml").write_text(yaml.safe_dump(to_data(made)))
    return made


def driver(context, folder, bus=None, **params) -> CameraRealsense:
    given = [Parameter(key, value=value) for key, value in {"robot": str(folder / "robot.yaml"), **params}.items()]
    return CameraRealsense(bus or SoftwareBus(), context=context, parameter_overrides=given)


class Side(Node):
    """Our side: believes pictures as an observation does, hears camera_info and what the driver says of itself."""

    def __init__(self, context, robot: Robot) -> None:
        super().__init__("side", context=context)
        self.pictures: dict[str, dict[int, np.ndarray]] = {}
        self.depth_info: list[CameraInfo] = []
        self.status, self.values = DiagnosticStatus(), {}
        self.inlets = Inlets(self, robot, self._take)
        self.optics = OpticsEar(self, robot)
        for camera in robot.cameras:
            self.inlets.add_color(camera, camera.name)
            self.inlets.add_depth(camera, f"{camera.name}/depth")
        topic = "/camera/camera_l/aligned_depth_to_color/camera_info"
        self.create_subscription(CameraInfo, topic, self.depth_info.append, SENSOR)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def _take(self, key, stamp_ns, item) -> None:
        self.pictures.setdefault(key, {})[stamp_ns] = item

    def _on_diagnostics(self, array) -> None:
        self.status = find_status(array, "wam/camera_realsense") or self.status
        self.values = read_values(self.status)

    def count(self, key: str) -> int:
        return len(self.pictures.get(key, {}))

    def destroy_node(self) -> None:
        self.inlets.close()
        super().destroy_node()


def test_two_cameras_speak_the_robots_topics_and_one_is_pulled_out(ros_context, monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "FIRST_S", 0.1)  # to be opened again
    monkeypatch.setattr(reading, "LAST_S", 0.1)
    made = robot(tmp_path, {"left_wrist": LEFT, "right_wrist": RIGHT})
    left, right = SoftwareCamera(LEFT), SoftwareCamera(RIGHT)
    side, node = Side(ros_context, made), driver(ros_context, tmp_path, SoftwareBus(left, right))
    shown: dict[int, np.ndarray] = {}
    next_s = [0.0]

    def seen(done) -> bool:
        if monotonic() < next_s[0]:  # a camera has its rate; more would only keep the library busy
            return done()
        next_s[0] = monotonic() + 1 / 30
        color = picture(len(shown))
        shown[left.see(color, np.full((HEIGHT, WIDTH), 3000, np.uint16))] = color
        right.see(picture(1), np.full((HEIGHT, WIDTH), 5000, np.uint16))
        return done()

    keys = ("left_wrist", "left_wrist/depth", "right_wrist", "right_wrist/depth")
    with spinning(ros_context, side, node) as executor:
        wait_until(
            executor, lambda: seen(lambda: all(side.count(key) > 2 for key in keys) and len(side.depth_info) > 2)
        )
        for stamp_ns, color in side.pictures["left_wrist"].items():
            near_ns = min(shown, key=lambda known, stamp_ns=stamp_ns: abs(known - stamp_ns))
            assert abs(near_ns - stamp_ns) < 1000  # the time of capture, and the picture of that time
            np.testing.assert_array_equal(color, shown[near_ns])
        for key, metres in (("left_wrist/depth", 0.3), ("right_wrist/depth", 0.5)):
            depth = next(iter(side.pictures[key].values()))
            np.testing.assert_allclose(depth[depth > 0], metres, rtol=1e-6)
        wait_until(executor, lambda: seen(lambda: {"left_wrist", "right_wrist"} <= set(side.optics.optics)))
        np.testing.assert_allclose(side.optics.optics["left_wrist"].distortion, LENS, rtol=1e-6)
        info = side.depth_info[0]
        assert info.header.frame_id == made.camera("left_wrist").frame
        stamps = {stamp_to_ns(info.header.stamp) for info in side.depth_info}
        assert stamps & set(side.pictures["left_wrist/depth"])
        (publisher,) = side.get_publishers_info_by_topic(made.camera("left_wrist").color)
        assert publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT

        wait_until(executor, lambda: seen(lambda: side.values and side.status.level == DiagnosticStatus.OK))
        assert side.values["state_left_wrist"] == "LIVE"
        assert side.values["device_right_wrist"] == f"D405 {RIGHT}"
        right.plugged = False
        wait_until(executor, lambda: seen(lambda: f"expected device {RIGHT}" in side.status.message))
        assert side.status.level == DiagnosticStatus.ERROR
        assert "plug it in" in side.status.message
        states = "state_left_wrist", "state_right_wrist"
        wait_until(executor, lambda: seen(lambda: [side.values[state] for state in states] == ["LIVE", "LOST"]))
        before = side.count("left_wrist")
        wait_until(executor, lambda: seen(lambda: side.count("left_wrist") > before + 2))
        right.plugged, before = True, side.count("right_wrist")
        wait_until(executor, lambda: seen(lambda: side.count("right_wrist") > before))
        wait_until(executor, lambda: seen(lambda: side.values["state"] == "LIVE"))
        assert int(side.values["opened_right_wrist"]) > 1


@pytest.mark.parametrize(
    ("serials", "params", "said"),
    [
        ({}, {}, r"camera head: expected a serial number, got none \(plugged in: D405 0815\); write .* serial: '0815'"),
        ({"head": LEFT}, {"cameras": ["head", "left_wrist"]}, "camera left_wrist: expected a serial number"),
        ({"head": LEFT}, {"cameras": ["tail"]}, "camera: expected .*, got tail"),
        ({"head": LEFT, "left_wrist": LEFT}, {}, "serial 0815: expected one camera, got head and left_wrist"),
        ({}, {"serials": "tail=1"}, "expected CAMERA=SERIAL"),
        ({"head": LEFT}, {"depth_size": "vga"}, "depth_size: expected WIDTHxHEIGHT, got 'vga'"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_opened(ros_context, tmp_path, serials, params, said):
    robot(tmp_path, serials)
    with pytest.raises(ConfigError, match=said):
        driver(ros_context, tmp_path, SoftwareBus(SoftwareCamera(LEFT)), **params)


def test_a_simulated_robot_and_a_missing_library_are_refused(ros_context, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="is simulated, and so are its cameras"):
        driver(ros_context, tmp_path, robot="sim_ac_one")
    robot(tmp_path, {"head": LEFT})
    monkeypatch.setitem(__import__("sys").modules, "pyrealsense2", None)
    with pytest.raises(MissingDependencyError, match="pip install pyrealsense2"):
        CameraRealsense(
            context=ros_context, parameter_overrides=[Parameter("robot", value=str(tmp_path / "robot.yaml"))]
        )
