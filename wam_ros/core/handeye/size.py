# SPDX-License-Identifier: Apache-2.0
"""Has the board the stated size? The robot's metres are the scale: it tells as well as the distances differ from which the board was seen."""

from __future__ import annotations

import numpy as np

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Problem, Values
from wam_ros.core.handeye.solve import Solution, System, corner_weight
from wam_ros.core.transforms import apply

TOLERANCE = 0.01
"""Of the size; a good print and a good focal length are nearer than that."""
SIGMAS = 4.0


def size_factor(problem: Problem, solution: Solution) -> tuple[float, float]:
    """Return how many times larger than stated the boards are, and the standard deviation of that.

    One more unknown, the same for all boards, in one Gauss-Newton step from the solution, all others eliminated.
    """
    values: Values = {**solution.transforms, **solution.shakes}
    system = System(problem, values)
    H, g, _ = system.normal_equations(values)
    shared, own, slope = np.zeros(len(H)), 0.0, 0.0
    for index, sighting in enumerate(problem.sightings):
        error, jacobians = system.linearised(index, values)
        T = np.eye(4)
        for factor in problem.chain(sighting):
            T = T @ factor.value(values)
        D = problem.lenses[sighting.camera].derivative(apply(T, sighting.points)) / problem.noise.pixel_of(
            sighting.camera
        )
        by_size = np.einsum("mij,mj->mi", D, sighting.points @ T[:3, :3].T).reshape(-1)
        weighted = corner_weight(error)[0] * by_size
        own += float(weighted @ by_size)
        slope += float(weighted @ error)
        for key, J in jacobians.items():
            shared[system.columns[key]] += J.T @ weighted
    others = np.linalg.solve(H, np.stack([shared, g], axis=1))
    left = own - float(shared @ others[:, 0])
    return 1.0 - (slope - float(shared @ others[:, 1])) / left, float(1 / np.sqrt(left))


def require_size(problem: Problem, solution: Solution) -> None:
    """Refuse boards of another size than stated.

    Raises:
        CalibrationError: with the factor found.
    """
    if not any(problem.arms_of(sighting) for sighting in problem.sightings):
        return
    factor, sigma = size_factor(problem, solution)
    if abs(factor - 1) > max(TOLERANCE, SIGMAS * sigma):
        raise CalibrationError(f"hand-eye: {size_text(factor)}")


def size_text(factor: float) -> str:
    """Return the sentence for a factor of the board's size."""
    if factor > 500 or factor < 0.002:
        return "robot and board do not have the same unit, one is in millimetres; give metres"
    return (
        f"the board is {factor:.3g} times as large as stated, or the focal length is wrong by that factor; "
        f"measure a square with a ruler (printers like to fit to the page) and check the camera's calibration"
    )
