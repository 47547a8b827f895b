# SPDX-License-Identifier: Apache-2.0
"""Can the data be true? Where robot and pictures do not fit, the usual mistakes are tried on and the one that fits is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.closed import park, relative_motions
from wam_ros.core.handeye.problem import Problem
from wam_ros.core.handeye.size import size_text
from wam_ros.core.handeye.start import Agreement, Track, agree, most_agreed
from wam_ros.core.transforms import invert
from wam_ros.core.types import FloatArray

LARGEST_BOARD_M, LARGEST_REACH_M = 3.0, 10.0
MAJORITY = 0.65
"""Share of sightings that must agree for the data to be taken as given."""
EXPLAINED = 0.8
COARSE_SCALE, COARSE_SIGMAS = 0.05, 5.0
MIRROR = np.diag([-1.0, 1.0, 1.0])


def require_metres(problem: Problem) -> None:
    """Refuse sizes that are not metres.

    Raises:
        CalibrationError: names board or arm, with the size found.
    """
    for sighting in problem.sightings:
        extent = float(np.ptp(sighting.points, axis=0).max())
        if extent > LARGEST_BOARD_M:
            raise CalibrationError(_millimetres(f"board {sighting.board}: size", LARGEST_BOARD_M, extent))
    for (arm, _), T in problem.poses.items():
        reach = float(np.abs(T[:3, 3]).max())
        if reach > LARGEST_REACH_M:
            raise CalibrationError(_millimetres(f"arm {arm}: tool position", LARGEST_REACH_M, reach))


def _millimetres(what: str, expected: float, got: float) -> str:
    return f"hand-eye: {what}: expected metres, less than {expected:.0f}, got {got:.4g}; millimetres must be divided by 1000"


def require_consistency(tracks: Sequence[Track]) -> list[tuple[Track, Agreement]]:
    """Return what most sightings of each track agree on.

    Raises:
        CalibrationError: there is no majority, or the board has not the stated size; names the mistake that explains it.
    """
    found = [(track, agree(track)) for track in tracks]
    for track, agreement in found:
        if agreement.share < MAJORITY:
            raise CalibrationError(f"hand-eye: {_who(track)}: {_explanation(track, agreement, tracks)}")
        _require_size(track, agreement)
    return found


def _who(track: Track) -> str:
    return f"camera {track.camera}, board {track.board}, arm {track.arm}"


def _explanation(track: Track, as_given: Agreement, tracks: Sequence[Track]) -> str:
    for text, variant in _mistakes(track, tracks):
        if agree(variant).share >= EXPLAINED:
            return text
    moved = _moved(track, as_given)
    if moved:
        return moved
    return (
        f"robot and pictures do not fit: only {as_given.share:.0%} of {len(track.indices)} sightings agree on one board pose; "
        f"check that pictures and joints are of the same moment, and that the poses are of the tool in the arm's base"
    )


def _mistakes(track: Track, tracks: Sequence[Track]) -> Iterator[tuple[str, Track]]:
    """Usual mistakes and the data as they would be without them, likeliest first."""
    # R X B = Z is R^-1 Z B^-1 = X: which side is inverted, or whether the camera stands beside the arm, cannot be told.
    yield (
        "the poses of one side are inverted: T_base_tool and T_cam_board are wanted, T_tool_base or T_board_cam was given; "
        "or the camera is beside the robot and was said to be on the tool, or the other way round",
        track.with_data(invert(track.robot), track.seen),
    )
    yield "the pictures are mirrored; switch the driver's flip off", track.with_data(track.robot, _mirrored(track.seen))
    for other in tracks:
        common = np.intersect1d(track.poses, other.poses)
        if other.arm != track.arm and len(common) >= 3:
            mine, theirs = (np.searchsorted(t.poses, common) for t in (track, other))
            yield (
                f"the cameras {track.camera} and {other.camera} are swapped",
                (track.with_data(track.robot[mine], other.seen[theirs])),
            )
    yield (
        "each robot pose belongs to the picture after it; let the arm come to rest before capturing",
        (track.with_data(track.robot[1:], track.seen[:-1])),
    )
    yield (
        "each picture belongs to the robot pose before it; pictures are older than their stamps",
        (track.with_data(track.robot[:-1], track.seen[1:])),
    )
    scale = _scale(track.robot, track.seen)[0]
    if scale > 0:
        yield size_text(scale), track.with_data(track.robot, _scaled(track.seen, scale))


def _mirrored(seen: FloatArray) -> FloatArray:
    """Undo a picture flipped left to right: a flat board then seems to be seen from behind."""
    out = seen.copy()
    out[:, :3, :3] = MIRROR @ seen[:, :3, :3] @ np.diag([1.0, 1.0, -1.0])
    out[:, :3, 3] = seen[:, :3, 3] @ MIRROR
    return out


def _scaled(seen: FloatArray, scale: float) -> FloatArray:
    out = seen.copy()
    out[:, :3, 3] *= scale
    return out


def _moved(track: Track, found: Agreement) -> str:
    """Say that the board was moved, if those who do not agree with the rest agree with each other."""
    rest = ~found.agrees
    if rest.sum() < 3:
        return ""
    others = (track.robot @ found.X @ track.seen)[rest]
    if most_agreed(others)[1].mean() < EXPLAINED:
        return ""
    return (
        f"{found.share:.0%} of the sightings agree on one board pose and the others (poses "
        f"{track.poses[rest].min()} to {track.poses[rest].max()}) on another; the board was moved: fix it and capture again"
    )


def _require_size(track: Track, found: Agreement) -> None:
    scale, sigma = _scale(track.robot[found.agrees], track.seen[found.agrees])
    if abs(scale - 1) > max(COARSE_SCALE, COARSE_SIGMAS * sigma):
        raise CalibrationError(f"hand-eye: {_who(track)}: {size_text(scale)}")


def _scale(robot: FloatArray, seen: FloatArray) -> tuple[float, float]:
    """Factor of the board's size with which its motion is as long as the robot's, and its standard deviation.

    With R from the rotations, (R_A - I) t - s R t_B = -t_A is linear in t and s.
    """
    A, B = relative_motions(robot, seen)
    R = park(A, B)[:3, :3]
    left = np.concatenate([A[:, :3, :3] - np.eye(3), -(B[:, :3, 3] @ R.T)[:, :, None]], axis=2).reshape(-1, 4)
    right = -A[:, :3, 3].reshape(-1)
    weight = np.ones(len(right))
    for _ in range(8):  # absolute errors, so that a few wrong poses do not count
        solution = np.linalg.lstsq(left * weight[:, None], right * weight, rcond=None)[0]
        error = np.abs(left @ solution - right)
        weight = 1 / np.sqrt(np.maximum(error, np.median(error) + 1e-12))
    # Pairs share their poses: N (N - 1) / 2 of them say as much as about N.
    spread = 1.48 * np.median(error) * np.sqrt((len(robot) - 1) / 2)
    sigma = spread * np.sqrt(max(np.linalg.pinv(left.T @ left)[3, 3], 0.0))
    return float(solution[3]), float(sigma)
