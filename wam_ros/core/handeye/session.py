# SPDX-License-Identifier: Apache-2.0
"""A calibration while it is being captured: poses come in, some are held out, an estimate is always at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.calibrate import Calibration, calibrate
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Problem, Sighting
from wam_ros.core.handeye.solve import Solution
from wam_ros.core.handeye.verify import Verification, require_verified, verify
from wam_ros.core.types import FloatArray

ESTIMATING = Demands(poses=5, error_m=10.0, error_rad=10.0)


@dataclass(frozen=True)
class Result:
    """A calibration that poses it has not seen confirm.

    Attributes:
        mounts: camera to the arm that carries it, empty where none does.
        sightings: how many it was found from.
    """

    calibration: Calibration
    verification: Verification
    mounts: dict[str, str]
    sightings: int


class Session:
    """Poses of arms and what was seen in them, in order of capture."""

    def __init__(self, empty: Problem) -> None:
        """Begin with what is known before any picture: arms, cameras, lenses, boards, noise."""
        self._empty = empty
        self._poses: dict[tuple[str, int], FloatArray] = {}
        self._sightings: list[Sighting] = []
        self._held_out: set[int] = set()
        self._count = 0
        self._assessed: tuple[int, Demands, Solution | None, str] | None = None

    @property
    def poses(self) -> int:
        """How many were captured."""
        return self._count

    def add(self, tools: Mapping[str, FloatArray], sightings: Sequence[Sighting], *, held_out: bool = False) -> int:
        """Add a pose.

        Args:
            tools: arm to T_base_tool (4, 4), in the arm's own base frame.
            sightings: what was seen; their pose index is set here.
            held_out: keep the pose for the verification.

        Returns:
            The index of the pose.
        """
        index = self._count
        self._poses |= {(arm, index): T for arm, T in tools.items()}
        self._sightings += [replace(sighting, pose=index) for sighting in sightings]
        self._held_out |= {index} if held_out else set()
        self._count += 1
        return index

    def problem(self) -> Problem:
        """Return what is solved: all poses but those held out."""
        return self._with([s for s in self._sightings if s.pose not in self._held_out])

    def held_out(self) -> Problem:
        """Return what the solution is verified with."""
        return self._with([s for s in self._sightings if s.pose in self._held_out])

    def assess(self, demands: Demands = ESTIMATING) -> tuple[Solution | None, str]:
        """Return the solution so far, however uncertain, and what it lacks to reach what is demanded.

        None while there is no solution, the empty sentence when nothing lacks. Asked again before the next pose, it
        remembers; the estimate of a stricter question serves a later one that demands less.
        """
        known = self._assessed
        if known is not None and known[0] == self._count and demands in (known[1], ESTIMATING):
            return known[2], known[3]
        solution: Solution | None
        try:
            solution, lacks = calibrate(self.problem(), demands).solution, ""
        except CalibrationError as error:
            solution, lacks = (None if demands == ESTIMATING else self.assess()[0]), str(error)
        self._assessed = self._count, demands, solution, lacks
        return solution, lacks

    def estimate(self) -> Solution | None:
        """Return the solution so far, however uncertain; None while there is none."""
        return self.assess()[0]

    def finish(self, demands: Demands | None = None) -> Result:
        """Solve and verify.

        Raises:
            CalibrationError: there is no calibration that can be believed; says why.
        """
        demands = demands or Demands()
        problem = self.problem()
        calibration = calibrate(problem, demands)
        verification = verify(self.held_out(), calibration.solution)
        require_verified(verification, demands)
        mounts = {name: mount.arm for name, mount in self._empty.cameras.items()}
        return Result(calibration, verification, mounts, len(problem.sightings))

    def _with(self, sightings: Sequence[Sighting]) -> Problem:
        return replace(self._empty, poses=dict(self._poses), sightings=tuple(sightings))
