# SPDX-License-Identifier: Apache-2.0
"""Clouds as messages, and on the page: only for who looks, and only those that are looked at."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
viser = pytest.importorskip("viser", reason="no viser in this environment")
from rclpy.node import Node
from rclpy.parameter import Parameter
from websockets.sync.client import connect

from tests.nodes.test_viewer import free_port, unpacked
from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ShapeError
from wam_ros.nodes.viewer import CLOUDS, ViewerNode
from wam_ros.ros.clouds import CloudOutlet, cloud_from_msg, cloud_to_msg
from wam_ros.view.clouds import CHOICES
from wam_ros.vision.colored_cloud import Cloud

#: What a page says when it is open: from where it looks.
CAMERA = {
    "type": "ViewerCameraMessage",
    **{"wxyz": (1.0, 0.0, 0.0, 0.0), "position": (0.0, 0.0, 0.0), "look_at": (1.0, 0.0, 0.0)},
    **{"up_direction": (0.0, 0.0, 1.0), "fov": 1.0, "near": 0.1, "far": 10.0, "image_height": 9, "image_width": 9},
}


def some_cloud(count: int = 50) -> Cloud:
    rng = np.random.default_rng(count)
    return Cloud(rng.normal(size=(count, 3)).astype(np.float32), rng.integers(0, 255, (count, 3), np.uint8))


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_cloud_survives_the_message_and_is_what_rviz_reads(count):
    cloud = some_cloud(count)
    message = cloud_to_msg(cloud, "base_link", 1_500_000_000)
    points, colors = cloud_from_msg(message)
    np.testing.assert_array_equal(points, cloud.points)
    np.testing.assert_array_equal(colors, cloud.colors)
    assert (message.header.frame_id, message.header.stamp.sec, message.width) == ("base_link", 1, count)
    words = np.frombuffer(message.data, np.uint32).reshape(count, 4)[:, 3]
    red, green, blue = cloud.colors.astype(np.uint32).T
    np.testing.assert_array_equal(words, (red << 16) | (green << 8) | blue)


def test_a_cloud_of_another_layout_is_refused():
    message = cloud_to_msg(some_cloud(), "base_link", 0)
    message.width += 1
    with pytest.raises(ShapeError, match="cloud: expected 51 points"):
        cloud_from_msg(message)


def test_the_page_hears_only_the_clouds_that_somebody_looks_at(ros_context, robot):
    port = free_port()
    given = {"robot": robot.name, "task": "towel_fold", "port": port}
    viewer = ViewerNode(context=ros_context, parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])
    peer = Node("peer", context=ros_context)
    outlets = {name: CloudOutlet(peer, topic, robot.base_frame) for name, topic in CLOUDS.items()}

    def listened() -> set[str]:
        return {name for name, outlet in outlets.items() if outlet.wanted}

    address, protocol = f"127.0.0.1:{port}", [f"viser-v{viser.__version__}"]
    with spinning(ros_context, viewer, peer) as executor:
        wait_until(executor, lambda: peer.get_node_names().count("viewer") == 1)
        assert not listened()
        with connect(f"ws://{address}", origin=f"http://{address}", subprotocols=protocol, max_size=None) as browser:
            heard = b""
            browser.send(msgspec.msgpack.encode(CAMERA))

            def shown() -> bool:
                nonlocal heard
                for name in listened():
                    outlets[name].publish(some_cloud(), 1)
                try:
                    heard += unpacked(browser.recv(timeout=0.01))
                except TimeoutError:
                    return False
                return b"/base/measured" in heard and b"/base/imagined" in heard

            wait_until(executor, shown)
            assert listened() == {"measured", "imagined"}
            for choice, names in CHOICES.items():
                viewer._page.clouds.choose(choice)
                wait_until(executor, lambda names=names: listened() == set(names))
            viewer._page.clouds.choose("error")
        wait_until(executor, lambda: not listened())
