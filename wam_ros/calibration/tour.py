# SPDX-License-Identifier: Apache-2.0
"""Which pose to take next before a board, and what the pictures taken there add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.calibration.captures import HELD_OUT, Captures
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Sighting
from wam_ros.core.handeye.proposal import propose
from wam_ros.core.transforms import invert, log
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.kinematics.viewpoints import spread

CANDIDATES = 40
BEFORE_PROPOSING = 6
NEW_M, NEW_RAD = 0.01, 0.05
"""A carried camera that has moved less since an earlier picture sees the same again, and it would count twice."""
NEAR_M, NEAR_RAD = 0.04, 0.15
"""As exactly as a hand brings a tool to a place that it was told in words: such a view has been seen."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Stop:
    """A pose worth taking.

    Attributes:
        position: (J,) in robot order.
        cameras: whose pictures are wanted there.
        held_out: kept for the verification.
    """

    position: FloatArray
    cameras: tuple[str, ...]
    held_out: bool = False


class Tour:
    """The poses of one robot before one board, in the order in which they help most.

    Args:
        captures: where what is seen goes.
        poses: of each carried camera.
        seed: of the views that are drawn.
        tell: is told what happens.

    Attributes:
        taken: pictures of each camera that count.
        board: (4, 4) the board in the robot's base frame, roughly, by the URDF's place of a camera; None before it is seen.
    """

    def __init__(self, captures: Captures, poses: int = 15, seed: int = 0, tell: Tell = lambda _: None) -> None:
        self.captures, self.poses, self._tell = captures, poses, tell
        self.taken = dict.fromkeys(captures.carriers, 0)
        self.board: FloatArray | None = None
        self._rng = np.random.default_rng(seed)
        self._left: dict[str, list[FloatArray]] = {}
        self._from: dict[str, list[FloatArray]] = {camera: [] for camera in captures.carriers}
        self._fixed: set[tuple[str, bool]] = set()
        self._begun = self._ended = False

    def next(self) -> Stop | None:
        """Return where to go now; None when all has been seen.

        Raises:
            CalibrationError: no camera saw the board from the ready pose.
        """
        ready, everyone = self.captures.robot.ready_position(), tuple(self.captures.carriers)
        if not self._begun:
            return Stop(ready, everyone)
        if self.board is None:
            raise CalibrationError("calibrate: no camera sees the board from the ready pose; lay it where one does")
        for camera in self._carried():
            if self.taken[camera] < self.poses and self._views(camera):
                taken = self.taken[camera]
                index = self._best(camera) if taken >= BEFORE_PROPOSING else 0
                return Stop(self._left[camera].pop(index), (camera,), taken % HELD_OUT == HELD_OUT - 1)
        # A fixed camera sees the same once more, so that it is verified too.
        first, self._ended = not self._ended, True
        fixed = tuple(camera for camera in everyone if not self.captures.carriers[camera])
        return Stop(ready, fixed, held_out=True) if first and fixed else None

    def advise(self, position: FloatArray) -> str:
        """Say to a person where to move a tool from a (J,) position; empty while the board is unknown, and in the end."""
        if self.board is None:
            return ""
        wanting = [c for c in self._carried() if self.taken[c] < self.poses]
        for camera in wanting:
            here = self._tool(camera, position)
            left = [v for v in self._views(camera) if not _within(here, self._tool(camera, v), NEAR_M, NEAR_RAD)]
            self._left[camera] = left
        wanting = [camera for camera in wanting if self._left[camera]]
        if not wanting:
            return ""
        camera = min(wanting, key=lambda c: self.taken[c])
        move = invert(self._tool(camera, position)) @ self._tool(camera, self._left[camera][self._best(camera)])
        return f"{camera}: move the tool of arm {self.captures.carriers[camera]} by {directions(move)} (its own axes)"

    def take(self, position: FloatArray, pictures: Mapping[str, ByteImage], *, held_out: bool) -> list[str]:
        """Look at the pictures taken with the joints at a (J,) position; return the cameras whose pictures count."""
        seen: list[Sighting] = []
        repeated: list[str] = []
        for camera, picture in pictures.items():
            if why := self._repeats(camera, position, held_out):
                repeated.append(f"{camera}: {why}")
                continue
            try:
                seen.append(self.captures.see(camera, picture))
            except CalibrationError as error:
                self._tell(f"{camera}: {error}")
        self._begun = True
        for complaint in repeated if not seen else ():  # else nobody expected anything of what stands still
            self._tell(complaint)
        if seen:
            self.captures.add(position, seen, held_out=held_out)
        if self.board is None:
            self._find_board(position, seen)
        for sighting in seen:
            self._count(sighting.camera, position, held_out)
        return [sighting.camera for sighting in seen]

    def _carried(self) -> list[str]:
        return [camera for camera, arm in self.captures.carriers.items() if arm]

    def _tool(self, camera: str, position: FloatArray) -> FloatArray:
        return self.captures.views.tools(position)[self.captures.carriers[camera]]

    def _repeats(self, camera: str, position: FloatArray, held_out: bool) -> str:
        """Say why a picture would only show what an earlier one shows; empty when it is new."""
        if not self.captures.carriers[camera]:
            counted = (camera, held_out) in self._fixed
            return "sees the same as before; it stands still, and counts once" if counted else ""
        tool = self._tool(camera, position)
        near = any(_within(earlier, tool, NEW_M, NEW_RAD) for earlier in self._from[camera])
        return "sees the same as before; move it by a hand's breadth, or turn it" if near else ""

    def _count(self, camera: str, position: FloatArray, held_out: bool) -> None:
        self.taken[camera] += 1
        if self.captures.carriers[camera]:
            self._from[camera].append(self._tool(camera, position))
        else:
            self._fixed.add((camera, held_out))

    def _find_board(self, position: FloatArray, seen: Sequence[Sighting]) -> None:
        """Place the board by a camera that sees it, a fixed one if possible."""
        if seen:
            best = min(seen, key=lambda sighting: self.captures.carriers[sighting.camera] != "")
            self.board = self.captures.views.camera_pose(position, best.camera) @ best.T_cam_board
            self._tell(f"the board is in view of {', '.join(s.camera for s in seen)}")

    def _views(self, camera: str) -> list[FloatArray]:
        """Positions that are left for a camera, those first that differ most from the ones before."""
        if camera not in self._left and self.board is not None:
            views, arm = self.captures.views, self.captures.carriers[camera]
            optics = self.captures.optics[camera]
            found = views.draw(camera, optics, self.board, self.captures.board, CANDIDATES, self._rng)
            order = spread(found, {i: views.tools(position)[arm] for i, position in enumerate(found)})
            self._left[camera] = [found[i] for i in order]
        return self._left.get(camera, [])

    def _best(self, camera: str) -> int:
        """Index of the view that helps most; the first one while there is no estimate."""
        solution = self.captures.session.estimate()
        if solution is None:
            return 0
        arm = self.captures.carriers[camera]
        candidates = [{arm: self.captures.views.tools(position)[arm]} for position in self._left[camera]]
        sizes = {name: (optics.width, optics.height) for name, optics in self.captures.optics.items()}
        proposal = propose(self.captures.session.problem(), solution, candidates, sizes)
        return 0 if proposal is None else proposal.index


def _within(a: FloatArray, b: FloatArray, distance_m: float, angle_rad: float) -> bool:
    """Whether two poses (4, 4) are no farther from each other."""
    twist = log(invert(a) @ b)
    return bool(np.linalg.norm(twist[:3]) < distance_m and np.linalg.norm(twist[3:]) < angle_rad)


def directions(T_tool_goal: FloatArray) -> str:
    """Say a move of a tool to a person, in the tool's own axes: where, then the turn about one axis."""
    way = [f"{100 * value:+.0f} cm {axis}" for axis, value in zip("xyz", T_tool_goal[:3, 3], strict=True)]
    turn = Rotation.from_matrix(T_tool_goal[:3, :3]).as_rotvec(degrees=True)
    turns = [f"{value:+.0f} deg about {axis}" for axis, value in zip("xyz", turn, strict=True) if abs(value) >= 1]
    return ", ".join([*way, *turns])
