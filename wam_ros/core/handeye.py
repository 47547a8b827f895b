# SPDX-License-Identifier: Apache-2.0
"""Hand-eye calibration of all cameras and arm bases in one least-squares problem, with its covariance.

Unknown are the pose of each camera on its mount, of each board on its mount, of each further arm base in the
first arm's base, and, because a robot is not where its encoders say, a small noise pose for each arm pose.
Known are the corners of the boards in the pictures and the arms' forward kinematics. Corner residuals are
weighted by the pixel noise, noise poses by the robot's repeatability, and the whole is solved by
Levenberg-Marquardt with Huber weights. The inverse of the information matrix is the covariance; at the truth it
is the Cramer-Rao bound.

A chain leads from a board's corner to a camera: ``p_cam = T_1 T_2 ... p_board``. Each factor is a known
transform or an unknown, possibly inverted; unknowns are perturbed on the right, ``T exp(twist)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from wam_ros.core.transforms import apply, exp, invert, skew
from wam_ros.core.types import FloatArray

Key = tuple[str, ...]
Values = dict[Key, FloatArray]

HUBER = 2.5
"""Whitened corner error from which on a corner counts less; 99.5 % of honest corners lie below."""


class Factor(NamedTuple):
    """One transform of a chain: ``key`` names an unknown (``inverted`` if so), else ``known`` is its value."""

    key: Key | None = None
    inverted: bool = False
    known: FloatArray | None = None


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
        pose: index of the arms' pose; all sightings of a pose share its noise.
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
    """Standard deviations: corners [px], and the robot's pose at the tool [m], [rad]; 0 for a perfect robot."""

    pixel_px: float = 0.3
    robot_m: float = 0.0005
    robot_rad: float = 0.0008


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
        back = [
            Factor(f.key, not f.inverted, None if f.known is None else invert(f.known)) for f in reversed(to_camera)
        ]
        return _without_detours([*back, *to_board])

    def _to_base(self, mount: Mount, key: Key, pose: int) -> list[Factor]:
        """Factors from the thing's own frame to the world."""
        if not mount.arm:
            return [Factor(key)]
        base = [] if mount.arm == self.arms[0] else [Factor(("base", mount.arm))]
        tool = [Factor(known=self.poses[mount.arm, pose])]
        noisy = self.noise.robot_m > 0 or self.noise.robot_rad > 0
        shake = [Factor(("noise", mount.arm, str(pose)))] if noisy else []
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


@dataclass(frozen=True)
class Solution:
    """Estimates and what they are worth.

    Attributes:
        transforms: ("camera", name), ("board", name), ("base", arm) to (4, 4).
        covariance: the same keys to (6, 6) of the right twist, translation first.
        rms_px: of all corners that count.
        chi_square, freedom: whitened squared error and its degrees of freedom; about equal if the noise is as stated.
        rejected: indices of sightings that do not agree with the others.
    """

    transforms: Values
    covariance: Values
    rms_px: float
    chi_square: float
    freedom: int
    rejected: tuple[int, ...] = ()


def refine(problem: Problem, start: Values, iterations: int = 50) -> Solution:
    """Solve from a start by Levenberg-Marquardt; see the module's text."""
    values = dict(start)
    for sighting in problem.sightings:
        for factor in problem.chain(sighting):
            if factor.key is not None and factor.key[0] == "noise":
                values.setdefault(factor.key, np.eye(4))
    columns = {key: slice(6 * i, 6 * i + 6) for i, key in enumerate(sorted(values))}
    damping = 1e-4
    H, g, cost = _normal_equations(problem, values, columns)
    for _ in range(iterations):
        step: FloatArray = -np.asarray(np.linalg.solve(H + damping * np.diag(np.diag(H)), g), dtype=np.float64)
        trial = {key: T @ exp(step[columns[key]]) for key, T in values.items()}
        H_new, g_new, cost_new = _normal_equations(problem, trial, columns)
        if cost_new > cost:
            damping *= 10
            if damping > 1e8:
                break
            continue
        done = cost - cost_new < 1e-9 * (1 + cost)
        values, H, g, cost, damping = trial, H_new, g_new, cost_new, max(damping / 10, 1e-12)
        if done:
            break
    return _solution(problem, values, columns, H)


