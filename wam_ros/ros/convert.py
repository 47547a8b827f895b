# SPDX-License-Identifier: Apache-2.0
"""Messages to core types and back: every conversion, nothing else.

Pictures are read without a copy (a view of the message's buffer, read-only) and written with one.
``from_msg`` raises ShapeError for a message that contradicts itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from sensor_msgs.msg import JointState as JointStateMsg
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from wam_ros.core.errors import ShapeError, mismatch
from wam_ros.core.types import NS_PER_S, ByteImage, Chunk, DepthImage, JointState, Trajectory
from wam_ros.vision.decode import decode_color, decode_depth, millimetres_to_metres
from wam_ros.vision.encode import jpeg, png

#: encoding: dtype and channels
_ENCODINGS: dict[str, tuple[type[np.generic], int]] = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "mono8": (np.uint8, 1),
    "16UC1": (np.uint16, 1),
    "mono16": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}


def stamp_to_ns(stamp: Time) -> int:
    """Return a message stamp as nanoseconds."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return nanoseconds as a message stamp."""
    return Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)


def duration_to_ns(duration: Duration) -> int:
    """Return a message duration as nanoseconds."""
    return int(duration.sec) * NS_PER_S + int(duration.nanosec)


def ns_to_duration(duration_ns: int) -> Duration:
    """Return nanoseconds as a message duration."""
    return Duration(sec=duration_ns // NS_PER_S, nanosec=duration_ns % NS_PER_S)


def image_from_msg(msg: Image) -> NDArray[Any]:
    """Return (H, W) or (H, W, C) in the message's own encoding: a read-only view, row padding cut off."""
    if msg.encoding not in _ENCODINGS:
        raise ShapeError(
            mismatch("image encoding", ", ".join(_ENCODINGS), msg.encoding, "set the camera driver to one of them")
        )
    kind, channels = _ENCODINGS[msg.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    row_bytes = msg.width * channels * dtype.itemsize
    if msg.step < row_bytes or len(msg.data) < msg.step * msg.height:
        got = f"step {msg.step} and {len(msg.data)} bytes"
        expected = f"step >= {row_bytes} and {msg.height} rows of it"
        raise ShapeError(mismatch(f"{msg.width}x{msg.height} {msg.encoding} image", expected, got, "check the driver"))
    shape = (msg.height, msg.width, channels)
    strides = (msg.step, channels * dtype.itemsize, dtype.itemsize)
    view: NDArray[Any] = np.ndarray(shape, dtype, buffer=msg.data, strides=strides)
    view.setflags(write=False)
    return view if channels > 1 else view[:, :, 0]


def color_from_msg(msg: Image) -> ByteImage:
    """Return (H, W, 3) uint8 RGB; without a copy for rgb8."""
    image = image_from_msg(msg)
    if image.dtype != np.uint8:
        raise ShapeError(mismatch("color image encoding", "rgb8, bgr8 or mono8", msg.encoding, "set the driver"))
    if msg.encoding == "bgr8":
        return np.ascontiguousarray(image[:, :, ::-1])
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def depth_from_msg(msg: Image) -> DepthImage:
    """Return (H, W) float32 [m], 0 or NaN where unknown; without a copy for native 32FC1."""
    image = image_from_msg(msg)
    if image.dtype.kind == "f":
        return image.astype(np.float32, copy=False)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:
        return millimetres_to_metres(image)
    raise ShapeError(mismatch("depth image encoding", "16UC1 [mm] or 32FC1 [m]", msg.encoding, "set the driver"))


def compressed_color_from_msg(msg: CompressedImage) -> ByteImage:
    """Return (H, W, 3) uint8 RGB of a JPEG or PNG message."""
    return decode_color(msg.data)


def compressed_depth_from_msg(msg: CompressedImage) -> DepthImage:
    """Return (H, W) float32 [m] of a 16-bit PNG message."""
    return decode_depth(msg.data)


def image_to_msg(image: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Image:
    """Return an Image message of an (H, W) or (H, W, C) array; one copy.

    Raises:
        ShapeError: dtype or channels are not the encoding's.
    """
    kind, channels = _ENCODINGS[encoding]
    if image.dtype != kind or image.ndim not in (2, 3) or (image.shape[2:] or (1,)) != (channels,):
        got = f"{image.dtype} {image.shape}"
        raise ShapeError(mismatch(f"{encoding} image", f"{np.dtype(kind)} (H, W, {channels})", got, "convert it first"))
    msg = Image(height=image.shape[0], width=image.shape[1], encoding=encoding)
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.step = image.shape[1] * channels * image.dtype.itemsize
    # Assigning to msg.data would copy element by element; appending to its array is one memcpy.
    msg.data.frombytes(np.ascontiguousarray(image).data.cast("B"))
    return msg


def picture_to_msg(
    picture: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str, transport: str
) -> Image | CompressedImage:
    """Return an Image, or for the transport ``compressed`` JPEG of rgb8 and PNG of anything else."""
    if transport == "raw":
        return image_to_msg(picture, encoding, stamp_ns, frame_id)
    lossy = encoding == "rgb8"
    message = CompressedImage(format="jpeg" if lossy else "png")
    message.data.frombytes(jpeg(picture) if lossy else png(picture))
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = frame_id
    return message


def joint_state_from_msg(msg: JointStateMsg) -> JointState:
    """Return names and positions as they came, in the driver's units."""
    return JointState(stamp_to_ns(msg.header.stamp), tuple(msg.name), np.asarray(msg.position))


def joint_state_to_msg(state: JointState, frame_id: str = "") -> JointStateMsg:
    """Return a JointState message with positions only."""
    msg = JointStateMsg(name=list(state.names), position=state.position.tolist())
    msg.header.stamp = ns_to_stamp(state.stamp_ns)
    msg.header.frame_id = frame_id
    return msg


def chunk_to_msg(chunk: Chunk, frame_id: str = "") -> JointTrajectory:
    """Return a chunk as a JointTrajectory stamped with its capture time."""
    rows = zip(chunk.offsets_ns, chunk.positions.tolist(), strict=True)
    points = [JointTrajectoryPoint(positions=row, time_from_start=ns_to_duration(offset)) for offset, row in rows]
    return _trajectory_msg(chunk.stamp_ns, chunk.names, points, frame_id)


def chunk_from_msg(msg: JointTrajectory) -> Chunk:
    """Return the chunk of a JointTrajectory.

    Raises:
        ShapeError: rows of other lengths than the names, or unsorted times.
        UnsafeCommandError: NaN or infinite positions.
    """
    positions = _rows(msg, "positions")
    offsets = tuple(duration_to_ns(point.time_from_start) for point in msg.points)
    return Chunk(stamp_to_ns(msg.header.stamp), tuple(msg.joint_names), positions, offsets)


def trajectory_to_msg(trajectory: Trajectory, frame_id: str = "") -> JointTrajectory:
    """Return a trajectory as a JointTrajectory stamped with its first time."""
    start_ns = trajectory.times_ns[0] if trajectory.times_ns else 0
    columns = zip(
        trajectory.times_ns,
        trajectory.positions.tolist(),
        trajectory.velocities.tolist(),
        trajectory.accelerations.tolist(),
        strict=True,
    )
    points = [
        JointTrajectoryPoint(positions=p, velocities=v, accelerations=a, time_from_start=ns_to_duration(t - start_ns))
        for t, p, v, a in columns
    ]
    return _trajectory_msg(start_ns, trajectory.names, points, frame_id)


def trajectory_from_msg(msg: JointTrajectory) -> Trajectory:
    """Return the trajectory of a JointTrajectory; missing accelerations are 0.

    Raises:
        ShapeError: rows of other lengths than the names.
    """
    start_ns = stamp_to_ns(msg.header.stamp)
    times = tuple(start_ns + duration_to_ns(point.time_from_start) for point in msg.points)
    accelerated = bool(msg.points) and all(len(point.accelerations) for point in msg.points)
    accelerations = _rows(msg, "accelerations") if accelerated else np.zeros((len(times), len(msg.joint_names)))
    return Trajectory(tuple(msg.joint_names), times, _rows(msg, "positions"), _rows(msg, "velocities"), accelerations)


def _trajectory_msg(
    stamp_ns: int, names: Sequence[str], points: list[JointTrajectoryPoint], frame_id: str
) -> JointTrajectory:
    msg = JointTrajectory(joint_names=list(names), points=points)
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.header.frame_id = frame_id
    return msg


def _rows(msg: JointTrajectory, field: str) -> NDArray[np.float64]:
    joints = len(msg.joint_names)
    rows = [getattr(point, field) for point in msg.points]
    for row in rows:
        if len(row) != joints:
            raise ShapeError(mismatch(f"trajectory {field}", f"{joints} values", len(row), "give one per joint name"))
    return np.array(rows, dtype=np.float64).reshape(len(rows), joints)
