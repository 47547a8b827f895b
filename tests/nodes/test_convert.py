# SPDX-License-Identifier: Apache-2.0
"""Messages to core types and back, for each encoding, padding and byte order."""

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from wam_ros.core.errors import ShapeError, UnsafeCommandError
from wam_ros.core.types import Chunk, JointState, Trajectory
from wam_ros.ros import convert

ENCODINGS = {
    "rgb8": (np.uint8, (3,)),
    "bgr8": (np.uint8, (3,)),
    "mono8": (np.uint8, ()),
    "16UC1": (np.uint16, ()),
    "32FC1": (np.float32, ()),
}
finite = st.floats(-10, 10)


def pictures(encoding):
    kind, channels = ENCODINGS[encoding]
    sides = st.tuples(st.integers(1, 9), st.integers(1, 9))
    values = st.floats(0, 10, width=32) if kind is np.float32 else None
    return sides.flatmap(lambda s: arrays(kind, (*s, *channels), elements=values))


def over_the_wire(msg):
    return deserialize_message(serialize_message(msg), type(msg))


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=20)
@given(st.data())
def test_a_picture_survives_the_wire(encoding, data):
    picture = data.draw(pictures(encoding))
    msg = over_the_wire(convert.image_to_msg(picture, encoding, 12_345_678_901, "eye"))
    np.testing.assert_array_equal(convert.image_from_msg(msg), picture)
    assert convert.stamp_to_ns(msg.header.stamp) == 12_345_678_901
    assert msg.header.frame_id == "eye"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [0, 1, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_row_padding_and_byte_order_are_honoured(encoding, padding, order):
    kind, channels = ENCODINGS[encoding]
    picture = np.arange(6 * int(np.prod(channels or (1,)))).reshape(2, 3, *channels).astype(kind)
    rows = picture.astype(np.dtype(kind).newbyteorder(order)).reshape(2, -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    msg = Image(height=2, width=3, encoding=encoding, is_bigendian=int(order == ">"), step=padded.shape[1])
    msg.data = array.array("B", padded.tobytes())
    np.testing.assert_array_equal(convert.image_from_msg(msg), picture)


def test_reading_copies_nothing_and_cannot_change_the_message():
    msg = convert.image_to_msg(np.zeros((4, 5, 3), np.uint8), "rgb8", 0, "")
    picture = convert.color_from_msg(msg)
    assert np.shares_memory(picture, np.frombuffer(msg.data, np.uint8))
    assert not picture.flags.writeable


def test_every_color_encoding_is_read_as_rgb():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    blue_first = np.ascontiguousarray(red[..., ::-1])
    grey = np.full((2, 2), 7, np.uint8)
    np.testing.assert_array_equal(convert.color_from_msg(convert.image_to_msg(red, "rgb8", 0, "")), red)
    np.testing.assert_array_equal(convert.color_from_msg(convert.image_to_msg(blue_first, "bgr8", 0, "")), red)
    assert (convert.color_from_msg(convert.image_to_msg(grey, "mono8", 0, "")) == 7).all()


def test_depth_is_read_in_metres_from_both_encodings():
    millimetres = np.array([[0, 1500]], np.uint16)
    metres = np.array([[np.nan, 1.5]], np.float32)
    read = convert.depth_from_msg(convert.image_to_msg(millimetres, "16UC1", 0, ""))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.array([[0, 1.5]], np.float32))
    np.testing.assert_array_equal(convert.depth_from_msg(convert.image_to_msg(metres, "32FC1", 0, "")), metres)


def test_jpeg_and_png_are_read_as_rgb():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    for extension, tolerance in ((".jpg", 3), (".png", 0)):
        msg = CompressedImage(format="jpeg", data=cv2.imencode(extension, red[..., ::-1])[1].tobytes())
        away = np.abs(convert.compressed_color_from_msg(msg).astype(int) - red)
        assert away.max() <= tolerance


@pytest.mark.parametrize("header", [b"", b"\0" * 12])
def test_compressed_depth_is_read_in_metres_with_and_without_the_transport_header(header):
    png = cv2.imencode(".png", np.array([[0, 2500]], np.uint16))[1].tobytes()
    msg = CompressedImage(format="16UC1; compressedDepth png", data=header + png)
    np.testing.assert_array_equal(convert.compressed_depth_from_msg(msg), np.array([[0, 2.5]], np.float32))


@pytest.mark.parametrize("data", [b"", b"not a picture at all"])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(ShapeError, match="cannot be decoded"):
        convert.compressed_color_from_msg(CompressedImage(data=data))
    with pytest.raises(ShapeError, match="cannot be decoded"):
        convert.compressed_depth_from_msg(CompressedImage(data=data))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"step": 5}, "step >= 15"), ({"height": 9}, "9 rows"), ({"encoding": "yuv422"}, "got yuv422")],
)
def test_a_message_that_contradicts_itself_is_refused(change, message):
    msg = convert.image_to_msg(np.zeros((4, 5, 3), np.uint8), "rgb8", 0, "")
    for field, value in change.items():
        setattr(msg, field, value)
    with pytest.raises(ShapeError, match=message):
        convert.image_from_msg(msg)


