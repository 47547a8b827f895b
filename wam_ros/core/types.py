# SPDX-License-Identifier: Apache-2.0
"""The values that travel through the flow: joints, observations, chunks, trajectories.

All are frozen, validated where they enter, and their arrays are read-only. Shape letters are fixed
for the whole package: H W image, V views, K chunk rows, J joints of all arms and grippers in robot
order, N samples. Time is an integer number of nanoseconds on the clock of the sensor stamps.

Arm joints are radians. A gripper is its normalised opening, 0 closed to 1 open; only the adapters
in ``ros/`` know a robot's native gripper unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ShapeError, UnsafeCommandError, mismatch

FloatArray = NDArray[np.float64]
ByteImage = NDArray[np.uint8]
DepthImage = NDArray[np.float32]

NS_PER_S = 1_000_000_000


def seconds(duration_ns: int) -> float:
    """Return a duration in seconds."""
    return duration_ns / NS_PER_S


def nanoseconds(duration_s: float) -> int:
    """Return a duration in whole nanoseconds."""
    return round(duration_s * NS_PER_S)


def frozen(array: object) -> FloatArray:
    """Return a read-only float64 copy of an array-like."""
    out = np.array(array, dtype=np.float64)
    out.setflags(write=False)
    return out


@dataclass(frozen=True)
class JointState:
    """Positions of named joints at one time.

    Attributes:
        stamp_ns: time of measurement.
        names: (J,) joint names.
        position: (J,) [rad], grippers normalised 0..1.
    """

    stamp_ns: int
    names: tuple[str, ...]
    position: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "position", frozen(self.position))
        if self.position.shape != (len(self.names),):
            raise ShapeError(
                mismatch(
                    "joint state positions",
                    f"({len(self.names)},)",
                    self.position.shape,
                    "send one position for each name",
                )
            )


@dataclass(frozen=True)
class View:
    """One camera's picture, and its depth where there is one.

    Attributes:
        stamp_ns: time of capture (driver stamp minus the calibrated device latency).
        color: (H, W, 3) uint8, RGB.
        depth_m: (H, W) float32 [m], NaN or 0 where unknown; None without a depth stream.
        skew_ns: capture time minus the observation's time.
        fresh: False when the frame is farther from the observation than the stream allows.
    """

    stamp_ns: int
    color: ByteImage
    depth_m: DepthImage | None = None
    skew_ns: int = 0
    fresh: bool = True


@dataclass(frozen=True)
class Observation:
    """What the robot saw and felt at one time: synchronised views and joints.

    Attributes:
        stamp_ns: capture time of the leader camera; all else is brought to this time.
        views: camera name to view, in robot order.
        joints: joint positions interpolated at ``stamp_ns``, in robot order.
        truth: simulator state for demonstrators and judges only; None for policies and on robots.
    """

    stamp_ns: int
    views: Mapping[str, View]
    joints: JointState
    truth: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", MappingProxyType(dict(self.views)))

    @property
    def complete(self) -> bool:
        """True when every view is fresh: only then may a policy infer from it."""
        return all(view.fresh for view in self.views.values())


@dataclass(frozen=True)
class Chunk:
    """K rows of future joint positions, each of which belongs to an absolute time.

    Attributes:
        stamp_ns: capture time of the observation it was inferred from; identifies the chunk.
        names: (J,) joints in robot order.
        positions: (K, J) [rad], grippers normalised.
        offsets_ns: (K,) time of each row after ``stamp_ns``, rising.
    """

    stamp_ns: int
    names: tuple[str, ...]
    positions: FloatArray
    offsets_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "positions", frozen(self.positions))
        object.__setattr__(self, "offsets_ns", tuple(int(o) for o in self.offsets_ns))
        expected = (len(self.offsets_ns), len(self.names))
        if self.positions.shape != expected or not self.offsets_ns:
            raise ShapeError(
                mismatch(
                    "chunk positions",
                    f"{expected}, K >= 1",
                    self.positions.shape,
                    "send one row per time and one column per joint",
                )
            )
        if any(b <= a for a, b in zip(self.offsets_ns, self.offsets_ns[1:], strict=False)):
            raise ShapeError("chunk row times must rise; got an unsorted or repeated time_from_start; sort the rows")
        if not np.isfinite(self.positions).all():
            raise UnsafeCommandError("chunk holds NaN or infinite positions; the policy that made it must be stopped")

    @classmethod
    def at_rate(
        cls, stamp_ns: int, names: Sequence[str], positions: object, rate_hz: float, first_row: int = 1
    ) -> Chunk:
        """Return a chunk with evenly spaced rows; row i lies ``(i + first_row) / rate_hz`` after the stamp."""
        rows = np.asarray(positions, dtype=np.float64)
        offsets = [round((i + first_row) * NS_PER_S / rate_hz) for i in range(len(rows))]
        return cls(stamp_ns, tuple(names), rows, tuple(offsets))

    @property
    def times_ns(self) -> tuple[int, ...]:
        """(K,) absolute time of each row."""
        return tuple(self.stamp_ns + o for o in self.offsets_ns)


@dataclass(frozen=True)
class Trajectory:
    """Timed positions, velocities and accelerations, ready to be executed.

    Attributes:
        names: (J,) joints in robot order.
        times_ns: (N,) absolute times, rising.
        positions: (N, J) [rad], grippers normalised.
        velocities: (N, J) [rad/s], grippers [1/s].
        accelerations: (N, J) [rad/s^2].
    """

    names: tuple[str, ...]
    times_ns: tuple[int, ...]
    positions: FloatArray
    velocities: FloatArray
    accelerations: FloatArray = field(default_factory=lambda: frozen(np.zeros((0, 0))))

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "times_ns", tuple(int(t) for t in self.times_ns))
        expected = (len(self.times_ns), len(self.names))
        for what in ("positions", "velocities", "accelerations"):
            array = frozen(getattr(self, what))
            if what == "accelerations" and array.size == 0:
                array = frozen(np.zeros(expected))
            object.__setattr__(self, what, array)
            if array.shape != expected:
                raise ShapeError(mismatch(f"trajectory {what}", expected, array.shape, "give one row per time"))