def information(problem: Problem, values: Values) -> tuple[FloatArray, dict[Key, slice]]:
    """Return the information matrix at given values and where each unknown stands in it.

    At the true values its inverse is the Cramer-Rao bound of any unbiased estimate.
    """
    columns = {key: slice(6 * i, 6 * i + 6) for i, key in enumerate(sorted(values))}
    return _normal_equations(problem, values, columns)[0], columns


def residual(problem: Problem, sighting: Sighting, values: Values) -> FloatArray:
    """Return the corner errors of a sighting (M, 2) [px]."""
    T = np.eye(4)
    for factor in problem.chain(sighting):
        T = T @ _value(factor, values)
    return problem.lenses[sighting.camera].project(apply(T, sighting.points)) - sighting.pixels


def _value(factor: Factor, values: Values) -> FloatArray:
    if factor.key is None:
        assert factor.known is not None
        return factor.known
    T = values[factor.key]
    return invert(T) if factor.inverted else T


def _linearised(problem: Problem, sighting: Sighting, values: Values) -> tuple[FloatArray, dict[Key, FloatArray]]:
    """Return whitened corner errors (2M,) and their derivative by each unknown's right twist (2M, 6)."""
    chain = problem.chain(sighting)
    transforms = [_value(factor, values) for factor in chain]
    right = [sighting.points]
    for T in reversed(transforms):
        right.append(apply(T, right[-1]))
    right.reverse()
    lens = problem.lenses[sighting.camera]
    D = lens.derivative(right[0]) / problem.noise.pixel_px
    error = (lens.project(right[0]) - sighting.pixels) / problem.noise.pixel_px
    jacobians: dict[Key, FloatArray] = {}
    left = np.eye(3)
    for i, (factor, T) in enumerate(zip(chain, transforms, strict=True)):
        # T exp(twist) moves the points to its right; an inverse moves those to its left, the other way.
        at, R, sign = (right[i], left, -1.0) if factor.inverted else (right[i + 1], left @ T[:3, :3], 1.0)
        left = left @ T[:3, :3]
        if factor.key is None:
            continue
        moved = sign * np.concatenate([np.broadcast_to(np.eye(3), (len(at), 3, 3)), -skew(at)], axis=2)
        J = (D @ R @ moved).reshape(-1, 6)
        jacobians[factor.key] = jacobians.get(factor.key, 0.0) + J
    return error.reshape(-1), jacobians


def _normal_equations(
    problem: Problem, values: Values, columns: Mapping[Key, slice]
) -> tuple[FloatArray, FloatArray, float]:
    size = 6 * len(columns)
    H, g, cost = np.zeros((size, size)), np.zeros(size), 0.0
    for sighting in problem.sightings:
        error, jacobians = _linearised(problem, sighting, values)
        norm = np.repeat(np.linalg.norm(error.reshape(-1, 2), axis=1), 2)
        weight = np.where(norm <= HUBER, 1.0, HUBER / np.maximum(norm, 1e-12))
        cost += float(np.where(norm <= HUBER, error**2, (2 * HUBER * norm - HUBER**2) / 2).sum())
        for key, J in jacobians.items():
            weighted = J * weight[:, None]
            g[columns[key]] += weighted.T @ error
            for other, K in jacobians.items():
                H[columns[key], columns[other]] += weighted.T @ K
    spread = np.repeat([problem.noise.robot_m, problem.noise.robot_rad], 3)
    for key, column in columns.items():
        if key[0] == "noise":
            twist = _small_twist(values[key])
            H[column, column] += np.diag(1 / spread**2)
            g[column] += twist / spread**2
            cost += float(((twist / spread) ** 2).sum())
    return H, g, cost


def _small_twist(T: FloatArray) -> FloatArray:
    """Twist of a transform near the identity, to first order."""
    R = T[:3, :3]
    return np.concatenate([T[:3, 3], 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])])


def _solution(problem: Problem, values: Values, columns: Mapping[Key, slice], H: FloatArray) -> Solution:
    covariance: FloatArray = np.asarray(np.linalg.inv(H), dtype=np.float64)
    lasting: Sequence[Key] = [key for key in values if key[0] != "noise"]
    errors = np.concatenate([residual(problem, s, values).reshape(-1) for s in problem.sightings])
    whitened = float((errors**2).sum()) / problem.noise.pixel_px**2
    return Solution(
        transforms={key: values[key] for key in lasting},
        covariance={key: covariance[columns[key], columns[key]] for key in lasting},
        rms_px=float(np.sqrt((errors**2).mean())),
        chi_square=whitened,
        freedom=errors.size - 6 * len(lasting),
    )
