# SPDX-License-Identifier: Apache-2.0
"""Sightings of a board from drawn poses, with their truth: good sets, and sets with one thing wrong each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from wam_ros.core.handeye.problem import Mount, Noise, Pinhole, Problem, Sighting, Values
from wam_ros.core.transforms import apply, exp, invert, rigid
from wam_ros.core.types import FloatArray

LENS = Pinhole(391.0, 391.0, 319.5, 239.5)
GRID = np.stack(np.meshgrid(np.arange(8) * 0.02, np.arange(6) * 0.02, indexing="ij"), -1).reshape(-1, 2)
CORNERS = np.c_[GRID - GRID.mean(0), np.zeros(len(GRID))]
TYPICAL = Noise()
View = Callable[[np.random.Generator], FloatArray]


def looking(rng: np.random.Generator) -> FloatArray:
    """T_board_cam of a camera 20 to 32 cm above the board, tilted by 6 to 37 degrees and turned."""
    azimuth = rng.uniform(-np.pi, np.pi)
    tilt = Rotation.from_rotvec(rng.uniform(0.1, 0.65) * np.array([np.cos(azimuth), np.sin(azimuth), 0]))
    return _above(tilt, rng.uniform(-0.6, 0.6), rng)


def _above(tilt: Rotation, turn_rad: float, rng: np.random.Generator) -> FloatArray:
    R = (tilt * Rotation.from_euler("x", np.pi) * Rotation.from_euler("z", turn_rad)).as_matrix()
    return rigid(R, R @ np.array([rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02), -rng.uniform(0.2, 0.32)]))


def wrist(rng: np.random.Generator, noise: Noise, poses: int, view: View = looking) -> tuple[Problem, Values]:
    """Return a wrist camera over a board on the table, and the truth of every unknown, shakes included."""
    truth: Values = {
        ("camera", "wrist"): exp(rng.uniform(-0.1, 0.1, 6)),
        ("board", "table"): exp(rng.uniform(-0.3, 0.3, 6)),
    }
    known, sightings = {}, []
    for pose in range(poses):
        T_board_cam = view(rng)
        shake = exp(rng.normal(0, 1, 6) * noise.shake_spread())
        known["arm", pose] = truth["board", "table"] @ T_board_cam @ invert(truth["camera", "wrist"]) @ invert(shake)
        if not noise.perfect_robot:
            truth["shake", "arm", str(pose)] = shake
        sightings.append(see(rng, "wrist", pose, invert(T_board_cam), noise))
    cameras, boards = {"wrist": Mount("arm")}, {"table": Mount()}
    return Problem(("arm",), cameras, {"wrist": LENS}, boards, known, tuple(sightings), noise), truth


def see(rng: np.random.Generator, camera: str, pose: int, T_cam_board: FloatArray, noise: Noise) -> Sighting:
    """Return what a camera sees of the board, and the board's pose as that picture alone gives it."""
    pixels = LENS.project(apply(T_cam_board, CORNERS)) + rng.normal(0, noise.pixel_px, (len(CORNERS), 2))
    return Sighting(camera, "table", pose, CORNERS, pixels, from_one_picture(CORNERS, pixels, T_cam_board))


def from_one_picture(points: FloatArray, pixels: FloatArray, guess: FloatArray) -> FloatArray:
    """Return the pose that fits the corners best, (4, 4) T_cam_board."""

    def errors(twist: FloatArray) -> FloatArray:
        return (LENS.project(apply(guess @ exp(twist), points)) - pixels).reshape(-1)

    return guess @ exp(least_squares(errors, np.zeros(6), method="lm").x)


