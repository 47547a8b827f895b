# SPDX-License-Identifier: Apache-2.0
"""What a hand-eye calibration knows: cameras, boards, arm poses, corners seen, and how noisy all of it is.

Unknown are the pose of each camera and board on its mount, of each further arm's base in the first one's, and a
small shake of each arm pose. A chain leads from a board's corner to a camera: ``p_cam = T_1 T_2 ... p_board``.
Each factor is a known transform or an unknown, possibly inverted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.transforms import invert
from wam_ros.core.types import FloatArray

Key = tuple[str, ...]
Values = dict[Key, FloatArray]


class Factor(NamedTuple):
    """One transform of a chain: ``key`` names an unknown (``inverted`` if so), else ``known`` is its value."""

    key: Key | None = None
    inverted: bool = False
    known: FloatArray | None = None

    def value(self, values: Values) -> FloatArray:
        """Return the (4, 4) transform, given the unknowns' values."""
        if self.known is not None:
            return self.known
        assert self.key is not None
        return invert(values[self.key]) if self.inverted else values[self.key]

    def reverse(self) -> Factor:
        """Return the factor of the way back."""
        return Factor(self.key, not self.inverted, None if self.known is None else invert(self.known))


@dataclass(frozen=True)
class Pinhole:
    """An ideal camera; pictures are undistorted before. Focal lengths and centre [px]."""

    fx: float
    fy: float
    cx: float
    cy: float

    def project(self, points: FloatArray) -> FloatArray:
        """Return pixels (M, 2) of points (M, 3) in the optical frame."""
        z = points[:, 2]
        return np.stack([self.fx * points[:, 0] / z + self.cx, self.fy * points[:, 1] / z + self.cy], axis=1)

    def derivative(self, points: FloatArray) -> FloatArray:
        """Return d pixel / d point, (M, 2, 3)."""
        x, y, z = points.T
        J = np.zeros((len(points), 2, 3))
        J[:, 0, 0], J[:, 0, 2] = self.fx / z, -self.fx * x / z**2
        J[:, 1, 1], J[:, 1, 2] = self.fy / z, -self.fy * y / z**2
        return J


@dataclass(frozen=True)
class Mount:
    """Where a camera or board is fixed: on an arm's tool, or in the first arm's base frame (empty name)."""

    arm: str = ""


@dataclass(frozen=True)
class Sighting:
    """A board in one picture.

    Attributes:
        camera, board: which.
        pose: index of the arms' pose, in order of capture; all sightings of a pose share its shake.
        points: (M, 3) corners in the board's frame [m].
        pixels: (M, 2) where they were seen, undistorted.
        T_cam_board: (4, 4) a first guess of the board's pose from this picture alone.
    """

    camera: str
    board: str
    pose: int
    points: FloatArray
    pixels: FloatArray
    T_cam_board: FloatArray


@dataclass(frozen=True)
class Noise:
    """Standard deviations.

    Attributes:
        pixel_px: of corners; ``cameras`` of those of cameras that differ [px].
        robot_m, robot_rad: of the robot's pose at the tool; both 0 for a perfect robot.
    """

    pixel_px: float = 0.3
    robot_m: float = 0.0005
    robot_rad: float = 0.0008
    cameras: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min([self.pixel_px, *self.cameras.values()]) <= 0 or self.robot_m < 0 or self.robot_rad < 0:
            raise ConfigError(mismatch("noise", "positive pixels, robot >= 0", self, "give standard deviations"))
        if (self.robot_m > 0) != (self.robot_rad > 0):
            raise ConfigError(
                mismatch("noise: robot_m and robot_rad", "both positive or both 0", self, "an arm that errs does both")
            )

    @property
    def perfect_robot(self) -> bool:
        """Whether the arms are where their encoders say."""
        return self.robot_m == 0

    def pixel_of(self, camera: str) -> float:
        """Return the standard deviation of a camera's corners [px]."""
        return self.cameras.get(camera, self.pixel_px)

    def shake_spread(self) -> FloatArray:
        """(6,) standard deviation of a shake's twist."""
        return np.repeat([self.robot_m, self.robot_rad], 3)


@dataclass(frozen=True)
class Problem:
    """Everything that is known before solving.

    Attributes:
        arms: their names; the first one's base frame is the world.
        cameras, boards: name to mount; ``lenses`` name to camera model.
        poses: (arm, pose index) to T_base_tool (4, 4) from forward kinematics.
        sightings: what was seen.
    """

    arms: tuple[str, ...]
    cameras: Mapping[str, Mount]
    lenses: Mapping[str, Pinhole]
    boards: Mapping[str, Mount]
    poses: Mapping[tuple[str, int], FloatArray]
    sightings: tuple[Sighting, ...]
    noise: Noise = field(default_factory=Noise)

    def chain(self, sighting: Sighting) -> list[Factor]:
        """Return the factors from the board's frame to the camera's, leftmost first."""
        to_camera = self._to_base(self.cameras[sighting.camera], ("camera", sighting.camera), sighting.pose)
        to_board = self._to_base(self.boards[sighting.board], ("board", sighting.board), sighting.pose)
        return _without_detours([*(factor.reverse() for factor in reversed(to_camera)), *to_board])

    def only(self, indices: Iterable[int]) -> Problem:
        """Return the problem with these sightings alone."""
        return replace(self, sightings=tuple(self.sightings[i] for i in indices))

    def arms_of(self, sighting: Sighting) -> set[str]:
        """Return the arms that carry the camera or the board."""
        return {self.cameras[sighting.camera].arm, self.boards[sighting.board].arm} - {""}

    def _to_base(self, mount: Mount, key: Key, pose: int) -> list[Factor]:
        """Factors from the thing's own frame to the world."""
        if not mount.arm:
            return [Factor(key)]
        base = [] if mount.arm == self.arms[0] else [Factor(("base", mount.arm))]
        tool = [Factor(known=self.poses[mount.arm, pose])]
        shake = [] if self.noise.perfect_robot else [Factor(("shake", mount.arm, str(pose)))]
        return [*base, *tool, *shake, Factor(key)]


def _without_detours(chain: list[Factor]) -> list[Factor]:
    """Drop an unknown that is gone to and come back from at once."""
    out: list[Factor] = []
    for factor in chain:
        if out and factor.key is not None and out[-1].key == factor.key and out[-1].inverted != factor.inverted:
            out.pop()
        else:
            out.append(factor)
    return out
