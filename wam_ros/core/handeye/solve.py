# SPDX-License-Identifier: Apache-2.0
"""The joint refinement: corner errors and arm shakes in one robust least-squares problem, with its covariance.

Corner residuals are weighted by the pixel noise, shakes by the robot's repeatability, both with Huber's loss; the
whole is solved by Levenberg-Marquardt on right twists, ``T exp(twist)``. The inverse of the information matrix is
the covariance; at the truth it is the Cramer-Rao bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import chdtri, fdtri

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Factor, Key, Noise, Problem, Sighting, Values
from wam_ros.core.transforms import apply, exp, invert, log, skew
from wam_ros.core.types import FloatArray

HUBER_CORNER = 3.26
"""Whitened corner error from which on a corner counts less; 99.5 % of honest corners lie below."""
HUBER_SHAKE = 4.3
"""The same for a whitened shake, of 6 values."""
LARGEST_CONDITION = 1e13
"""Of the scaled information matrix, beyond which its inverse means nothing."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Region:
    """Half axes of a 95 % region, longest first, and the direction of the longest in the mount's frame.

    Attributes:
        radii_m, radii_rad: (3,) of translation and of rotation, each for itself.
        axis_m, axis_rad: (3,) unit vectors of the longest ones.
    """

    radii_m: FloatArray
    radii_rad: FloatArray
    axis_m: FloatArray
    axis_rad: FloatArray


@dataclass(frozen=True)
class Solution:
    """Estimates and what they are worth.

    Attributes:
        transforms: ("camera", name), ("board", name), ("base", arm) to (4, 4).
        shakes: ("shake", arm, pose) to (4, 4), where the arm was seen to be off its encoders.
        covariance: (6n, 6n) of the right twists of all transforms, translation first; ``columns`` says where.
        rms_px: of all corners.
        chi_square, freedom: whitened squared error and its degrees of freedom; about equal if the noise is as stated.
        noise: the noise it was weighted with.
        redundancy: of corners, shake translations and shake rotations: how many values are not used up by unknowns.
        noise_estimated: the noise was found from the same data, which widens the regions.
    """

    transforms: Values
    shakes: Values
    covariance: FloatArray
    columns: Mapping[Key, slice]
    rms_px: float
    chi_square: float
    freedom: int
    noise: Noise
    redundancy: tuple[float, float, float]
    noise_estimated: bool = False

    def covariance_of(self, key: Key) -> FloatArray:
        """(6, 6) of one transform's right twist, translation first."""
        return self.covariance[self.columns[key], self.columns[key]]

    def region(self, key: Key) -> Region:
        """Return the 95 % region of one transform, in its mount's frame."""
        R = self.transforms[key][:3, :3]
        scale = float(np.sqrt(self.quantile(3, 1 - CONFIDENCE)))
        covariance = self.covariance_of(key)
        (t, axis_t), (r, axis_r) = (
            np.linalg.eigh(R @ block @ R.T) for block in (covariance[:3, :3], covariance[3:, 3:])
        )
        return Region(
            scale * np.sqrt(np.maximum(t[::-1], 0)),
            scale * np.sqrt(np.maximum(r[::-1], 0)),
            axis_t[:, -1],
            axis_r[:, -1],
        )

    def covers(self, key: Key, truth: FloatArray) -> bool:
        """Whether a transform lies in the joint 95 % region of all six values."""
        error = log(invert(self.transforms[key]) @ truth)
        return bool(error @ np.linalg.solve(self.covariance_of(key), error) <= self.quantile(6, 1 - CONFIDENCE))

    def quantile(self, values: int, chance: float, least_freedom: float = 1.0) -> float:
        """Squared whitened error of so many values that is exceeded by chance.

        Args:
            values: how many errors are squared and added.
            chance: of an error beyond.
            least_freedom: how many values the noise counts as found from, where it was found from fewer.
        """
        if not self.noise_estimated:
            return float(chdtri(values, chance))
        freedom = sum(self.redundancy[1:]) if self.shakes else self.redundancy[0]
        return float(values * fdtri(values, max(freedom, least_freedom), 1 - chance))


