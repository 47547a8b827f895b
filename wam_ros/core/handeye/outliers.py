# SPDX-License-Identifier: Apache-2.0
"""Who disagrees, how noisy the rest is, and whether a board was moved.

A sighting is measured against its peers, not against the stated noise: the median sighting sets the scale, so that
a robot worse than stated is found to be noisy, and not to be wrong everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from wam_ros.core.handeye.problem import Noise, Problem, Sighting, Values
from wam_ros.core.handeye.solve import Solution, residual, small_twist
from wam_ros.core.handeye.start import angles, most_agreed, solved_for
from wam_ros.core.types import FloatArray

RARE = 1e-6
"""Chance of an honest shake to be taken for an outlier."""
MEDIAN_SHAKE = float(chdtri(6, 0.5))
BLURRED, HONEST_PX = 9.0, 0.3
"""A sighting is left out whose mean square corner error is so many times its camera's median, unless it is honest."""
LEAST_PIXEL_PX, LEAST_ROBOT_M, LEAST_ROBOT_RAD = 0.02, 5e-6, 5e-6
MOVED_TOGETHER = 0.75


@dataclass(frozen=True)
class Moved:
    """A board that stood elsewhere in some poses.

    Attributes:
        board: its name; ``poses`` those in which it did.
        shift_m, turn_rad: how far.
    """

    board: str
    poses: tuple[int, ...]
    shift_m: float
    turn_rad: float

    def __str__(self) -> str:
        span = f"{self.poses[0]} to {self.poses[-1]}" if len(self.poses) > 1 else str(self.poses[0])
        return (
            f"board {self.board} stood {self.shift_m * 1e3:.1f} mm and {np.degrees(self.turn_rad):.2f} deg elsewhere "
            f"in {len(self.poses)} poses ({span}); they were left out"
        )


def outliers(problem: Problem, solution: Solution) -> set[int]:
    """Return the indices of sightings that do not belong to the others."""
    values = {**solution.transforms, **solution.shakes}
    wrong = _blurred(problem, values)
    if not solution.shakes:
        return wrong
    spread = solution.noise.shake_spread()
    shaken = {key: float(((small_twist(T) / spread) ** 2).sum()) for key, T in solution.shakes.items()}
    limit = float(chdtri(6, RARE)) * max(float(np.median(list(shaken.values()))) / MEDIAN_SHAKE, 1e-6)
    for index, sighting in enumerate(problem.sightings):
        if any(shaken[("shake", arm, str(sighting.pose))] > limit for arm in problem.arms_of(sighting)):
            wrong.add(index)
    return wrong


def _blurred(problem: Problem, values: Values) -> set[int]:
    """Sightings whose corners lie far worse than is usual for their camera."""
    wrong: set[int] = set()
    corners = np.array([(residual(problem, s, values) ** 2).mean() for s in problem.sightings])
    for camera in problem.cameras:
        own = [i for i, s in enumerate(problem.sightings) if s.camera == camera]
        wrong |= {i for i in own if corners[i] > max(BLURRED * np.median(corners[own]), HONEST_PX**2)}
    return wrong


def estimated_noise(problem: Problem, solution: Solution) -> Noise:
    """Return the noise that the residuals show (variance components, one step of the iteration)."""
    values = {**solution.transforms, **solution.shakes}
    of_corners, of_moves, of_turns = solution.redundancy
    used = of_corners / sum(s.pixels.size for s in problem.sightings)  # unknowns are shared out by corners
    cameras = {}
    for camera in {s.camera for s in problem.sightings}:
        errors = np.concatenate([residual(problem, s, values) for s in problem.sightings if s.camera == camera])
        cameras[camera] = max(float(np.sqrt((errors**2).mean() / used)), LEAST_PIXEL_PX)
    pixel_px = max(cameras.values())
    if not solution.shakes:
        return Noise(pixel_px, 0.0, 0.0, cameras)
    squared = np.sum([small_twist(T) ** 2 for T in solution.shakes.values()], axis=0)
    robot_m = np.sqrt(squared[:3].sum() / max(of_moves, 1.0))
    robot_rad = np.sqrt(squared[3:].sum() / max(of_turns, 1.0))
    return Noise(pixel_px, max(float(robot_m), LEAST_ROBOT_M), max(float(robot_rad), LEAST_ROBOT_RAD), cameras)


def moved_boards(problem: Problem, solution: Solution, rejected: set[int]) -> list[Moved]:
    """Return the boards whose rejected sightings agree on another place."""
    found = []
    for board in problem.boards:
        key = ("board", board)
        suspects = [s for s in (problem.sightings[i] for i in sorted(rejected)) if s.board == board]
        suspects = [s for s in suspects if ("camera", s.camera) in solution.transforms]
        if len(suspects) < 3 or key not in solution.transforms:
            continue
        elsewhere, agrees = most_agreed(_places(problem, solution, suspects))
        if agrees.mean() >= MOVED_TOGETHER:
            stated = solution.transforms[key]
            poses = tuple(sorted({s.pose for s, agree in zip(suspects, agrees, strict=True) if agree}))
            shift_m = float(np.linalg.norm(elsewhere[:3, 3] - stated[:3, 3]))
            found.append(Moved(board, poses, shift_m, float(angles(elsewhere, stated))))
    return found


def _places(problem: Problem, solution: Solution, sightings: list[Sighting]) -> FloatArray:
    return np.stack([solved_for(problem, s, solution.transforms, ("board", s.board)) for s in sightings])
