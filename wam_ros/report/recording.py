# SPDX-License-Identifier: Apache-2.0
"""What is kept of one attempt for the report and the video: thinned, bounded, and without a clock of its own.

Cameras become small JPEG pictures at a few frames per second, joints a few ten samples per second. What is
*commanded* is pieced together from the committed trajectories: each holds until the next one begins.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wam_ros.core.types import ByteImage, FloatArray, Trajectory, nanoseconds, seconds

#: A camera that is nobody's sensor: robot and workpiece as people see them.
SCENE = "scene"
#: What was imagined against what came, the newest of each distance in time: keys of diagnostics begin so.
FORESIGHT = "newest_"
#: Longest side of a kept picture [pixels]; larger ones are reduced.
PICTURE_SIDE = 640
PICTURE_QUALITY = 80


@dataclass(frozen=True)
class Frame:
    """What the cameras showed at one time: camera name to JPEG bytes."""

    time_s: float
    pictures: Mapping[str, bytes]


@dataclass(frozen=True)
class Mark:
    """Something that happened: a stage reached, a stop, an end."""

    time_s: float
    text: str


@dataclass
class Recording:
    """One attempt as it was seen from the side; times are seconds after its start.

    Attributes:
        joint_names: (J,) robot order.
        leader: the camera whose pictures make the frames.
        start_ns: stamp at which the attempt began.
        frame_period_s, joint_period_s: spacing of what is kept.
        foresight: figure (``absrel_800ms``) to times and values.
    """

    joint_names: tuple[str, ...]
    leader: str
    start_ns: int
    frame_period_s: float = 0.13
    joint_period_s: float = 0.04
    latency_ms: list[tuple[float, float]] = field(default_factory=list)
    foresight: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    states: list[Mark] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stamps: dict[str, list[int]] = {}
        self._pictures: dict[str, list[tuple[int, bytes]]] = {}
        self._measured: list[tuple[float, FloatArray]] = []
        self._committed: list[tuple[int, FloatArray]] = []

    def time_s(self, stamp_ns: int) -> float:
        """Return a stamp as seconds after the start."""
        return seconds(stamp_ns - self.start_ns)

    def _period(self, stamp_ns: int) -> int:
        return (stamp_ns - self.start_ns) // nanoseconds(self.frame_period_s)

    # pictures

    def wants(self, camera: str, stamp_ns: int) -> bool:
        """Note that a frame was seen; True when its picture is to be handed to :meth:`add_picture`."""
        seen = self._stamps.setdefault(camera, [])
        # A simulator that rests says its last picture again.
        if stamp_ns < self.start_ns or (seen and stamp_ns <= seen[-1]):
            return False
        seen.append(stamp_ns)
        # One picture of each camera in every period, so that a frame's pictures belong together.
        kept = self._pictures.get(camera)
        return not kept or self._period(stamp_ns) > self._period(kept[-1][0])

    def add_picture(self, camera: str, stamp_ns: int, color: ByteImage) -> None:
        """Keep a picture."""
        self._pictures.setdefault(camera, []).append((stamp_ns, jpeg(color)))

    def frames(self) -> list[Frame]:
        """Return each kept picture of the leader with the nearest ones of the other cameras."""
        return [
            Frame(self.time_s(stamp_ns), {name: _nearest(kept, stamp_ns) for name, kept in self._pictures.items()})
            for stamp_ns, _ in self._pictures.get(self.leader, [])
        ]

    # joints

    def add_joints(self, stamp_ns: int, position: FloatArray) -> None:
        """Take (J,) positions, NaN where nothing has come yet; kept once all are known."""
        time_s = self.time_s(stamp_ns)
        due = not self._measured or time_s - self._measured[-1][0] >= self.joint_period_s
        if due and not np.isnan(position).any():
            self._measured.append((time_s, position.copy()))

    def add_committed(self, trajectory: Trajectory) -> None:
        """Replace what was to be executed from the trajectory's first time on."""
        if trajectory.names != self.joint_names or not trajectory.times_ns:
            return
        while self._committed and self._committed[-1][0] >= trajectory.times_ns[0]:
            self._committed.pop()
        self._committed.extend(zip(trajectory.times_ns, trajectory.positions, strict=True))

    def measured(self) -> tuple[FloatArray, FloatArray]:
        """Return times (N,) [s] and measured positions (N, J)."""
        return self._series([t for t, _ in self._measured], [q for _, q in self._measured])

    def commanded(self, until_s: float = np.inf) -> tuple[FloatArray, FloatArray]:
        """Return times (N,) [s] and commanded positions (N, J) up to a time."""
        kept = [(t, q) for ns, q in self._committed if (t := self.time_s(ns)) <= until_s]
        return self._series([t for t, _ in kept], [q for _, q in kept])

    def _series(self, times: list[float], rows: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
        return np.array(times), np.array(rows).reshape(len(rows), len(self.joint_names))

    # what was imagined

    def add_foresight(self, now_ns: int, values: Mapping[str, str]) -> None:
        """Keep how wrong the newest imaginations were whose time has come."""
        for key, text in values.items():
            if key.startswith(FORESIGHT):
                kept = self.foresight.setdefault(key.removeprefix(FORESIGHT), [])
                kept.append((self.time_s(now_ns), float(text)))

    # time

    def skew_ms(self) -> FloatArray:
        """Return, for every leader frame and other camera, the distance of the nearest frame [ms]."""
        leader = np.array(self._stamps.get(self.leader, []), dtype=np.int64)
        others = [np.array(s, dtype=np.int64) for name, s in self._stamps.items() if name not in (self.leader, SCENE)]
        if not leader.size or not others:
            return np.zeros(0)
        return np.concatenate([_nearest_ns(leader, other) for other in others]) / 1e6


def jpeg(color: ByteImage) -> bytes:
    """Return an (H, W, 3) RGB image as JPEG, reduced to at most ``PICTURE_SIDE`` pixels."""
    image = Image.fromarray(np.ascontiguousarray(color))
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=PICTURE_QUALITY)
    return out.getvalue()


def picture(data: bytes) -> ByteImage:
    """Return the (H, W, 3) RGB image of JPEG bytes."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _nearest(pictures: list[tuple[int, bytes]], stamp_ns: int) -> bytes:
    """The picture whose stamp is nearest."""
    return min(pictures, key=lambda kept: abs(kept[0] - stamp_ns))[1]


def _nearest_ns(times: NDArray[np.int64], others: NDArray[np.int64]) -> FloatArray:
    """Distance from each time to the nearest of the others (sorted)."""
    right = np.clip(np.searchsorted(others, times), 0, len(others) - 1)
    left = np.maximum(right - 1, 0)
    distance: FloatArray = np.minimum(np.abs(others[right] - times), np.abs(others[left] - times)).astype(np.float64)
    return distance