def refine(problem: Problem, start: Values, iterations: int = 60) -> Solution:
    """Solve from a start by Levenberg-Marquardt.

    Raises:
        CalibrationError: the data do not determine every unknown.
    """
    system = System(problem, start)
    values, damping = system.start, 1e-4
    H, g, cost = system.normal_equations(values)
    for _ in range(iterations):
        step: FloatArray = -np.asarray(np.linalg.solve(H + damping * np.diag(np.diag(H)), g), dtype=np.float64)
        trial = {key: T @ exp(step[system.columns[key]]) for key, T in values.items()}
        H_new, g_new, cost_new = system.normal_equations(trial)
        if not cost_new <= cost:
            damping *= 10
            if damping > 1e8:
                break
            continue
        done = cost - cost_new < 1e-7 * (1 + cost)
        values, H, g, cost, damping = trial, H_new, g_new, cost_new, max(damping / 10, 1e-12)
        if done:
            break
    return system.solution(values, H)


def information(problem: Problem, values: Values) -> tuple[FloatArray, dict[Key, slice]]:
    """Return the information matrix at given values and where each unknown stands in it.

    At the true values its inverse is the Cramer-Rao bound of any unbiased estimate.
    """
    system = System(problem, values)
    return system.normal_equations(system.start)[0], system.columns


def residual(problem: Problem, sighting: Sighting, values: Values) -> FloatArray:
    """Return the corner errors of a sighting (M, 2) [px]; a shake that is not given counts as none."""
    T = np.eye(4)
    for factor in problem.chain(sighting):
        if factor.key is None or factor.key[0] != "shake" or factor.key in values:
            T = T @ factor.value(values)
    return problem.lenses[sighting.camera].project(apply(T, sighting.points)) - sighting.pixels


@dataclass
class System:
    """A problem laid out for solving: chains built once, every unknown with its columns.

    Attributes:
        start: value of every unknown of the chains, shakes included.
        columns: where each unknown stands in the normal equations.
    """

    problem: Problem
    start: Values
    columns: dict[Key, slice] = field(init=False)
    _chains: list[list[Factor]] = field(init=False)

    def __post_init__(self) -> None:
        self._chains = [self.problem.chain(sighting) for sighting in self.problem.sightings]
        keys = {factor.key for chain in self._chains for factor in chain if factor.key is not None}
        self.start = {key: np.eye(4) if key[0] == "shake" else self.start[key] for key in keys} | {
            key: T for key, T in self.start.items() if key in keys
        }
        self.columns = {key: slice(6 * i, 6 * i + 6) for i, key in enumerate(sorted(keys))}

    def linearised(self, index: int, values: Values) -> tuple[FloatArray, dict[Key, FloatArray]]:
        """Return whitened corner errors (2M,) of a sighting and their derivative by each right twist (2M, 6)."""
        sighting, chain = self.problem.sightings[index], self._chains[index]
        return linearised(self.problem, sighting, chain, values)

    def normal_equations(self, values: Values) -> tuple[FloatArray, FloatArray, float]:
        """Return information matrix, gradient and cost."""
        size = 6 * len(self.columns)
        H, g, cost = np.zeros((size, size)), np.zeros(size), 0.0
        for index in range(len(self._chains)):
            error, jacobians = self.linearised(index, values)
            weight, corner_cost = corner_weight(error)
            cost += corner_cost
            columns = np.concatenate([np.arange(s.start, s.stop) for s in map(self.columns.__getitem__, jacobians)])
            J = np.hstack(list(jacobians.values()))
            weighted = J.T * weight
            g[columns] += weighted @ error
            H[np.ix_(columns, columns)] += weighted @ J
        return H, g, cost + self._add_shakes(values, H, g)

    def _add_shakes(self, values: Values, H: FloatArray, g: FloatArray) -> float:
        """Add what is known of the shakes beforehand; return their cost."""
        cost = 0.0
        spread = self.problem.noise.shake_spread()
        for key, column in self.columns.items():
            if key[0] == "shake":
                twist = small_twist(values[key])
                weight, shake_cost = _huber(np.asarray(np.linalg.norm(twist / spread)), HUBER_SHAKE)
                H[column, column] += np.diag(weight / spread**2)
                g[column] += weight * twist / spread**2
                cost += float(shake_cost)
        return cost

    def solution(self, values: Values, H: FloatArray) -> Solution:
        """Return the estimates at the minimum with the covariance that the information matrix gives."""
        full = _inverse(H)
        lasting = sorted(key for key in values if key[0] != "shake")
        shakes = {key: T for key, T in values.items() if key[0] == "shake"}
        errors = [residual(self.problem, s, values) for s in self.problem.sightings]
        noise = self.problem.noise
        pixels = zip(errors, self.problem.sightings, strict=True)
        chi_square = sum(float((e**2).sum()) / noise.pixel_of(s.camera) ** 2 for e, s in pixels)
        count = sum(e.size for e in errors)
        if shakes:
            chi_square += sum(float(((small_twist(T) / noise.shake_spread()) ** 2).sum()) for T in shakes.values())
        picked = np.concatenate([np.arange(6 * len(values))[self.columns[key]] for key in lasting])
        return Solution(
            transforms={key: values[key] for key in lasting},
            shakes=shakes,
            covariance=full[np.ix_(picked, picked)],
            columns={key: slice(6 * i, 6 * i + 6) for i, key in enumerate(lasting)},
            rms_px=float(np.sqrt(sum((e**2).sum() for e in errors) / count)),
            chi_square=chi_square,
            freedom=count - 6 * len(lasting),
            noise=noise,
            redundancy=self._redundancy(full, count, list(shakes)),
        )

    def _redundancy(self, covariance: FloatArray, corners: int, shakes: list[Key]) -> tuple[float, float, float]:
        """Degrees of freedom left to corners, shake translations and rotations (Foerstner 1979)."""
        if not shakes:
            return float(corners - len(covariance)), 0.0, 0.0
        variances = np.diag(covariance) / np.tile(self.problem.noise.shake_spread() ** 2, len(self.columns))
        used = np.sum([variances[self.columns[key]] for key in shakes], axis=0)
        moved, turned = float(used[:3].sum()), float(used[3:].sum())
        n = 3.0 * len(shakes)
        return corners - (len(covariance) - moved - turned), n - moved, n - turned


