# SPDX-License-Identifier: Apache-2.0
"""Where a frame sits, and how late a device is: what a calibration says of a robot beyond its URDF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch


@dataclass(frozen=True)
class Place:
    """A frame in another one.

    Attributes:
        parent: URDF link.
        xyz_m: position of the frame's origin in the parent.
        quaternion_xyzw: its orientation.
    """

    parent: str
    xyz_m: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        length = float(np.linalg.norm(self.quaternion_xyzw))
        if not np.isfinite(self.xyz_m).all() or abs(length - 1) > 1e-3:
            got = f"{self.xyz_m} and a quaternion of length {length:.3f}"
            raise ConfigError(mismatch("place", "finite metres and a unit quaternion x y z w", got, "correct it"))


@dataclass(frozen=True)
class Lateness:
    """How late a device is.

    Attributes:
        latency_s: of a camera from exposure to its driver's stamp; of an arm or gripper from command to motion.
        interval_s: half width of the 95 % interval.
        method: how it was found: motion, or a clock on a screen.
        date: in ISO 8601.
        correlation: of the two signals that were compared; 1 where none were.
    """

    latency_s: float
    interval_s: float
    method: str
    date: str
    correlation: float = 1.0