@pytest.mark.parametrize("picture", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8)])
def test_a_picture_of_another_encoding_is_not_sent(picture):
    with pytest.raises(ShapeError, match="rgb8 image"):
        convert.image_to_msg(picture, "rgb8", 0, "")


@given(st.integers(0, 2**62))
def test_stamps_and_durations_keep_every_nanosecond(time_ns):
    wrapped = time_ns % (2**31 * 10**9)
    assert convert.stamp_to_ns(convert.ns_to_stamp(wrapped)) == wrapped
    assert convert.duration_to_ns(convert.ns_to_duration(-wrapped)) == -wrapped


@settings(max_examples=30)
@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.just(3)), elements=finite), st.integers(0, 2**60))
def test_a_chunk_survives_the_wire(positions, stamp_ns):
    chunk = Chunk.at_rate(stamp_ns, ("a", "b", "c"), positions, 15.0)
    back = convert.chunk_from_msg(over_the_wire(convert.chunk_to_msg(chunk)))
    assert (back.stamp_ns, back.names, back.offsets_ns) == (chunk.stamp_ns, chunk.names, chunk.offsets_ns)
    np.testing.assert_array_equal(back.positions, chunk.positions)


def test_a_chunk_with_a_short_row_or_without_a_number_is_refused():
    msg = convert.chunk_to_msg(Chunk.at_rate(0, ("a", "b"), [[1, 2], [3, 4]], 15.0))
    msg.points[1].positions = [3.0]
    with pytest.raises(ShapeError, match="expected 2 values, got 1"):
        convert.chunk_from_msg(msg)
    msg.points[1].positions = [3.0, float("nan")]
    with pytest.raises(UnsafeCommandError, match="NaN"):
        convert.chunk_from_msg(msg)


@settings(max_examples=30)
@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.just(3), st.just(2)), elements=finite))
def test_a_trajectory_survives_the_wire(rows):
    times = tuple(10**18 + 10_000_000 * i for i in range(len(rows)))
    sent = Trajectory(("a", "b"), times, rows[:, 0], rows[:, 1], rows[:, 2])
    back = convert.trajectory_from_msg(over_the_wire(convert.trajectory_to_msg(sent)))
    assert (back.names, back.times_ns) == (sent.names, sent.times_ns)
    for field in ("positions", "velocities", "accelerations"):
        np.testing.assert_array_equal(getattr(back, field), getattr(sent, field))


def test_a_joint_state_survives_the_wire():
    sent = JointState(5_000_000_001, ("a", "b"), np.array([0.5, -1.25]))
    back = convert.joint_state_from_msg(over_the_wire(convert.joint_state_to_msg(sent, "base")))
    assert (back.stamp_ns, back.names) == (sent.stamp_ns, sent.names)
    np.testing.assert_array_equal(back.position, sent.position)
