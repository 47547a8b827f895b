# SPDX-License-Identifier: Apache-2.0
"""How far a calibration has come while it is taken: what each camera has seen, how sure it is, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from wam_ros.calibration.captures import Captures
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Sighting
from wam_ros.core.handeye.session import Result
from wam_ros.core.handeye.solve import Solution

CAMERA_FIGURES = ("poses", "corners", "coverage", "error_mm", "error_deg")
CELLS = 4
"""Of the picture, along each side, of which the coverage is counted."""


@dataclass(frozen=True)
class CameraSurvey:
    """One camera.

    Attributes:
        poses, corners: seen by it, those held out included.
        coverage: share of its picture in which corners have been.
        error_mm, error_deg: longest half axes of the 95 % regions so far; infinite while nothing can be said.
    """

    poses: int = 0
    corners: int = 0
    coverage: float = 0.0
    error_mm: float = float("inf")
    error_deg: float = float("inf")


@dataclass(frozen=True)
class Survey:
    """All cameras of a robot.

    Attributes:
        lacks: what is missing, which turn or move, in one sentence; empty when it is enough to be solved.
    """

    poses: int = 0
    cameras: dict[str, CameraSurvey] = field(default_factory=dict)
    lacks: str = "no picture shows the board yet"

    @property
    def worst_mm(self) -> float:
        """Half axis of the least certain camera."""
        return max((camera.error_mm for camera in self.cameras.values()), default=float("inf"))


def survey(captures: Captures, demands: Demands | None = None) -> Survey:
    """Return how far the captures have come; solves what there is, which takes a moment."""
    session = captures.session
    solution, lacks = session.assess(demands or Demands())
    lacks = lacks or _unseen(captures)
    seen = [*session.problem().sightings, *session.held_out().sightings]
    cameras = {
        name: _camera(name, captures, [s for s in seen if s.camera == name], solution) for name in captures.optics
    }
    return Survey(session.poses, cameras, lacks)


def camera_lines(figures: Mapping[str, str], cameras: Sequence[str]) -> list[str]:
    """Say the figures of diagnostics of those cameras that have seen the board."""
    lines = []
    for name in cameras:
        poses, corners, coverage, mm, deg = (float(figures.get(f"{what}_{name}", "0")) for what in CAMERA_FIGURES)
        if poses:
            seen = f"{name}: {poses:.0f} poses, {corners:.0f} corners in {coverage:.0%} of the picture"
            lines.append(f"{seen}, within {mm:.1f} mm and {deg:.2f} deg" if np.isfinite(mm) else seen)
    return lines


def _unseen(captures: Captures) -> str:
    """Name the cameras that have not seen the board, or were not held out once."""
    solved = {s.camera for s in captures.session.problem().sightings}
    verified = {s.camera for s in captures.session.held_out().sightings}
    for what, names in (("has not seen the board yet", solved), ("needs one more pose, to be verified with", verified)):
        lost = [name for name in captures.optics if name not in names]
        if lost:
            return f"{', '.join(lost)}: {what}"
    return ""


def _camera(name: str, captures: Captures, seen: list[Sighting], solution: Solution | None) -> CameraSurvey:
    if not seen:
        return CameraSurvey()
    optics, pixels = captures.optics[name], np.concatenate([s.pixels for s in seen])
    cells = np.clip((pixels / [optics.width, optics.height] * CELLS).astype(int), 0, CELLS - 1)
    coverage = len(np.unique(cells, axis=0)) / CELLS**2
    if solution is None or ("camera", name) not in solution.transforms:
        return CameraSurvey(len(seen), len(pixels), coverage)
    region = solution.region(("camera", name))
    error_mm, error_deg = float(region.radii_m[0]) * 1e3, float(np.degrees(region.radii_rad[0]))
    return CameraSurvey(len(seen), len(pixels), coverage, error_mm, error_deg)


def verdict(result: Result) -> str:
    """Say what held-out poses say of a result."""
    held = result.verification
    return (
        f"{held.sightings} pictures held out, {1e3 * held.rms_m:.2f} mm and {np.degrees(held.rms_rad):.3f} deg off, "
        f"{1e3 * held.expected_m:.2f} mm and {np.degrees(held.expected_rad):.3f} deg expected"
    )
