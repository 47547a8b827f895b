# SPDX-License-Identifier: Apache-2.0
"""What is done next while a calibration is taken before a real robot: wait, move, look, solve, keep.

Time and measurements are passed in. What takes long (looking for boards, choosing, solving) is handed out as an errand,
one at a time, to be run by another thread; its outcome comes back before the next one is handed out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wam_ros.calibration.captures import HELD_OUT, Captures
from wam_ros.calibration.drive import Drive
from wam_ros.calibration.errands import Doing, Errand, Manner
from wam_ros.calibration.stillness import Stillness
from wam_ros.calibration.survey import CAMERA_FIGURES, Survey, survey, verdict
from wam_ros.calibration.tour import Stop, Tour
from wam_ros.core.control import farthest
from wam_ros.core.errors import CalibrationError, WamError
from wam_ros.core.handeye.session import Result
from wam_ros.core.robot import Robot
from wam_ros.core.safety import Answer
from wam_ros.core.types import FloatArray
from wam_ros.files.calibration import CalibrationFile, save
from wam_ros.kinematics.routes import Routes

ARRIVED_RAD = 0.1
PATIENCE_S = 8.0
"""For arms to arrive and rest, and for pictures of it."""

T = TypeVar("T")


class Conductor:
    """Leads through one calibration.

    Args:
        robot: that is calibrated.
        fresh: returns empty captures.
        routes: finds ways for the arms.
        manner: how captures are taken.
        poses: of each carried camera.
        seed: of the views that are drawn.

    Attributes:
        doing: what goes on.
        news: the newest thing worth telling; ``told`` counts them.
        survey: how far it has come.
        advice: where a person should move a tool next; empty when nothing is known to help.
        result: of all captures, solved and verified; None while there is none.
        finished: every pose of the tour has been taken, or it cannot go on.
        still: joints and pictures.
        drive: where the arms shall be.
    """

    def __init__(
        self, robot: Robot, fresh: Callable[[], Captures], routes: Routes, manner: Manner, poses: int, seed: int
    ) -> None:
        self.still, self.drive = Stillness(robot, manner.rest_s), Drive(robot, manner.speed_share)
        self._names, self._arms = robot.joint_names, ~np.array(robot.gripper_mask)
        self._fresh, self._routes, self._manner = fresh, routes, manner
        self._poses, self._seed = poses, seed
        self.news, self.told = "", 0
        self.begin()

    def begin(self) -> None:
        """Forget everything that was captured."""
        self.doing, self.survey, self.advice = Doing.WAITING, Survey(), ""
        self.result: Result | None = None
        self.finished = False
        self._complaint = "nothing has been solved"
        self._said: list[str] = []
        self._tour = Tour(self._fresh(), self._poses, self._seed, self._said.append)
        self._asked: Callable[[], Errand] | None = None
        self._looked_ns = -1
        self._stop: Stop | None = None
        self._way: list[FloatArray] | None = None

    # -- what is done ----------------------------------------------------------------------

    @property
    def thinking(self) -> bool:
        """An errand is out."""
        return self.doing not in (Doing.WAITING, Doing.MOVING)

    def lead(self, here: FloatArray | None) -> None:
        """The arms are ours and told to be at (J,); None: they are not ours, or nobody knows."""
        if here is None:
            self.drive.lose()
        else:
            self.drive.take(here)

    def step(self, now_ns: int) -> Errand | None:
        """Return what another thread should do now, at control time ``now_ns``."""
        if self.thinking:
            return None
        if self._asked is not None:
            ask, self._asked = self._asked, None
            return ask()
        if self._manner.drive:
            return self._drive(now_ns)
        anew = self._manner.auto and self.still.newer_than(self._looked_ns)
        return self._look() if anew and not self.still.lack else None

    def _drive(self, now_ns: int) -> Errand | None:
        drive = self.drive
        if drive.at is None or self.finished:
            self.doing = Doing.WAITING
            return None
        if not drive.under_way and self._way is not None:
            drive.set_out(self._way, now_ns)
            self._way, self.doing = None, Doing.MOVING
        if not drive.under_way:
            return self._choose(drive.at)
        over_s = drive.over_s(now_ns)
        joint, apart_rad = farthest(self._names, self._arms, drive.goal, self.still.rest.at)
        if over_s > 0 and abs(apart_rad) < ARRIVED_RAD and not self.still.lack:
            return self._look()
        if over_s > PATIENCE_S:
            self._tell(
                f"pose skipped: {joint} is {apart_rad:+.2f} rad from its goal, or {self.still.lack or 'it moves'}"
            )
            self._stop, self.doing = None, Doing.WAITING
            drive.lose()  # it goes on from where the arms are then told to be
        return None

    def _leave(self) -> None:
        """The stop is over; the arms stay at the end of the way."""
        self.drive.leave()
        self._stop, self.doing = None, Doing.WAITING

    # -- errands ---------------------------------------------------------------------------

    def _errand(self, doing: Doing, work: Callable[[], T], done: Callable[[T], None]) -> Errand:
        """Hand out work; what comes back after everything was forgotten is not heard."""
        self.doing, tour = doing, self._tour

        def tried() -> T | WamError:
            try:
                return work()
            except WamError as error:
                return error

        def back(found: Any) -> None:
            if tour is not self._tour:
                return
            self.doing = Doing.WAITING
            if isinstance(found, WamError):
                self._complaint, self.finished = str(found), True
                self._tell(str(found))
            else:
                done(found)

        return Errand(tried, back)

    def _choose(self, start: FloatArray) -> Errand:
        tour, stop = self._tour, self._stop

        def work() -> tuple[Stop, list[FloatArray]] | None:
            next_stop = stop
            while (next_stop := next_stop or tour.next()) is not None:
                goal = np.where(self._arms, next_stop.position, start)  # hands stay as they are
                way = self._routes.way(start, goal)
                if way is not None:
                    return next_stop, way
                self._said.append("pose skipped: no way there keeps the arms apart and in the workspace")
                next_stop = None
            return None

        return self._errand(Doing.CHOOSING, work, self._on_chosen)

    def _on_chosen(self, found: tuple[Stop, list[FloatArray]] | None) -> None:
        self._tell(*self._said)
        if found is None:
            self.finished, self._asked = True, self._solve
        else:
            self._stop, self._way = found

    def _look(self) -> Errand:
        seen, stop, tour = self.still.seen, self._stop, self._tour
        assert seen is not None
        self._looked_ns = seen.stamp_ns
        cameras = stop.cameras if stop is not None else tuple(seen.views)
        pictures = {camera: seen.views[camera].color for camera in cameras}
        held_out = stop.held_out if stop is not None else tour.captures.session.poses % HELD_OUT == HELD_OUT - 1

        def work() -> tuple[list[str], Survey, str]:
            counted = tour.take(seen.joints.position, pictures, held_out=held_out)
            advice = "" if self._manner.drive else tour.advise(seen.joints.position)
            return counted, survey(tour.captures) if counted else self.survey, advice

        return self._errand(Doing.LOOKING, work, self._on_looked)

    def _on_looked(self, found: tuple[list[str], Survey, str]) -> None:
        counted, self.survey, self.advice = found
        if counted:
            self.result, self._complaint = None, "nothing has been solved since the newest pose"
            self._said.append(f"pose {self.survey.poses}: {', '.join(counted)}")
        self._tell(*self._said)
        self._leave()

    def _solve(self) -> Errand:
        captures = self._tour.captures
        return self._errand(Doing.SOLVING, captures.session.finish, self._on_solved)

    def _on_solved(self, result: Result) -> None:
        self.result = result
        self._tell(*_outcome(result))

    def _tell(self, *sentences: str) -> None:
        if sentences:
            self.news, self.told = "; ".join(sentences), self.told + 1
        self._said.clear()

    def figures(self) -> dict[str, str | int | float]:
        """Return how far it has come, for diagnostics."""
        cameras = self.survey.cameras.items()
        return {
            "state": self.doing.value.upper(),
            "news": self.news,
            "told": self.told,
            "poses": self.survey.poses,
            "lacks": self.survey.lacks,
            "advice": self.advice,
            "finished": int(self.finished),
            "verified": int(self.result is not None),
            "worst_mm": self.survey.worst_mm,
            **{f"{what}_{name}": getattr(camera, what) for name, camera in cameras for what in CAMERA_FIGURES},
        }

    # -- what is asked for -----------------------------------------------------------------

    def capture(self) -> Answer:
        """Look at what all cameras see now."""
        if self.doing is not Doing.WAITING:
            return Answer(False, f"capture refused: {self.doing.value}; ask again when it is over")
        if self.still.lack:
            return Answer(False, f"capture refused: {self.still.lack}")
        self._asked = self._look
        return Answer(True, "looking; the status says what was seen")

    def solve(self) -> Answer:
        """Solve and verify."""
        if self.doing is Doing.SOLVING or not self._tour.captures.session.poses:
            why = "solving already" if self.doing is Doing.SOLVING else "nothing has been captured"
            return Answer(False, f"solve refused: {why}")
        self._asked = self._solve
        return Answer(True, "solving; ask verify for the outcome")

    def verify(self) -> Answer:
        """Say what the poses that were held out say of the newest solution."""
        if self.doing is Doing.SOLVING or self._asked is not None:
            return Answer(False, "still solving; ask again")
        return Answer(False, self._complaint) if self.result is None else Answer(True, "; ".join(_outcome(self.result)))

    def save(self, path: Path) -> Answer:
        """Write the calibration file, if it is verified."""
        if self.result is None:
            return Answer(False, f"nothing is saved: {self._complaint}")
        try:
            save(self.content(), path)
        except WamError as error:
            return Answer(False, str(error))
        return Answer(True, f"saved {path}")

    def content(self) -> CalibrationFile:
        """Return what is saved of the result, with today's date.

        Raises:
            CalibrationError: there is none.
        """
        if self.result is None:
            raise CalibrationError(self._complaint)
        return self._tour.captures.file(self.result, datetime.now().astimezone())

    def discard(self) -> Answer:
        """Forget everything, and begin anew."""
        poses = self._tour.captures.session.poses
        self.begin()
        return Answer(True, f"{poses} poses forgotten")


def _outcome(result: Result) -> list[str]:
    """Return what there is to say of a solution: what has moved, and how well it holds."""
    return [*map(str, result.calibration.moved), f"verified: {verdict(result)}"]
