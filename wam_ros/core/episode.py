# SPDX-License-Identifier: Apache-2.0
"""What a recorded episode contains: its columns and pictures, derived from the robot's description.

This is the one declaration of the flat vectors: the recorder writes by it, training reads by it, and the
policy speaks the same robot order (:attr:`wam_ros.core.robot.Robot.joint_names`). ``observation.state`` and
``action`` are in that order, grippers 0 closed to 1 open; the keys of single parts are in the driver's unit.

Columns that are not for a policy avoid the prefixes ``observation`` and ``action``: readers of the LeRobot
format take every such column for an input or an output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wam_ros.core.errors import ConfigError, DatasetError, mismatch
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import NS_PER_S, ByteImage, DepthImage, FloatArray

Dtype = Literal["float32", "float64", "int64", "bool", "string"]
PictureKind = Literal["color", "depth", "depth_archive"]

STATE, ACTION, REQUESTED = "observation.state", "action", "requested_action"
#: Where a row's action came from: what motion had committed, or the state of the next row (hand guiding).
COMMITTED, NEXT_STATE = "committed", "next_state"
#: Who was in control of a row that is no example: a demonstrator that was made to err.
MISLED = "misled"


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        key: its name.
        dtype: of its elements.
        names: of the elements of a vector; empty for a scalar.
    """

    key: str
    dtype: Dtype
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureStream:
    """One video, a frame for each row.

    Attributes:
        key: feature of the dataset, or file name in the archive.
        camera: which camera it shows.
        kind: colour; depth in 12-bit codes; depth in millimetres for the archive, which is no feature.
    """

    key: str
    camera: str
    height: int
    width: int
    kind: PictureKind


