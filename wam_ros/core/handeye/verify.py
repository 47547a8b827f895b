# SPDX-License-Identifier: Apache-2.0
"""Poses the solver has not seen: where the board is said to be, where it is seen, and whether the difference is honest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Factor, Key, Problem, Sighting, Values
from wam_ros.core.handeye.solve import Solution, linearised
from wam_ros.core.types import FloatArray

FALSE_ALARM = 1e-4
"""Chance that an honest calibration fails its verification by the size of its errors."""
LEAST_FREEDOM = 12.0
"""However little the poses tell of the noise, errors of four times what is expected (RMS) are not believed."""


@dataclass(frozen=True)
class Verification:
    """What poses show that were held out.

    Attributes:
        sightings: how many there were.
        rms_m, rms_rad: between the board predicted from the arm's encoders and the board seen.
        expected_m, expected_rad: the same as the calibration itself predicts them.
        chi_square: squared errors in units of their predicted covariance, per value; about 1.
        limit: largest ``chi_square`` that is believed.
    """

    sightings: int
    rms_m: float
    rms_rad: float
    expected_m: float
    expected_rad: float
    chi_square: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the errors are no larger than predicted."""
        return self.sightings > 0 and self.chi_square <= self.limit


def verify(problem: Problem, solution: Solution) -> Verification:
    """Compare held-out sightings with what the solution predicts.

    Args:
        problem: with the held-out sightings only; its noise does not matter.
        solution: found from others.
    """
    problem = replace(problem, noise=solution.noise)
    errors, covariances = [], []
    for sighting in problem.sightings:
        error, covariance = _board_error(problem, sighting, solution)
        errors.append(error)
        covariances.append(covariance)
    if not errors:
        raise CalibrationError("hand-eye: no sighting was held out; capture some more poses for the verification")
    found, predicted = np.stack(errors), np.stack(covariances)
    variances = np.diagonal(predicted, axis1=1, axis2=2)
    distances = [float(e @ np.linalg.solve(C, e)) for e, C in zip(found, predicted, strict=True)]
    values = 6 * len(found)
    # The solution's error is common to all poses, so that they count as fewer values than they are.
    independent = 6 if len(found) < 4 else 12
    return Verification(
        sightings=len(found),
        rms_m=float(np.sqrt((found[:, :3] ** 2).sum(axis=1).mean())),
        rms_rad=float(np.sqrt((found[:, 3:] ** 2).sum(axis=1).mean())),
        expected_m=float(np.sqrt(variances[:, :3].sum(axis=1).mean())),
        expected_rad=float(np.sqrt(variances[:, 3:].sum(axis=1).mean())),
        chi_square=float(np.sum(distances)) / values,
        limit=solution.quantile(independent, FALSE_ALARM, LEAST_FREEDOM) / independent,
    )


def require_verified(verification: Verification, demands: Demands) -> None:
    """Refuse a calibration that held-out poses contradict.

    Raises:
        CalibrationError: with found and expected errors.
    """
    if not verification.passed:
        raise CalibrationError(
            f"hand-eye: {verification.sightings} held-out sightings disagree: expected {verification.expected_m * 1e3:.2f} mm "
            f"and {np.degrees(verification.expected_rad):.3f} deg, got {verification.rms_m * 1e3:.2f} mm and "
            f"{np.degrees(verification.rms_rad):.3f} deg; nothing was saved: check that nothing moved, and capture again"
        )
    if verification.rms_m > 3 * demands.error_m or verification.rms_rad > 3 * demands.error_rad:
        raise CalibrationError(
            f"hand-eye: held-out sightings lie {verification.rms_m * 1e3:.1f} mm and {np.degrees(verification.rms_rad):.2f} deg "
            f"off; the arm repeats too badly for a calibration of {demands.error_m * 1e3:.0f} mm"
        )


def _board_error(problem: Problem, sighting: Sighting, solution: Solution) -> tuple[FloatArray, FloatArray]:
    """Twist from the predicted board to the one seen, in the board's frame, and its covariance.

    The corners' errors are projected on the six motions of the board; so are those of transforms and shakes.
    """
    chain = problem.chain(sighting)
    keys = {factor.key for factor in chain if factor.key is not None}
    values = {key: np.eye(4) if key[0] == "shake" else solution.transforms[key] for key in keys}
    error, jacobians = linearised(problem, sighting, chain, values)
    by_board = _motions_of_the_board(problem, sighting, _product(chain, values))
    inverse = np.linalg.pinv(by_board)
    covariance = np.linalg.inv(by_board.T @ by_board)
    shake = np.diag(problem.noise.shake_spread() ** 2)
    lasting = [key for key in jacobians if key[0] != "shake"]
    J = np.hstack([inverse @ jacobians[key] for key in lasting])
    columns = np.concatenate([np.arange(s.start, s.stop) for s in map(solution.columns.__getitem__, lasting)])
    covariance = covariance + J @ solution.covariance[np.ix_(columns, columns)] @ J.T
    for key in jacobians:
        if key[0] == "shake":
            P = inverse @ jacobians[key]
            covariance = covariance + P @ shake @ P.T
    return -inverse @ error, covariance


def _product(chain: list[Factor], values: Values) -> FloatArray:
    T = np.eye(4)
    for factor in chain:
        T = T @ factor.value(values)
    return T


def _motions_of_the_board(problem: Problem, sighting: Sighting, T_cam_board: FloatArray) -> FloatArray:
    """(2M, 6) derivative of whitened corners by the board's right twist."""
    key: Key = ("board", "alone")
    return linearised(problem, sighting, [Factor(key)], {key: T_cam_board})[1][key]
