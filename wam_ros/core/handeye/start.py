# SPDX-License-Identifier: Apache-2.0
"""First values of every unknown: closed forms where a camera or board moves with an arm, then along the graph.

The closed form runs on random handfuls of poses and keeps the answer with which most sightings agree, so that a
board that was moved, or a flipped pose of a flat board, spoils nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.closed import park, relative_motions
from wam_ros.core.handeye.problem import Key, Problem, Sighting, Values
from wam_ros.core.transforms import invert, rigid
from wam_ros.core.types import FloatArray

AGREE_M, AGREE_RAD = 0.02, 0.06
"""How near two estimates of one pose from single pictures lie when nothing is wrong."""
HANDFUL, TRIES = 5, 60
ENOUGH = 0.9
"""Share of agreeing sightings with which the search ends at once."""


@dataclass(frozen=True)
class Track:
    """Sightings of one board by one camera, exactly one of the two on an arm: robot_i X board_i is the same for all i.

    Attributes:
        camera, board, arm: who; ``camera_moves`` says which of the two the arm carries.
        indices: (N,) into the problem's sightings; ``poses`` (N,) the pose each belongs to.
        robot: (N, 4, 4) T_base_tool, or its inverse where the board moves.
        seen: (N, 4, 4) T_cam_board.
    """

    camera: str
    board: str
    arm: str
    camera_moves: bool
    indices: NDArray[np.int64]
    poses: NDArray[np.int64]
    robot: FloatArray
    seen: FloatArray

    @property
    def moving(self) -> Key:
        """The unknown on the tool."""
        return ("camera", self.camera) if self.camera_moves else ("board", self.board)

    @property
    def fixed(self) -> Key:
        """The unknown beside the arm."""
        return ("board", self.board) if self.camera_moves else ("camera", self.camera)

    def with_data(self, robot: FloatArray, seen: FloatArray) -> Track:
        """Return the track with other poses."""
        return replace(self, robot=robot, seen=seen)


class Agreement(NamedTuple):
    """X and Z = robot X seen, (4, 4) each, and which sightings agree, (N,) bool."""

    X: FloatArray
    Z: FloatArray
    agrees: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Of the sightings that agree."""
        return float(self.agrees.mean())


def tracks_of(problem: Problem) -> list[Track]:
    """Return the tracks of a problem, longest first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, sighting in enumerate(problem.sightings):
        if bool(problem.cameras[sighting.camera].arm) != bool(problem.boards[sighting.board].arm):
            groups.setdefault((sighting.camera, sighting.board), []).append(index)
    tracks = [_track(problem, camera, board, indices) for (camera, board), indices in groups.items()]
    return sorted(tracks, key=lambda track: -len(track.indices))


def _track(problem: Problem, camera: str, board: str, indices: list[int]) -> Track:
    arm = problem.cameras[camera].arm or problem.boards[board].arm
    moves = bool(problem.cameras[camera].arm)
    indices = sorted(indices, key=lambda i: problem.sightings[i].pose)
    poses = np.array([problem.sightings[i].pose for i in indices])
    robot = np.stack([problem.poses[arm, int(pose)] for pose in poses])
    seen = np.stack([problem.sightings[i].T_cam_board for i in indices])
    return Track(camera, board, arm, moves, np.array(indices), poses, robot if moves else invert(robot), seen)


def agree(track: Track, seed: int = 0) -> Agreement:
    """Return the hand-eye solution with which most sightings agree."""
    count = len(track.robot)
    best = _agreement(track, *_closed(track, np.arange(count)))
    rng = np.random.default_rng(seed)
    for _ in range(TRIES if count > HANDFUL else 0):
        if best.share >= ENOUGH:
            break
        found = _agreement(track, *_closed(track, rng.choice(count, HANDFUL, replace=False)))
        best = max(best, found, key=lambda a: a.share)
    if 3 <= best.agrees.sum() < len(best.agrees):
        again = _agreement(track, *_closed(track, np.flatnonzero(best.agrees)))
        best = max(best, again, key=lambda a: a.share)
    return best


def _closed(track: Track, chosen: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    X = park(*relative_motions(track.robot[chosen], track.seen[chosen]))
    return X, track.robot @ X @ track.seen


def _agreement(track: Track, X: FloatArray, candidates: FloatArray) -> Agreement:
    Z, agrees = most_agreed(candidates)
    return Agreement(X, Z, agrees)


def most_agreed(candidates: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the pose with which most of (N, 4, 4) candidates agree, as their mean, and which they are."""
    distance = np.linalg.norm(candidates[:, None, :3, 3] - candidates[None, :, :3, 3], axis=-1)
    near = (distance < AGREE_M) & (angles(candidates[:, None], candidates[None]) < AGREE_RAD)
    agrees: NDArray[np.bool_] = near[near.sum(axis=1).argmax()]
    chosen = candidates[agrees]
    return rigid(Rotation.from_matrix(chosen[:, :3, :3]).mean().as_matrix(), chosen[:, :3, 3].mean(axis=0)), agrees


