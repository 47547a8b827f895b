# SPDX-License-Identifier: Apache-2.0
"""Where all links of the robot are, for rviz: on ``/tf`` where its message package is installed, or as joints for who tells it.

Nothing in this package reads ``/tf``: kinematics come from the URDF.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray
from wam_ros.kinematics.description import urdf_text
from wam_ros.kinematics.links import Links
from wam_ros.ros.convert import ns_to_stamp
from wam_ros.ros.qos import EVENT, LATCHED


def teller(node: Node, robot: Robot, who: str, joints_topic: str) -> LinkBroadcaster | JointBroadcaster | None:
    """Return what a node has to tell so that all links are known once; None where others do it, with a description of theirs.

    Args:
        node: that publishes.
        robot: whose links.
        who: tells the links: ``viewer`` (this node), ``robot_state_publisher`` (of the joints told here) or ``robot``.
        joints_topic: on which that one hears the joints.

    Raises:
        ConfigError: somebody else.
    """
    if who == "viewer":
        node.create_publisher(String, "robot_description", LATCHED).publish(String(data=urdf_text(robot)))
        return LinkBroadcaster(node, robot)
    if who == "robot_state_publisher":
        return JointBroadcaster(node, robot, joints_topic)
    if who != "robot":
        known = "viewer, robot_state_publisher or robot"
        raise ConfigError(mismatch(f"{node.get_name()}: frames", known, repr(who), "choose one"))
    return None


class JointBroadcaster:
    """Publishes every joint of the URDF, fingers included, by its name and in its unit: for robot_state_publisher.

    Args:
        node: that publishes.
        robot: whose URDF is used.
        topic: of JointState.
    """

    def __init__(self, node: Node, robot: Robot, topic: str) -> None:
        self._links = Links(robot)
        self._publisher = node.create_publisher(JointState, topic, EVENT)

    def publish(self, position: FloatArray, stamp_ns: int) -> None:
        """Publish all joints at (J,) positions in robot order."""
        message = JointState(name=list(self._links.joints), position=self._links.values(position).tolist())
        message.header.stamp = ns_to_stamp(stamp_ns)
        self._publisher.publish(message)


class LinkBroadcaster:
    """Publishes every link relative to its parent.

    Args:
        node: that publishes.
        robot: whose URDF is used.

    Attributes:
        available: False without ``tf2_msgs``; :meth:`publish` then does nothing, and the node's log says so once.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        message = transform_message()
        self.available = message is not None
        if message is None:
            node.get_logger().info("tf2_msgs is not installed: no /tf; a full ROS installation has it")
            return
        self._message = message
        self._links = Links(robot)
        self._publisher = node.create_publisher(message, "/tf", EVENT)

    def publish(self, position: FloatArray, stamp_ns: int) -> None:
        """Publish all links at (J,) positions in robot order."""
        if self.available:
            self._publisher.publish(self._message(transforms=transforms(self._links, position, stamp_ns)))


class StaticBroadcaster:
    """Publishes frames that do not move relative to their parents, latched, on ``/tf_static``.

    Attributes:
        available: False without ``tf2_msgs``; :meth:`publish` then does nothing.
    """

    def __init__(self, node: Node) -> None:
        message = transform_message()
        self.available = message is not None
        if message is not None:
            self._message, self._publisher = message, node.create_publisher(message, "/tf_static", LATCHED)

    def publish(self, frames: Mapping[tuple[str, str], FloatArray], stamp_ns: int) -> None:
        """Publish (parent, child) to ``T_parent_child`` (4, 4)."""
        if self.available:
            placed = [transform(names, T, stamp_ns) for names, T in frames.items()]
            self._publisher.publish(self._message(transforms=placed))


def transform_message() -> Any:
    """Return the class of tf's message, None where it is not installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    return TFMessage


def transforms(links: Links, position: FloatArray, stamp_ns: int) -> list[TransformStamped]:
    """Return each link relative to its parent."""
    return [transform(names, T, stamp_ns) for names, T in zip(links.names, links.poses(position), strict=True)]


def transform(names: tuple[str, str], T_parent_child: FloatArray, stamp_ns: int) -> TransformStamped:
    """Return a link, child ``names[1]``, relative to its parent, ``names[0]``."""
    stamped = TransformStamped(child_frame_id=names[1])
    stamped.header.frame_id = names[0]
    stamped.header.stamp = ns_to_stamp(stamp_ns)
    move, rotation = stamped.transform.translation, stamped.transform.rotation
    move.x, move.y, move.z = T_parent_child[:3, 3].tolist()
    turn = Rotation.from_matrix(T_parent_child[:3, :3]).as_quat()
    rotation.x, rotation.y, rotation.z, rotation.w = turn.tolist()
    return stamped
