# SPDX-License-Identifier: Apache-2.0
"""Which pose to take next: the one that makes the worst known camera best known.

A candidate adds J^T (I + J_s S J_s^T)^-1 J to the information of the lasting unknowns, with J_s the derivative by
its arms' shakes and S their covariance. What a candidate would show is predicted from the solution so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Problem, Sighting
from wam_ros.core.handeye.solve import Solution, linearised
from wam_ros.core.transforms import apply
from wam_ros.core.types import FloatArray

MARGIN_PX = 5.0
LEAST_CORNERS = 8
NEW_POSE = -1


@dataclass(frozen=True)
class Proposal:
    """A pose worth taking.

    Attributes:
        index: of the candidate.
        uncertainty: of the worst camera after it, as a share of what is demanded; below 1 is enough.
        before: the same without it.
    """

    index: int
    uncertainty: float
    before: float


def propose(
    problem: Problem,
    solution: Solution,
    candidates: Sequence[Mapping[str, FloatArray]],
    sizes: Mapping[str, tuple[int, int]],
    demands: Demands | None = None,
) -> Proposal | None:
    """Return the best of the candidates; None if no board would be in view of any camera in any of them.

    Args:
        problem: what is known; its sightings give the boards' corners.
        solution: estimates so far.
        candidates: arm to T_base_tool (4, 4) that the arms can reach.
        sizes: camera to (width, height) [px].
        demands: largest errors, by which cameras are compared.
    """
    demands = demands or Demands()
    problem = replace(problem, noise=solution.noise)
    current: FloatArray = np.asarray(np.linalg.inv(solution.covariance), dtype=np.float64)
    before = _worst(solution, current, demands)
    outcomes: dict[int, float] = {}
    for index, tools in enumerate(candidates):
        gain = _gain(problem, solution, tools, sizes)
        if gain is not None:
            outcomes[index] = _worst(solution, current + gain, demands)
    if not outcomes:
        return None
    best = min(outcomes, key=lambda i: outcomes[i])
    return Proposal(best, outcomes[best], before)


def _worst(solution: Solution, information: FloatArray, demands: Demands) -> float:
    """Largest 95 % half axis of any camera, as a share of what is demanded."""
    after = replace(solution, covariance=np.asarray(np.linalg.inv(information), dtype=np.float64))
    regions = [after.region(key) for key in solution.transforms if key[0] == "camera"]
    return max(float(max(r.radii_m[0] / demands.error_m, r.radii_rad[0] / demands.error_rad)) for r in regions)


def _gain(
    problem: Problem, solution: Solution, tools: Mapping[str, FloatArray], sizes: Mapping[str, tuple[int, int]]
) -> FloatArray | None:
    """Information that a pose would add; None if it shows nothing."""
    posed = replace(problem, poses={**problem.poses, **{(arm, NEW_POSE): T for arm, T in tools.items()}})
    gain = np.zeros_like(solution.covariance)
    seen = False
    for sighting in _distinct(problem):
        if not problem.arms_of(sighting) or not problem.arms_of(sighting) <= set(tools):
            continue  # nothing moves, or an arm that is not in the candidate
        added = _information(posed, replace(sighting, pose=NEW_POSE), solution, sizes[sighting.camera])
        if added is not None:
            gain += added
            seen = True
    return gain if seen else None


def _distinct(problem: Problem) -> list[Sighting]:
    """One sighting of each pair of camera and board, that with most corners."""
    best: dict[tuple[str, str], Sighting] = {}
    for sighting in problem.sightings:
        key = (sighting.camera, sighting.board)
        if key not in best or len(sighting.points) > len(best[key].points):
            best[key] = sighting
    return list(best.values())


def _information(problem: Problem, sighting: Sighting, solution: Solution, size: tuple[int, int]) -> FloatArray | None:
    chain = problem.chain(sighting)
    values = {f.key: np.eye(4) for f in chain if f.key is not None} | solution.transforms
    T = np.eye(4)
    for factor in chain:
        T = T @ factor.value(values)
    in_view = _in_view(problem, sighting, T, size)
    if in_view.sum() < LEAST_CORNERS:
        return None
    sighting = replace(sighting, points=sighting.points[in_view], pixels=sighting.pixels[in_view])
    jacobians = linearised(problem, sighting, chain, values)[1]
    weight = np.eye(2 * int(in_view.sum()))
    shake = np.diag(problem.noise.shake_spread() ** 2)
    for key, J in jacobians.items():
        if key[0] == "shake":
            weight = weight + J @ shake @ J.T
    lasting = [key for key in jacobians if key[0] != "shake"]
    columns = np.concatenate([np.arange(s.start, s.stop) for s in map(solution.columns.__getitem__, lasting)])
    stacked = np.hstack([jacobians[key] for key in lasting])
    out = np.zeros_like(solution.covariance)
    out[np.ix_(columns, columns)] = stacked.T @ np.linalg.solve(weight, stacked)
    return out


def _in_view(problem: Problem, sighting: Sighting, T_cam_board: FloatArray, size: tuple[int, int]) -> FloatArray:
    """(M,) whether a corner falls into the picture, the board seen from the side it was seen from before."""
    points = apply(T_cam_board, sighting.points)
    ahead = points[:, 2] > 0.02
    same_side = _side(T_cam_board) == _side(sighting.T_cam_board)
    pixels = problem.lenses[sighting.camera].project(np.where(ahead[:, None], points, [0.0, 0.0, 1.0]))
    inside = (pixels > MARGIN_PX).all(axis=1) & (pixels < np.array(size) - MARGIN_PX).all(axis=1)
    return np.asarray(ahead & inside & same_side)


def _side(T_cam_board: FloatArray) -> bool:
    """Whether the camera is on the side of the board's z axis."""
    return bool((T_cam_board[:3, :3].T @ T_cam_board[:3, 3])[2] < 0)
