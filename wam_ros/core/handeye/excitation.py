# SPDX-License-Identifier: Apache-2.0
"""Do the poses say enough? Before solving from the motion alone, after solving from the covariance; both refuse.

Between two poses the camera's rotation A fixes its place through (R_A - I) t. Turns about one axis leave the
place along that axis open, and without turns nothing is known of it: the smallest eigenvalue of the mean of
(R_A - I)^T (R_A - I) over all pairs, whose root is about the turn [rad] across its eigenvector, must not vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.handeye.problem import Key
from wam_ros.core.handeye.solve import Solution
from wam_ros.core.handeye.start import Track
from wam_ros.core.types import FloatArray

AXES = "xyz"


@dataclass(frozen=True)
class Demands:
    """What a calibration must reach to be believed.

    Attributes:
        poses: fewest sightings of a board by a camera of which one moves.
        turn_rad: least turn about the second axis; see the module's text.
        error_m, error_rad: largest half axis of a camera's 95 % region.
        rejected: largest share of sightings that may be left out.
    """

    poses: int = 8
    turn_rad: float = 0.12
    error_m: float = 0.01
    error_rad: float = 0.0175
    rejected: float = 0.3

    def __post_init__(self) -> None:
        if self.poses < 3 or min(self.turn_rad, self.error_m, self.error_rad) <= 0 or not 0 <= self.rejected < 0.5:
            raise ConfigError(
                f"demands: expected poses >= 3, positive angles and errors, rejected < 0.5, got {self}; correct them"
            )


@dataclass(frozen=True)
class Excitation:
    """How much a set of poses turns.

    Attributes:
        turn_rad: about the axis they turn about least, in the sense of the module's text; 0 where undetermined.
        overall_rad: root mean square angle between two poses.
        axis: (3,) unit vector in the tool's frame along which the position stays open.
    """

    turn_rad: float
    overall_rad: float
    axis: FloatArray


def excitation(robot: FloatArray) -> Excitation:
    """Return the excitation of (N, 4, 4) tool poses."""
    i, j = np.triu_indices(len(robot), 1)
    between = np.swapaxes(robot[j][:, :3, :3], 1, 2) @ robot[i][:, :3, :3]
    turned = between - np.eye(3)
    values, vectors = np.linalg.eigh(np.einsum("pki,pkj->ij", turned, turned) / max(len(i), 1))
    angle = Rotation.from_matrix(between).magnitude() if len(i) else np.zeros(1)
    return Excitation(float(np.sqrt(max(values[0], 0.0))), float(np.sqrt((angle**2).mean())), vectors[:, 0])


def require_excitation(track: Track, demands: Demands) -> None:
    """Refuse a track whose poses are too few or turn too little.

    Raises:
        CalibrationError: says which motion is missing.
    """
    who = f"{' '.join(track.moving)} on {track.arm}"
    count = len(np.unique(track.poses))
    if count < demands.poses:
        raise CalibrationError(
            f"hand-eye: {who}: expected at least {demands.poses} poses with the board in view, got {count}; capture more"
        )
    found = excitation(track.robot)
    if found.overall_rad < demands.turn_rad:
        raise CalibrationError(
            f"hand-eye: {who}: the poses only move and hardly turn ({np.degrees(found.overall_rad):.1f} deg); "
            f"turn the tool by 30 degrees or more about two different axes"
        )
    if found.turn_rad < demands.turn_rad:
        where = "the tool's" if track.camera_moves else "the arm base's"
        raise CalibrationError(
            f"hand-eye: {who}: all poses turn about one axis, {named(found.axis)} in {where} frame, so the position along "
            f"it stays unknown (turn across it {np.degrees(found.turn_rad):.1f} deg, at least "
            f"{np.degrees(demands.turn_rad):.0f} wanted); add poses that tilt by 30 degrees about {across(found.axis)}"
        )


def require_precision(solution: Solution, demands: Demands) -> None:
    """Refuse a solution whose 95 % regions are too large.

    Raises:
        CalibrationError: says of what, in which direction, and what helps.
    """
    for key in sorted(solution.transforms):
        if key[0] == "camera":
            _require(key, solution, demands)


def _require(key: Key, solution: Solution, demands: Demands) -> None:
    region = solution.region(key)
    if region.radii_m[0] > demands.error_m:
        raise CalibrationError(
            f"hand-eye: {' '.join(key)}: position along {named(region.axis_m)} of its mount is only known to "
            f"{region.radii_m[0] * 1e3:.1f} mm (95 %), {demands.error_m * 1e3:.1f} wanted; add poses that tilt about "
            f"{across(region.axis_m)}, nearer to the board"
        )
    if region.radii_rad[0] > demands.error_rad:
        raise CalibrationError(
            f"hand-eye: {' '.join(key)}: rotation about {named(region.axis_rad)} of its mount is only known to "
            f"{np.degrees(region.radii_rad[0]):.2f} deg (95 %), {np.degrees(demands.error_rad):.2f} wanted; add poses that "
            f"turn and move about other axes than it"
        )


def named(axis: FloatArray) -> str:
    """Return an axis for people: its letter where it is one, else its components."""
    main = int(np.abs(axis).argmax())
    if abs(axis[main]) > 0.95:
        return AXES[main]
    turned = axis * np.sign(axis[main])
    return "(" + ", ".join(f"{value + 0.0:.1f}" for value in turned) + ")"


def across(axis: FloatArray) -> str:
    """Return the two letters across an axis."""
    main = int(np.abs(axis).argmax())
    return " or ".join(letter for i, letter in enumerate(AXES) if i != main)