def three_cameras(rng: np.random.Generator, noise: Noise, poses: int) -> tuple[Problem, Values]:
    """Return two wrist cameras and a head over one board, and the truth of cameras, board and second base."""
    truth: Values = {
        ("camera", "left_wrist"): exp(rng.uniform(-0.1, 0.1, 6)),
        ("camera", "right_wrist"): exp(rng.uniform(-0.1, 0.1, 6)),
        ("board", "table"): exp(rng.uniform(-0.3, 0.3, 6)),
        ("base", "right"): exp(np.array([0.0, -0.67, 0.0, 0.02, 0.01, 0.1])),
    }
    truth["camera", "head"] = truth["board", "table"] @ looking(rng)
    bases = {"left": np.eye(4), "right": truth["base", "right"]}
    known, sightings = {}, []
    for pose in range(poses):
        sightings.append(see(rng, "head", pose, invert(truth["camera", "head"]) @ truth["board", "table"], noise))
        for arm, T_base in bases.items():
            T_board_cam = looking(rng)
            T_world_tool = truth["board", "table"] @ T_board_cam @ invert(truth["camera", f"{arm}_wrist"])
            known[arm, pose] = invert(T_base) @ T_world_tool @ exp(rng.normal(0, 1, 6) * noise.shake_spread())
            sightings.append(see(rng, f"{arm}_wrist", pose, invert(T_board_cam), noise))
    cameras = {"left_wrist": Mount("left"), "right_wrist": Mount("right"), "head": Mount()}
    lenses = dict.fromkeys(cameras, LENS)
    return Problem(("left", "right"), cameras, lenses, {"table": Mount()}, known, tuple(sightings), noise), truth


def bad_sets(rng: np.random.Generator, poses: int = 15) -> dict[str, Problem]:
    """Return sets that must be refused, by what is wrong with them."""
    good, _ = wrist(rng, TYPICAL, poses)
    return {
        "too_few": good.only(range(5)),
        "no_turn": wrist(rng, TYPICAL, poses, _moving_only)[0],
        "one_axis": wrist(rng, TYPICAL, poses, _turning_about_the_board_normal)[0],
        "one_tilt_axis": wrist(rng, TYPICAL, poses, _tilting_one_way)[0],
        "hardly_any_motion": wrist(rng, TYPICAL, poses, _standing_still)[0],
        "millimetres": replace(good, poses={key: _translated(T, 1000.0) for key, T in good.poses.items()}),
        "board_size": with_board_size(good, 0.94),
        "inverted_robot": replace(good, poses={key: invert(T) for key, T in good.poses.items()}),
        "shuffled": replace(good, poses={("arm", i): good.poses["arm", (i + 4) % poses] for i in range(poses)}),
        "board_moved_half_way": with_board_moved(good, range(poses // 2, poses), 0.06),
    }


def _moving_only(rng: np.random.Generator) -> FloatArray:
    T = _above(Rotation.from_rotvec([0.3, 0.0, 0.0]), 0.0, rng)
    T[:3, 3] += rng.uniform(-0.05, 0.05, 3)
    return T


def _turning_about_the_board_normal(rng: np.random.Generator) -> FloatArray:
    turned: FloatArray = exp(np.r_[rng.uniform(-0.03, 0.03, 3), 0, 0, rng.uniform(-1, 1)])
    return turned @ rigid(Rotation.from_euler("x", np.pi - 0.3).as_matrix(), np.array([0, 0.05, 0.26]))


def _tilting_one_way(rng: np.random.Generator) -> FloatArray:
    return _above(Rotation.from_rotvec([rng.uniform(-0.6, 0.6), 0, 0]), 0.0, rng)


def _standing_still(rng: np.random.Generator) -> FloatArray:
    T: FloatArray = rigid(Rotation.from_euler("x", np.pi - 0.3).as_matrix(), np.array([0, 0.05, 0.26]))
    return T @ exp(rng.normal(0, 1, 6) * np.repeat([0.005, 0.01], 3))


def _translated(T: FloatArray, factor: float) -> FloatArray:
    return rigid(T[:3, :3], T[:3, 3] * factor)


def with_board_size(problem: Problem, factor: float) -> Problem:
    """Return the sightings as they would be had the board been declared that many times its size."""
    return replace(
        problem,
        sightings=tuple(
            replace(s, points=s.points * factor, T_cam_board=_translated(s.T_cam_board, factor))
            for s in problem.sightings
        ),
    )


def with_board_moved(problem: Problem, poses: Iterable[int], shift_m: float) -> Problem:
    """Return the sightings as they would be had the board stood elsewhere in some poses."""
    shift, rng, elsewhere = (
        exp(np.r_[shift_m, shift_m / 3, 0.0, 0.0, 0.0, 4 * shift_m]),
        np.random.default_rng(0),
        set(poses),
    )
    return replace(
        problem,
        sightings=tuple(
            see(rng, s.camera, s.pose, s.T_cam_board @ shift, problem.noise) if s.pose in elsewhere else s
            for s in problem.sightings
        ),
    )
