# SPDX-License-Identifier: Apache-2.0
"""Hand-eye calibration against the statistical limit and the best closed form, on a simulated wrist camera.

A camera like a D405 (640 x 480, 391 px) looks from 20 to 32 cm at a board of 48 corners, each seen with 0.3 px of
noise, from 15 poses (20 with the two better robots). The robot is off by 0.5 mm and 0.046 degrees, by a fifth of it,
or not at all. Every solver gets the same data; the limit is the Cramer-Rao bound at the truth.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from time import perf_counter

import numpy as np

from wam_ros.bench.staged_poses import bad_sets, three_cameras, wrist
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.calibrate import Calibration, calibrate
from wam_ros.core.handeye.closed import SOLVERS, relative_motions
from wam_ros.core.handeye.problem import Noise, Problem, Values
from wam_ros.core.handeye.solve import information
from wam_ros.core.handeye.start import tracks_of
from wam_ros.core.transforms import invert, log
from wam_ros.core.types import FloatArray

KEY = ("camera", "wrist")
PIXEL_PX = 0.3
#: Robot noise [mm] to its noise and number of poses.
LEVELS: dict[str, tuple[Noise, int]] = {
    "0.5": (Noise(PIXEL_PX, 0.0005, 0.0008), 15),
    "0.1": (Noise(PIXEL_PX, 0.0001, 0.00016), 20),
    "0": (Noise(PIXEL_PX, 0.0, 0.0), 20),
}
TRIALS, DEGENERATE_TRIALS, TIMED = 500, 50, 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"sets of poses per noise level (default: {TRIALS})")
    parser.add_argument("--seed", type=int, default=0, help="of the first set (default: 0)")


def run(options: Namespace | None = None) -> dict[str, float | str]:
    """Return the keys of the bench ``handeye``; N in ``key__N`` is the robot's noise in mm."""
    trials = options.trials if options else TRIALS
    seed = options.seed if options else 0
    figures: dict[str, float | str] = {"trials": float(trials)}
    refused = 0.0
    for name, (noise, poses) in LEVELS.items():
        of_level = level(noise, poses, trials, seed)
        refused += of_level.pop("refused")
        figures |= {f"{key}__{name}": value for key, value in of_level.items()}
    figures["good_refused"] = refused / (trials * len(LEVELS))
    figures |= refusals(max(1, trials * DEGENERATE_TRIALS // TRIALS), seed)
    figures["solve_s_3x25"] = min(solve_time_s(seed + i) for i in range(TIMED))
    return figures


def level(noise: Noise, poses: int, trials: int, seed: int) -> dict[str, float]:
    """Return the figures of one noise level."""
    errors, estimated, bounds, covered, covered_estimated = [], [], [], [], []
    closed: dict[str, list[FloatArray]] = {name: [] for name in SOLVERS}
    for trial in range(trials):
        problem, truth = wrist(np.random.default_rng(seed + trial), noise, poses)
        try:
            known, guessed = calibrate(problem, noise_known=True), calibrate(problem)
        except CalibrationError:
            continue
        errors.append(_error(known, truth))
        estimated.append(_error(guessed, truth))
        covered.append(known.solution.covers(KEY, truth[KEY]))
        covered_estimated.append(guessed.solution.covers(KEY, truth[KEY]))
        bounds.append(bound(problem, truth))
        track = tracks_of(problem)[0]
        for name, solver in SOLVERS.items():
            closed[name].append(log(invert(truth[KEY]) @ solver(*relative_motions(track.robot, track.seen))))
    mm, deg = _rms(errors)
    bound_mm, bound_deg = _rms(bounds)
    best_mm, best_deg = (min(_rms(found)[i] for found in closed.values()) for i in (0, 1))
    return {
        "mm_rms": mm,
        "deg_rms": deg,
        "bound_mm": bound_mm,
        "bound_deg": bound_deg,
        "best_closed_form_mm": best_mm,
        "best_closed_form_deg": best_deg,
        "mm_to_bound": mm / bound_mm,
        "deg_to_bound": deg / bound_deg,
        "mm_to_closed_form": mm / best_mm,
        "deg_to_closed_form": deg / best_deg,
        "coverage_95": float(np.mean(covered)),
        "coverage_95_estimated_noise": float(np.mean(covered_estimated)),
        "mm_to_bound_estimated_noise": _rms(estimated)[0] / bound_mm,
        "refused": float(trials - len(errors)),
    }


def bound(problem: Problem, truth: Values) -> FloatArray:
    """(6,) Cramer-Rao bound of each value's standard deviation."""
    matrix, columns = information(problem, truth)
    return np.sqrt(np.diag(np.linalg.inv(matrix))[columns[KEY]])


def refusals(trials: int, seed: int) -> dict[str, float]:
    """Return the share of bad sets that were refused, by what is bad, and of all."""
    caught: dict[str, list[bool]] = {}
    for trial in range(trials):
        for name, problem in bad_sets(np.random.default_rng(seed + trial)).items():
            caught.setdefault(name, []).append(_is_refused(problem))
    figures = {f"refused__{name}": float(np.mean(found)) for name, found in caught.items()}
    return {**figures, "degenerate_refused": float(np.mean([f for found in caught.values() for f in found]))}


def solve_time_s(seed: int) -> float:
    """Return the time of one calibration of two wrists and a head with 25 poses, noise estimated."""
    problem, truth = three_cameras(np.random.default_rng(seed), LEVELS["0.5"][0], 25)
    begin_s = perf_counter()
    found = calibrate(problem)
    spent_s = perf_counter() - begin_s
    for key, T in truth.items():
        if key[0] == "camera" and np.linalg.norm(log(invert(T) @ found.solution.transforms[key])[:3]) > 0.01:
            raise CalibrationError(
                f"bench handeye: {' '.join(key)} is wrong by more than 10 mm; its time means nothing"
            )
    return spent_s


def _is_refused(problem: Problem) -> bool:
    try:
        calibrate(problem)
    except CalibrationError:
        return True
    return False


def _error(found: Calibration, truth: Values) -> FloatArray:
    return log(invert(truth[KEY]) @ found.solution.transforms[KEY])


def _rms(errors: list[FloatArray]) -> tuple[float, float]:
    """Root mean square length of translations [mm] and rotations [deg]."""
    squared = np.stack(errors) ** 2
    return (
        float(np.sqrt(squared[:, :3].sum(axis=1).mean())) * 1e3,
        float(np.degrees(np.sqrt(squared[:, 3:].sum(axis=1).mean()))),
    )