def linearised(
    problem: Problem, sighting: Sighting, chain: list[Factor], values: Values
) -> tuple[FloatArray, dict[Key, FloatArray]]:
    """Return whitened corner errors (2M,) and their derivative by each unknown's right twist (2M, 6)."""
    transforms = [factor.value(values) for factor in chain]
    right = [sighting.points]
    for T in reversed(transforms):
        right.append(apply(T, right[-1]))
    right.reverse()
    lens = problem.lenses[sighting.camera]
    pixel_px = problem.noise.pixel_of(sighting.camera)
    D = lens.derivative(right[0]) / pixel_px
    error = (lens.project(right[0]) - sighting.pixels) / pixel_px
    jacobians: dict[Key, FloatArray] = {}
    left = np.eye(3)
    for i, (factor, T) in enumerate(zip(chain, transforms, strict=True)):
        # T exp(twist) moves the points to its right; an inverse moves those to its left, the other way.
        at, R, sign = (right[i], left, -1.0) if factor.inverted else (right[i + 1], left @ T[:3, :3], 1.0)
        left = left @ T[:3, :3]
        if factor.key is None:
            continue
        by_translation = sign * D @ R  # (M, 2, 3)
        J = np.concatenate([by_translation, -by_translation @ skew(at)], axis=2).reshape(-1, 6)
        jacobians[factor.key] = jacobians.get(factor.key, 0.0) + J
    return error.reshape(-1), jacobians


def corner_weight(error: FloatArray) -> tuple[FloatArray, float]:
    """Return the weights (2M,) of whitened corner errors (2M,) and their cost."""
    weight, cost = _huber(np.linalg.norm(error.reshape(-1, 2), axis=1), HUBER_CORNER)
    return np.repeat(weight, 2), float(cost.sum())


def small_twist(T: FloatArray) -> FloatArray:
    """Twist of a transform near the identity, to first order."""
    R = T[:3, :3]
    return np.concatenate([T[:3, 3], 0.5 * np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])])


def _huber(norm: FloatArray, limit: float) -> tuple[FloatArray, FloatArray]:
    """Weight and cost of whitened errors of that length."""
    weight = np.where(norm <= limit, 1.0, limit / np.maximum(norm, 1e-12))
    return weight, np.where(norm <= limit, norm**2, 2 * limit * norm - limit**2)


def _inverse(H: FloatArray) -> FloatArray:
    scale = 1 / np.sqrt(np.maximum(np.diag(H), 1e-300))
    scaled = H * scale[:, None] * scale
    if not np.isfinite(scaled).all() or np.linalg.cond(scaled) > LARGEST_CONDITION:
        raise CalibrationError(
            "hand-eye: the poses do not determine every unknown; turn the tool about two different axes by 30 degrees "
            "or more, and let every camera see a board that others see too"
        )
    out: FloatArray = np.asarray(np.linalg.inv(scaled), dtype=np.float64) * scale[:, None] * scale
    return out