@dataclass(frozen=True)
class EpisodeLayout:
    """What every episode of a dataset contains.

    Attributes:
        robot_type: the robot's name.
        fps: rows per second.
        columns: of the table, in order.
        streams: pictures, in order.
    """

    robot_type: str
    fps: int
    columns: tuple[Column, ...]
    streams: tuple[PictureStream, ...]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of ``capture_time`` and ``skew``."""
        return next(column.names for column in self.columns if column.key == "capture_time")

    @property
    def features(self) -> tuple[PictureStream, ...]:
        """The streams that belong to the dataset; the others belong to the archive."""
        return tuple(stream for stream in self.streams if stream.kind != "depth_archive")

    def column(self, key: str) -> Column:
        """Return the column of that name.

        Raises:
            DatasetError: there is none.
        """
        for column in self.columns:
            if column.key == key:
                return column
        raise DatasetError(mismatch("column", ", ".join(c.key for c in self.columns), key, "name one of them"))


@dataclass(frozen=True)
class Row:
    """One row of an episode, with the pictures that belong to it.

    Attributes:
        stamp_ns: capture time of the leading frame.
        state: (J,) in robot order, grippers normalised.
        action: (J,) target to be reached one period after the stamp.
        requested: (J,) what the policy asked for at that time; None when it asked for nothing.
        action_source: ``committed`` or ``next_state``.
        control_source: who was in control, such as ``policy`` or ``teleop``; empty when nobody was.
        capture_ns: camera to its capture time; a camera is missing from it only before its first frame.
        complete: every view was fresh.
        filled: the leading frame was lost; pictures are the previous row's, joints lie between their neighbours.
        instruction: the task in words.
        colors: camera to (H, W, 3) uint8 RGB.
        depths: camera to (H, W) float32 [m]; a camera without a picture is missing.
    """

    stamp_ns: int
    state: FloatArray
    action: FloatArray
    requested: FloatArray | None
    action_source: str
    control_source: str
    capture_ns: Mapping[str, int]
    complete: bool
    filled: bool
    instruction: str
    colors: Mapping[str, ByteImage]
    depths: Mapping[str, DepthImage]


def layout_of(
    robot: Robot, cameras: Sequence[str] | None = None, *, depth: bool = False, archive_depth: bool = False
) -> EpisodeLayout:
    """Return what an episode of this robot contains.

    Args:
        robot: whose leader camera gives the rate.
        cameras: names of those recorded, all when None.
        depth: also the 12-bit depth of the cameras that have it.
        archive_depth: also their lossless depth, for the archive.

    Raises:
        ConfigError: the leader's rate is not a whole number, or a camera the robot has not.
    """
    chosen = robot.cameras if cameras is None else tuple(robot.camera(name) for name in cameras)
    rate_hz = robot.camera(robot.leader_camera).rate_hz
    if rate_hz != round(rate_hz):
        raise ConfigError(
            mismatch("rate of the leader camera", "whole frames per second", rate_hz, "correct the robot")
        )
    streams = [PictureStream(f"observation.images.{c.name}", c.name, c.height, c.width, "color") for c in chosen]
    deep = [c for c in chosen if c.depth]
    if depth:
        streams += [
            PictureStream(f"observation.images.{c.name}_depth", c.name, c.height, c.width, "depth") for c in deep
        ]
    if archive_depth:
        streams += [PictureStream(f"{c.name}_depth", c.name, c.height, c.width, "depth_archive") for c in deep]
    columns = _columns(robot, tuple(c.name for c in chosen))
    return EpisodeLayout(robot.name, round(rate_hz), columns, tuple(streams))


def _columns(robot: Robot, cameras: tuple[str, ...]) -> tuple[Column, ...]:
    parts = [(name, joints) for name, joints, _ in _parts(robot)]
    return (
        Column(STATE, "float32", robot.joint_names),
        *(Column(f"{STATE}.{name}", "float32", joints) for name, joints in parts),
        Column(ACTION, "float32", robot.joint_names),
        *(Column(f"{ACTION}.{name}", "float32", joints) for name, joints in parts),
        Column(REQUESTED, "float32", robot.joint_names),
        Column("requested", "bool"),
        Column("action_source", "string"),
        Column("control_source", "string"),
        Column("stamp_ns", "int64"),
        Column("capture_time", "float64", cameras),
        Column("skew", "float32", cameras),
        Column("complete", "bool"),
        Column("filled", "bool"),
    )


def _parts(robot: Robot) -> Iterator[tuple[str, tuple[str, ...], slice]]:
    start = 0
    for arm in robot.arms:
        end = start + len(arm.joints)
        yield f"{arm.name}_arm", arm.joints, slice(start, end)
        yield f"{arm.name}_gripper", (arm.gripper.joint,), slice(end, end + 1)
        start = end + 1


def in_native_units(robot: Robot, vector: FloatArray) -> dict[str, FloatArray]:
    """Return part name to its values in the driver's unit, of a (J,) vector in robot order."""
    out = {name: np.array(vector[columns]) for name, _, columns in _parts(robot)}
    for arm in robot.arms:
        opening = out[f"{arm.name}_gripper"]
        opening[0] = arm.gripper.to_native(float(opening[0]))
    return out


def values_of(row: Row, robot: Robot, cameras: Sequence[str]) -> dict[str, Any]:
    """Return column key to value of a row, in the order of :func:`layout_of`."""
    capture_ns = [row.capture_ns.get(camera, 0) for camera in cameras]
    skew_ns = [stamp_ns - row.stamp_ns for stamp_ns in capture_ns]
    requested = row.action if row.requested is None else row.requested
    return {
        STATE: row.state,
        **{f"{STATE}.{name}": part for name, part in in_native_units(robot, row.state).items()},
        ACTION: row.action,
        **{f"{ACTION}.{name}": part for name, part in in_native_units(robot, row.action).items()},
        REQUESTED: requested,
        "requested": row.requested is not None,
        "action_source": row.action_source,
        "control_source": row.control_source,
        "stamp_ns": row.stamp_ns,
        "capture_time": np.array(capture_ns) / 1e9,
        "skew": np.array(skew_ns) / 1e9,
        "complete": row.complete,
        "filled": row.filled,
    }


def periods_ns(robot: Robot, layout: EpisodeLayout) -> dict[str, int]:
    """Return stream to nominal period of what an episode cannot do without."""
    cameras = {name: round(NS_PER_S / robot.camera(name).rate_hz) for name in layout.cameras}
    joints = {f"joints/{topic.name}": round(NS_PER_S / topic.stream.heard_hz) for topic in feedback_topics(robot)}
    return {**cameras, **joints}
