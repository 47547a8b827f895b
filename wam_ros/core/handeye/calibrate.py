# SPDX-License-Identifier: Apache-2.0
"""From sightings to a calibration that can be believed, or to a sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.consistency import require_consistency, require_metres
from wam_ros.core.handeye.excitation import Demands, require_excitation, require_precision
from wam_ros.core.handeye.outliers import Moved, estimated_noise, moved_boards, outliers
from wam_ros.core.handeye.problem import Key, Noise, Problem, Values
from wam_ros.core.handeye.size import require_size
from wam_ros.core.handeye.solve import Solution, refine
from wam_ros.core.handeye.start import Track, start_values, tracks_of

ROUNDS = 6
"""Of refining, leaving out and estimating the noise."""
SETTLED = 0.1
"""Relative change of the noise below which it is not estimated again."""


@dataclass(frozen=True)
class Calibration:
    """A solution that reached what was demanded.

    Attributes:
        solution: the transforms and their covariance; ``solution.noise`` is stated or estimated.
        rejected: indices of sightings that were left out.
        moved: boards that stood elsewhere in some of those.
    """

    solution: Solution
    rejected: tuple[int, ...]
    moved: tuple[Moved, ...]


def calibrate(problem: Problem, demands: Demands | None = None, *, noise_known: bool = False) -> Calibration:
    """Return the calibration of a problem.

    Args:
        problem: what is known; its noise is a first guess unless ``noise_known``.
        demands: what must be reached.
        noise_known: keep the problem's noise; else it is estimated from the residuals.

    Raises:
        CalibrationError: the data are inconsistent, say too little, or leave too much uncertain; says what and
            what to do.
    """
    demands = demands or Demands()
    if not problem.sightings:
        raise CalibrationError("hand-eye: no picture shows a board; capture some")
    require_metres(problem)
    tracks = tracks_of(problem)
    for track in _leading(tracks):
        require_excitation(track, demands)
    agreements = require_consistency(tracks)
    rejected = {int(i) for track, found in agreements for i in track.indices[~found.agrees]}
    solution = _settled(problem, start_values(problem, agreements), rejected, noise_known)
    _require_every_camera(problem, solution)
    share = len(rejected) / len(problem.sightings)
    moved = moved_boards(problem, solution, rejected)
    if share > demands.rejected:
        why = "; ".join(map(str, moved)) or "they agree neither with the others nor with each other"
        raise CalibrationError(
            f"hand-eye: {share:.0%} of the sightings do not fit the others, at most {demands.rejected:.0%} may be left "
            f"out ({why}); capture again"
        )
    kept = problem.only(_kept(problem, rejected))
    for track in _leading(tracks_of(kept)):
        require_excitation(track, demands)
    require_size(replace(kept, noise=solution.noise), solution)
    require_precision(solution, demands)
    return Calibration(solution, tuple(sorted(rejected)), tuple(moved))


def _require_every_camera(problem: Problem, solution: Solution) -> None:
    for camera in sorted({sighting.camera for sighting in problem.sightings}):
        if ("camera", camera) not in solution.transforms:
            raise CalibrationError(
                f"hand-eye: no picture of camera {camera} fits the others; check its intrinsics, and that it stands still"
            )


def _leading(tracks: Iterable[Track]) -> list[Track]:
    """The longest track of everything that an arm carries."""
    first: dict[Key, Track] = {}
    for track in tracks:
        first.setdefault(track.moving, track)
    return list(first.values())


def _kept(problem: Problem, rejected: set[int]) -> list[int]:
    return [i for i in range(len(problem.sightings)) if i not in rejected]


def _settled(problem: Problem, values: Values, rejected: set[int], noise_known: bool) -> Solution:
    """Refine until nobody is left out any more and the noise stays; adds to ``rejected``."""
    for _ in range(ROUNDS):
        kept = _kept(problem, rejected)
        chosen = problem.only(kept)
        solution = refine(chosen, values)
        values = {**solution.transforms, **solution.shakes}
        wrong = {kept[i] for i in outliers(chosen, solution)}
        rejected |= wrong
        noise = problem.noise if noise_known else estimated_noise(chosen, solution)
        if not wrong and _near(noise, problem.noise):
            break
        problem = replace(problem, noise=noise)
    return replace(solution, noise_estimated=not noise_known)


def _near(a: Noise, b: Noise) -> bool:
    pairs = [(a.robot_m, b.robot_m), (a.robot_rad, b.robot_rad)]
    pairs += [(a.pixel_of(camera), b.pixel_of(camera)) for camera in {**a.cameras, **b.cameras, "": 0}]
    return all(abs(x - y) <= SETTLED * y for x, y in pairs)