def angles(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the angle between orientations of transforms (..., 4, 4) [rad]."""
    cosine = (np.einsum("...ij,...ij->...", a[..., :3, :3], b[..., :3, :3]) - 1) / 2
    angle: FloatArray = np.arccos(np.clip(cosine, -1, 1))
    return angle


def start_values(problem: Problem, agreements: Sequence[tuple[Track, Agreement]]) -> Values:
    """Return a value of every lasting unknown.

    Args:
        problem: what is known.
        agreements: of the tracks, longest first.

    Raises:
        CalibrationError: something is tied to the rest by no sighting.
    """
    values: Values = {}
    for track, found in agreements:
        values.setdefault(track.moving, found.X if track.camera_moves else found.Z)
        if track.arm == problem.arms[0]:
            values.setdefault(track.fixed, found.Z if track.camera_moves else found.X)
    wanted = {key for sighting in problem.sightings for key in _unknowns(problem, sighting)}
    while missing := wanted - set(values):
        found_now = dict(_one_step(problem, values, missing))
        if not found_now:
            names = ", ".join(" ".join(key) for key in sorted(missing))
            raise CalibrationError(
                f"hand-eye: nothing ties {names} to {problem.arms[0]}'s base; let their camera see a board "
                f"that a calibrated camera sees too, or take more poses of that arm"
            )
        values |= found_now
    return values


def _unknowns(problem: Problem, sighting: Sighting) -> list[Key]:
    return [f.key for f in problem.chain(sighting) if f.key is not None and f.key[0] != "shake"]


def _one_step(problem: Problem, values: Values, missing: set[Key]) -> Iterator[tuple[Key, FloatArray]]:
    """Yield the unknowns that are the only one missing in some chains."""
    candidates: dict[Key, list[FloatArray]] = {}
    for sighting in problem.sightings:
        absent = [key for key in _unknowns(problem, sighting) if key in missing]
        if len(absent) == 1:
            candidates.setdefault(absent[0], []).append(solved_for(problem, sighting, values, absent[0]))
    for key, poses in candidates.items():
        yield key, most_agreed(np.stack(poses))[0]


def solved_for(problem: Problem, sighting: Sighting, values: Values, key: Key) -> FloatArray:
    """Return the one unknown of ``left @ T @ right = T_cam_board``, its other factors given."""
    left, right, inverted, passed = np.eye(4), np.eye(4), False, False
    for factor in problem.chain(sighting):
        if factor.key == key:
            inverted, passed = factor.inverted, True
            continue
        T = np.eye(4) if factor.key is not None and factor.key[0] == "shake" else factor.value(values)
        left, right = (left, right @ T) if passed else (left @ T, right)
    found: FloatArray = invert(left) @ sighting.T_cam_board @ invert(right)
    return invert(found) if inverted else found
