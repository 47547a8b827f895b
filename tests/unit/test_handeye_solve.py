# SPDX-License-Identifier: Apache-2.0
"""The joint hand-eye solution: exact on exact data, on the statistical bound with noise, all cameras in one graph."""

from dataclasses import replace

import numpy as np
import pytest

from wam_ros.bench.staged_poses import three_cameras, wrist
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.handeye.problem import Noise
from wam_ros.core.handeye.solve import System, information, refine
from wam_ros.core.transforms import exp, invert, log


def nudged(truth, size=0.02):
    return {key: T @ exp(np.full(6, size)) for key, T in truth.items() if key[0] != "shake"}


def test_derivatives_agree_with_finite_differences():
    problem, truth = wrist(np.random.default_rng(0), Noise(), 3)
    values = {key: T @ exp(np.full(6, 0.01)) for key, T in truth.items()}
    system = System(problem, values)
    error, jacobians = system.linearised(1, values)
    for key, J in jacobians.items():
        for axis in range(6):
            step = np.zeros(6)
            step[axis] = 1e-6
            moved = system.linearised(1, {**values, key: values[key] @ exp(step)})[0]
            np.testing.assert_allclose((moved - error) / 1e-6, J[:, axis], rtol=1e-3, atol=1e-2)


def test_exact_data_give_the_exact_answer():
    problem, truth = wrist(np.random.default_rng(1), Noise(1e-9, 0, 0), 12)
    problem = replace(problem, noise=Noise(0.3, 0, 0))
    found = refine(problem, nudged(truth)).transforms
    assert np.abs(log(invert(truth["camera", "wrist"]) @ found["camera", "wrist"])).max() < 1e-8


@pytest.mark.parametrize("noise", [Noise(0.3, 0.0005, 0.0008), Noise(0.3, 0, 0)])
def test_errors_lie_on_the_statistical_bound(noise):
    rng, squared, bound = np.random.default_rng(2), [], []
    for _ in range(25):
        problem, truth = wrist(rng, noise, 12)
        solution = refine(problem, nudged(truth, 0.005))
        error = log(invert(truth["camera", "wrist"]) @ solution.transforms["camera", "wrist"])
        matrix, columns = information(problem, truth)
        squared.append(error[:3] @ error[:3])
        bound.append(np.trace(np.linalg.inv(matrix)[columns["camera", "wrist"]][:3, columns["camera", "wrist"]][:, :3]))
    # 25 trials of 3 values: a ratio of mean squares lies within 0.6..1.5 in all but one case of a thousand.
    assert 0.6 < np.mean(squared) / np.mean(bound) < 1.5


def test_a_few_wild_corners_change_little():
    problem, truth = wrist(np.random.default_rng(3), Noise(0.3, 0, 0), 12)
    first = problem.sightings[0]
    pixels = first.pixels.copy()
    pixels[:3] += 40
    wild = replace(first, pixels=pixels)
    problem = replace(problem, sightings=(wild, *problem.sightings[1:]))
    found = refine(problem, nudged(truth, 0.005)).transforms["camera", "wrist"]
    assert np.linalg.norm(log(invert(truth["camera", "wrist"]) @ found)[:3]) < 0.0006


def test_both_wrists_the_head_and_the_second_base_are_found_in_one_graph():
    problem, truth = three_cameras(np.random.default_rng(4), Noise(0.3, 0, 0), 10)
    found = refine(problem, nudged(truth, 0.01))
    for key, T in truth.items():
        error = log(invert(T) @ found.transforms[key])
        # Squared error in units of its own covariance, 6 degrees of freedom: above 27 once in 10 000.
        assert error @ np.linalg.solve(found.covariance_of(key), error) < 27, key
        assert np.linalg.norm(error[:3]) < 0.005, key
    assert found.chi_square / found.freedom == pytest.approx(1, abs=0.15)


def test_the_stated_error_counts_shakes_and_corners():
    problem, truth = wrist(np.random.default_rng(5), Noise(), 15)
    found = refine(problem, nudged(truth, 0.005))
    assert found.chi_square / found.freedom == pytest.approx(1, abs=0.15)
    assert sum(found.redundancy) == pytest.approx(found.freedom)


def test_what_the_poses_do_not_determine_is_refused():
    problem, truth = wrist(np.random.default_rng(6), Noise(0.3, 0, 0), 6)
    same = {key: problem.poses["arm", 0] for key in problem.poses}
    first = problem.sightings[0]
    sightings = tuple(replace(first, pose=pose) for pose in range(6))
    with pytest.raises(CalibrationError, match="two different axes"):
        refine(replace(problem, poses=same, sightings=sightings), nudged(truth, 0))


def test_a_robot_that_only_errs_in_one_way_is_refused():
    with pytest.raises(ConfigError, match="both"):
        Noise(0.3, 0.001, 0)
