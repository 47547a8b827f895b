# SPDX-License-Identifier: Apache-2.0
"""What rviz draws besides the robot: where the tools will go, where they may go, and the safety state."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from wam_ros.core.safety import State
from wam_ros.core.task import Box
from wam_ros.core.types import FloatArray
from wam_ros.ros.convert import ns_to_stamp

LINE_M = 0.006
EDGE_M = 0.002
TEXT_M = 0.07
#: Above the origin of the base frame.
TEXT_HEIGHT_M = 0.9

Color = tuple[float, float, float]
PATH: Color = (0.18, 0.44, 0.56)
EDGE: Color = (0.55, 0.57, 0.60)
STATES: Mapping[str, Color] = {
    State.DISARMED.value: (0.55, 0.57, 0.60),
    State.ARMED.value: (0.18, 0.44, 0.56),
    State.RUNNING.value: (0.18, 0.49, 0.31),
    State.STOPPED.value: (0.80, 0.22, 0.16),
}


def committed_markers(paths: Mapping[str, FloatArray], frame: str, stamp_ns: int) -> MarkerArray:
    """Return a line for each arm's (N, 3) way, which fades towards its end, where it rests."""
    return MarkerArray(markers=[_path(i, points, frame, stamp_ns) for i, points in enumerate(paths.values())])


def state_marker(state: str, cause: str, frame: str, stamp_ns: int) -> Marker:
    """Return the safety state as a text above the robot, with the cause of a stop below it."""
    marker = _marker("safety", 0, Marker.TEXT_VIEW_FACING, frame, stamp_ns)
    marker.text = f"{state}\n{cause}" if cause else state
    marker.scale.z = TEXT_M
    marker.pose.position.z = TEXT_HEIGHT_M
    marker.color = _color(STATES.get(state, EDGE))
    return marker


def box_marker(box: Box, frame: str, stamp_ns: int) -> Marker:
    """Return the edges of a box, for instance of the workspace."""
    marker = _marker("workspace", 0, Marker.LINE_LIST, frame, stamp_ns)
    marker.scale.x = EDGE_M
    marker.color = _color(EDGE)
    corners = np.array(list(product(*zip(box.lower_m, box.upper_m, strict=True))))
    pairs = [(a, b) for a in corners for b in corners if (a <= b).all() and np.count_nonzero(a != b) == 1]
    marker.points = [_point(corner) for pair in pairs for corner in pair]
    return marker


def _path(number: int, points: FloatArray, frame: str, stamp_ns: int) -> Marker:
    marker = _marker("committed", number, Marker.LINE_STRIP, frame, stamp_ns)
    marker.scale.x = LINE_M
    marker.color = _color(PATH)
    marker.points = [_point(point) for point in points]
    marker.colors = [_color(PATH, float(alpha)) for alpha in np.linspace(1.0, 0.25, len(points))]
    return marker


def _marker(namespace: str, number: int, kind: int, frame: str, stamp_ns: int) -> Marker:
    marker = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD)
    marker.header.frame_id = frame
    marker.header.stamp = ns_to_stamp(stamp_ns)
    marker.pose.orientation.w = 1.0
    return marker


def _point(xyz: FloatArray) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))


def _color(rgb: Color, alpha: float = 1.0) -> ColorRGBA:
    return ColorRGBA(r=rgb[0], g=rgb[1], b=rgb[2], a=alpha)
