# SPDX-License-Identifier: Apache-2.0
"""The joint hand-eye solution: exact on exact data, on the statistical bound with noise, all cameras in one graph."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wam_ros.core.handeye import (
    Mount,
    Noise,
    Pinhole,
    Problem,
    Sighting,
    _linearised,
    information,
    refine,
)
from wam_ros.core.transforms import apply, exp, invert, log, rigid

LENS = Pinhole(391, 391, 320, 240)
GRID = np.stack(np.meshgrid(np.arange(8) * 0.02, np.arange(6) * 0.02, indexing="ij"), -1).reshape(-1, 2)
CORNERS = np.c_[GRID - GRID.mean(0), np.zeros(len(GRID))]


def looking_at_the_board(rng):
    """A camera 20 to 32 cm above the board, tilted and turned: T_board_cam."""
    azimuth = rng.uniform(-np.pi, np.pi)
    tilt = Rotation.from_rotvec(rng.uniform(0.1, 0.65) * np.array([np.cos(azimuth), np.sin(azimuth), 0]))
    R = (tilt * Rotation.from_euler("x", np.pi) * Rotation.from_euler("z", rng.uniform(-0.6, 0.6))).as_matrix()
    return rigid(R, R @ [0, 0, -rng.uniform(0.2, 0.32)])


def wrist_case(rng, noise, poses=12):
    truth = {("camera", "wrist"): exp(rng.uniform(-0.1, 0.1, 6)), ("board", "b"): exp(rng.uniform(-0.3, 0.3, 6))}
    spread = np.repeat([noise.robot_m, noise.robot_rad], 3)
    known, sightings = {}, []
    for i in range(poses):
        T_board_cam = looking_at_the_board(rng)
        shake = exp(rng.normal(0, 1, 6) * spread)
        known["arm", i] = truth["board", "b"] @ T_board_cam @ invert(truth["camera", "wrist"]) @ invert(shake)
        if spread.any():
            truth["noise", "arm", str(i)] = shake
        T_cam_board = invert(T_board_cam)
        pixels = LENS.project(apply(T_cam_board, CORNERS)) + rng.normal(0, noise.pixel_px, (len(CORNERS), 2))
        sightings.append(Sighting("wrist", "b", i, CORNERS, pixels, T_cam_board))
    problem = Problem(
        ("arm",), {"wrist": Mount("arm")}, {"wrist": LENS}, {"b": Mount()}, known, tuple(sightings), noise
    )
    return problem, truth


def nudged(truth, size=0.02):
    return {key: T @ exp(np.full(6, size)) for key, T in truth.items() if key[0] != "noise"}


def test_derivatives_agree_with_finite_differences():
    problem, truth = wrist_case(np.random.default_rng(0), Noise(), poses=3)
    values = {key: T @ exp(np.full(6, 0.01)) for key, T in truth.items()}
    error, jacobians = _linearised(problem, problem.sightings[1], values)
    for key, J in jacobians.items():
        for axis in range(6):
            step = np.zeros(6)
            step[axis] = 1e-6
            moved = _linearised(problem, problem.sightings[1], {**values, key: values[key] @ exp(step)})[0]
            np.testing.assert_allclose((moved - error) / 1e-6, J[:, axis], rtol=1e-3, atol=1e-2)


def test_exact_data_give_the_exact_answer():
    problem, truth = wrist_case(np.random.default_rng(1), Noise(1e-9, 0, 0))
    problem = Problem(**{**problem.__dict__, "noise": Noise(0.3, 0, 0)})
    found = refine(problem, nudged(truth)).transforms
    assert np.abs(log(invert(truth["camera", "wrist"]) @ found["camera", "wrist"])).max() < 1e-8


@pytest.mark.parametrize("noise", [Noise(0.3, 0.0005, 0.0008), Noise(0.3, 0, 0)])
def test_errors_lie_on_the_statistical_bound(noise):
    rng, squared, bound = np.random.default_rng(2), [], []
    for _ in range(25):
        problem, truth = wrist_case(rng, noise)
        solution = refine(problem, nudged(truth, 0.005))
        error = log(invert(truth["camera", "wrist"]) @ solution.transforms["camera", "wrist"])
        matrix, columns = information(problem, truth)
        squared.append(error[:3] @ error[:3])
        bound.append(np.trace(np.linalg.inv(matrix)[columns["camera", "wrist"]][:3, columns["camera", "wrist"]][:, :3]))
    # 25 trials of 3 values: a ratio of mean squares lies within 0.6..1.5 in all but one case of a thousand.
    assert 0.6 < np.mean(squared) / np.mean(bound) < 1.5


def test_a_few_wild_corners_change_little():
    problem, truth = wrist_case(np.random.default_rng(3), Noise(0.3, 0, 0))
    first = problem.sightings[0]
    pixels = first.pixels.copy()
    pixels[:3] += 40
    wild = Sighting(first.camera, first.board, first.pose, first.points, pixels, first.T_cam_board)
    problem = Problem(**{**problem.__dict__, "sightings": (wild, *problem.sightings[1:])})
    found = refine(problem, nudged(truth, 0.005)).transforms["camera", "wrist"]
    assert np.linalg.norm(log(invert(truth["camera", "wrist"]) @ found)[:3]) < 0.0006


def test_both_wrists_the_head_and_the_second_base_are_found_in_one_graph():
    rng = np.random.default_rng(4)
    noise = Noise(0.3, 0, 0)
    truth = {
        ("camera", "left_wrist"): exp(rng.uniform(-0.1, 0.1, 6)),
        ("camera", "right_wrist"): exp(rng.uniform(-0.1, 0.1, 6)),
        ("board", "table"): exp(rng.uniform(-0.3, 0.3, 6)),
        ("base", "right"): exp(np.array([0.0, -0.67, 0, 0.02, 0.01, 0.1])),
    }
    truth["camera", "head"] = truth["board", "table"] @ looking_at_the_board(rng)
    bases = {"left": np.eye(4), "right": truth["base", "right"]}
    known, sightings = {}, []
    for i in range(10):
        for arm, camera in (("left", "left_wrist"), ("right", "right_wrist"), ("", "head")):
            T_base_cam = truth["board", "table"] @ looking_at_the_board(rng) if arm else truth["camera", "head"]
            if arm:
                known[arm, i] = invert(bases[arm]) @ T_base_cam @ invert(truth["camera", camera])
            T = invert(T_base_cam) @ truth["board", "table"]
            pixels = LENS.project(apply(T, CORNERS)) + rng.normal(0, 0.3, (len(CORNERS), 2))
            sightings.append(Sighting(camera, "table", i, CORNERS, pixels, T))
    cameras = {"left_wrist": Mount("left"), "right_wrist": Mount("right"), "head": Mount()}
    lenses = dict.fromkeys(cameras, LENS)
    problem = Problem(("left", "right"), cameras, lenses, {"table": Mount()}, known, tuple(sightings), noise)
    found = refine(problem, nudged(truth, 0.01))
    for key, T in truth.items():
        error = log(invert(T) @ found.transforms[key])
        # Squared error in units of its own covariance, 6 degrees of freedom: above 27 once in 10 000.
        assert error @ np.linalg.solve(found.covariance[key], error) < 27, key
        assert np.linalg.norm(error[:3]) < 0.005, key
    assert found.chi_square / found.freedom == pytest.approx(1, abs=0.15)
