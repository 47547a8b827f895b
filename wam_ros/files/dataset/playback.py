# SPDX-License-Identifier: Apache-2.0
"""A recorded episode as what arrived then: samples of joints and cameras in the order of their capture.

Joints come from the archive as the driver sent them, where it has them, else from the rows. Rows that stand in for lost
frames, and pictures that were repeated, did not arrive and are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import NS_PER_S, ByteImage, FloatArray
from wam_ros.files.archive import read_messages
from wam_ros.files.dataset.declaration import Declaration
from wam_ros.files.dataset.fits import require_robot
from wam_ros.files.dataset.read import Recording

ROUND_NS = 10_000_000
_MM_PER_M = 1000


@dataclass(frozen=True)
class JointSample:
    """(J,) positions in robot order, grippers normalised."""

    stamp_ns: int
    position: FloatArray


@dataclass(frozen=True)
class DriverSample:
    """A driver's message as it came: CDR."""

    stamp_ns: int
    topic: str
    data: bytes


@dataclass(frozen=True)
class PictureSample:
    """What a camera captured: (H, W, 3) RGB, and (H, W) millimetres where depth was recorded."""

    stamp_ns: int
    camera: str
    color: ByteImage
    depth_mm: NDArray[np.uint16] | None


Sample = JointSample | DriverSample | PictureSample


def require_same_robot(root: Path, said: Declaration, robot: Robot) -> None:
    """Refuse a robot whose nodes would not believe what was recorded.

    Raises:
        DatasetError: another robot, order of joints, rate, or size of a camera.
    """
    require_robot(root, said, robot, "replay it with the robot that it is of")
    remedy = "write the robot as it was recorded with --robot-out FILE, and give that file to the nodes that listen"
    colors = {stream.camera: stream for stream in said.layout.streams if stream.kind == "color"}
    for camera in robot.cameras:
        wanted, got = f"{camera.width}x{camera.height} at {camera.rate_hz:g} Hz", "none"
        if stream := colors.get(camera.name):
            got = f"{stream.width}x{stream.height} at {said.layout.fps} Hz"
        if wanted != got:
            raise DatasetError(mismatch(f"{root}: camera {camera.name}", wanted, got, remedy))


@dataclass(frozen=True)
class Played:
    """An episode as it goes by.

    Attributes:
        samples: stamps rising; joints before pictures of the same time.
        rounds_ns: times at which those who follow in lockstep take their turns: each row with all its pictures, or, where
            joints came in between, every ten milliseconds.
    """

    samples: Iterator[Sample]
    rounds_ns: tuple[int, ...]


def playback(recording: Recording, said: Declaration, robot: Robot) -> Played:
    """Return an episode as it goes by; pictures are decoded on the way.

    Raises:
        DatasetError: a file is missing or damaged; of pictures, when their turn comes.
    """
    real, stamps = ~recording.values("filled"), recording.values("stamp_ns")
    skews_ns = np.rint(recording.values("skew").astype(np.float64) * NS_PER_S).astype(np.int64)
    places = [recording.cameras.index(camera.name) for camera in robot.cameras]
    captures = stamps[:, None] + skews_ns[:, places]
    pictures = [
        _pictures(recording, said, camera.name, np.where(real, column, 0))
        for camera, column in zip(robot.cameras, captures.T, strict=True)
    ]
    joints: list[Sample] = list(_driver_samples(recording, robot))
    rounds = np.arange(stamps[0], captures.max() + 2 * ROUND_NS, ROUND_NS)
    if not joints:
        rows = zip(stamps[real].tolist(), recording.states[real], strict=True)
        joints = [JointSample(stamp_ns, state) for stamp_ns, state in rows]
        rounds = np.maximum(stamps, captures.max(axis=1))[real]
    samples = heapq.merge(joints, *pictures, key=attrgetter("stamp_ns"))
    # A simulated recording may begin at time 0, which on the wire says that there is no stamp.
    return Played((s for s in samples if s.stamp_ns > 0), tuple(rounds[rounds > 0].tolist()))


def _pictures(recording: Recording, said: Declaration, camera: str, captures_ns: NDArray[np.int64]) -> Iterator[Sample]:
    newest_ns = 0
    depths = _depths(recording, said, camera)
    for stamp_ns, color, depth_mm in zip(captures_ns.tolist(), recording.pictures(camera), depths, strict=False):
        if stamp_ns > newest_ns:
            newest_ns = stamp_ns
            yield PictureSample(stamp_ns, camera, color, depth_mm)


def _depths(recording: Recording, said: Declaration, camera: str) -> Iterator[NDArray[np.uint16] | None]:
    """The lossless depth where there is one."""
    kinds = {stream.kind for stream in said.layout.streams if stream.camera == camera}
    if "depth_archive" in kinds:
        yield from recording.archived_depths(camera)
    elif "depth" in kinds:
        yield from (np.rint(depth_m * _MM_PER_M).astype(np.uint16) for depth_m in recording.depths(camera))
    else:
        yield from repeat(None)


def _driver_samples(recording: Recording, robot: Robot) -> list[DriverSample]:
    """The drivers' own messages; none unless all topics have them, stamped."""
    path = recording.archive / "archive_0.mcap"
    topics = {topic.stream.topic for topic in feedback_topics(robot)}
    if not path.is_file():
        return []
    found = [DriverSample(m.stamp_ns, m.topic, m.data) for m in read_messages(path) if m.topic in topics]
    if {sample.topic for sample in found} != topics or not all(sample.stamp_ns for sample in found):
        return []
    return sorted(found, key=attrgetter("stamp_ns"))
