# SPDX-License-Identifier: Apache-2.0
"""A calibration is right and knows how right it is, or it is refused with the mistake's name."""

from dataclasses import replace

import numpy as np
import pytest

from wam_ros.bench.staged_poses import bad_sets, three_cameras, with_board_moved, with_board_size, wrist
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.calibrate import calibrate
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Mount, Noise, Pinhole
from wam_ros.core.handeye.size import size_factor
from wam_ros.core.handeye.verify import require_verified, verify
from wam_ros.core.transforms import exp, invert, log

CAMERA = ("camera", "wrist")
NAMES = {
    "too_few": "at least 8 poses",
    "no_turn": "hardly turn",
    "one_axis": r"turn about one axis, .* in the tool's frame, .* tilt by 30 degrees about",
    "one_tilt_axis": r"turn about one axis, .* in the tool's frame, .* tilt by 30 degrees about",
    "hardly_any_motion": "hardly turn",
    "millimetres": "millimetres must be divided by 1000",
    "board_size": "times as large as stated",
    "inverted_robot": "T_tool_base or T_board_cam was given",
    "shuffled": "of the same moment",
    "board_moved_half_way": "the board was moved",
}


@pytest.fixture(scope="module")
def bad():
    return [bad_sets(np.random.default_rng(seed)) for seed in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_set_is_refused_by_the_name_of_its_mistake(name, bad):
    for sets in bad:
        with pytest.raises(CalibrationError, match=NAMES[name]):
            calibrate(sets[name])


def test_a_good_set_is_accepted_and_right():
    problem, truth = wrist(np.random.default_rng(1), Noise(), 15)
    found = calibrate(problem)
    error = log(invert(truth[CAMERA]) @ found.solution.transforms[CAMERA])
    assert error @ np.linalg.solve(found.solution.covariance_of(CAMERA), error) < 27
    assert found.rejected == ()
    assert found.solution.region(CAMERA).radii_m[0] < 0.003


def test_the_world_frame_changes_neither_result_nor_error():
    problem, _ = wrist(np.random.default_rng(12), Noise(), 12)
    moved = exp(np.array([1.0, -2.0, 0.5, 0.3, -0.8, 1.1]))
    here, there = (
        calibrate(replace(problem, poses={key: G @ T for key, T in problem.poses.items()})).solution
        for G in (np.eye(4), moved)
    )
    np.testing.assert_allclose(here.transforms[CAMERA], there.transforms[CAMERA], atol=1e-5)
    np.testing.assert_allclose(here.covariance_of(CAMERA), there.covariance_of(CAMERA), rtol=1e-2, atol=1e-12)


def test_the_noise_is_found_when_it_is_not_as_stated():
    problem, truth = wrist(np.random.default_rng(2), Noise(0.6, 0.002, 0.004), 25)
    found = calibrate(replace(problem, noise=Noise(0.2, 0.0003, 0.0005))).solution
    assert found.noise.pixel_px == pytest.approx(0.6, rel=0.1)
    assert found.noise.robot_m == pytest.approx(0.002, rel=0.4)
    assert found.noise.robot_rad == pytest.approx(0.004, rel=0.3)
    error = log(invert(truth[CAMERA]) @ found.transforms[CAMERA])
    assert error @ np.linalg.solve(found.covariance_of(CAMERA), error) < 27


def test_a_board_that_was_moved_is_left_out_and_reported():
    problem, truth = wrist(np.random.default_rng(3), Noise(), 20)
    found = calibrate(with_board_moved(problem, range(15, 20), 0.012))
    assert found.rejected == (15, 16, 17, 18, 19)
    assert [m.board for m in found.moved] == ["table"]
    assert found.moved[0].shift_m == pytest.approx(0.0126, abs=0.002)
    assert found.moved[0].poses == (15, 16, 17, 18, 19)
    assert np.linalg.norm(log(invert(truth[CAMERA]) @ found.solution.transforms[CAMERA])[:3]) < 0.003


def test_swapped_cameras_are_named():
    problem, _ = three_cameras(np.random.default_rng(4), Noise(), 12)
    swap = {"left_wrist": "right_wrist", "right_wrist": "left_wrist", "head": "head"}
    sightings = tuple(replace(s, camera=swap[s.camera]) for s in problem.sightings)
    with pytest.raises(CalibrationError, match=r"cameras (left|right)_wrist and (left|right)_wrist are swapped"):
        calibrate(replace(problem, sightings=sightings))


# A flat board seems to be seen from behind; a checkerboard's mirror image is the checkerboard itself.
@pytest.mark.parametrize("back", [np.diag([1.0, 1, -1, 1]), np.diag([-1.0, 1, 1, 1])], ids=["markers", "checkerboard"])
def test_mirrored_pictures_are_named(back):
    problem, _ = wrist(np.random.default_rng(5), Noise(), 12)
    M = np.diag([-1.0, 1, 1, 1])
    sightings = tuple(replace(s, T_cam_board=M @ s.T_cam_board @ back) for s in problem.sightings)
    with pytest.raises(CalibrationError, match="mirrored"):
        calibrate(replace(problem, sightings=sightings))


def test_board_poses_that_are_inverted_are_named():
    problem, _ = wrist(np.random.default_rng(13), Noise(), 12)
    sightings = tuple(replace(s, T_cam_board=invert(s.T_cam_board)) for s in problem.sightings)
    with pytest.raises(CalibrationError, match="T_tool_base or T_board_cam was given"):
        calibrate(replace(problem, sightings=sightings))


def test_a_board_in_millimetres_is_named():
    problem, _ = wrist(np.random.default_rng(6), Noise(), 12)
    with pytest.raises(CalibrationError, match="millimetres"):
        calibrate(with_board_size(problem, 1000))


def test_robot_poses_that_lag_a_picture_behind_are_named():
    problem, _ = wrist(np.random.default_rng(7), Noise(), 14)
    late = {("arm", i): problem.poses["arm", max(i - 1, 0)] for i in range(14)}
    with pytest.raises(CalibrationError, match="picture"):
        calibrate(replace(problem, poses=late))


def test_an_arm_that_is_tied_to_nothing_is_named():
    problem, _ = three_cameras(np.random.default_rng(8), Noise(), 9)
    apart = tuple(replace(s, board="shelf") if s.camera == "right_wrist" else s for s in problem.sightings)
    with pytest.raises(CalibrationError, match="nothing ties base right, board shelf"):
        calibrate(replace(problem, sightings=apart, boards={"table": Mount(), "shelf": Mount()}))


def test_a_calibration_that_stays_uncertain_is_refused_with_the_direction():
    problem, _ = wrist(np.random.default_rng(9), Noise(0.3, 0.004, 0.01), 9)
    with pytest.raises(CalibrationError, match=r"only known to .* wanted; add poses"):
        calibrate(problem, Demands(error_m=0.005))


def test_three_cameras_and_two_bases_come_out_of_one_problem():
    problem, truth = three_cameras(np.random.default_rng(10), Noise(), 12)
    solution = calibrate(problem).solution
    for key, T in truth.items():
        error = log(invert(T) @ solution.transforms[key])
        assert error @ np.linalg.solve(solution.covariance_of(key), error) < 30, key
    factor, sigma = size_factor(replace(problem, noise=solution.noise), solution)
    assert abs(factor - 1) < 4 * sigma < 0.02


def test_a_fixed_camera_and_a_board_on_the_tool_are_found_too():
    rng, noise = np.random.default_rng(11), Noise()
    problem, truth = wrist(rng, noise, 14)
    # Seen from the board the camera moves: the same sightings with the roles of base and tool exchanged.
    turned = replace(
        problem,
        cameras={"wrist": Mount()},
        boards={"table": Mount("arm")},
        poses={key: invert(T) for key, T in problem.poses.items()},
    )
    lens = problem.lenses["wrist"]
    assert isinstance(lens, Pinhole)
    solution = calibrate(turned).solution
    error = log(invert(truth[CAMERA]) @ solution.transforms[CAMERA])
    assert np.linalg.norm(error[:3]) < 0.004


def test_held_out_poses_confirm_an_honest_calibration():
    ratios = []
    for seed in range(4):
        problem, _ = wrist(np.random.default_rng(20 + seed), Noise(), 20)
        solution = calibrate(problem.only(range(15))).solution
        verification = verify(problem.only(range(15, 20)), solution)
        assert verification.passed
        ratios.append(verification.rms_m / verification.expected_m)
    assert 0.7 < np.mean(ratios) < 1.4


def test_a_lens_that_errs_a_little_in_each_picture_is_no_reason_to_refuse():
    """Corners of one picture err together, by hundredths of a pixel: the noise is told by poses, not by corners."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        problem, _ = wrist(rng, Noise(0.03, 1e-7, 1e-7), 11)
        seen = []
        for sighting in problem.sightings:
            from_middle = (sighting.pixels - sighting.pixels.mean(axis=0)) / 150
            bent, shifted = rng.normal(0, 0.03, (2, 2)), rng.normal(0, 0.03, 2)
            seen.append(replace(sighting, pixels=sighting.pixels + from_middle @ bent + shifted))
        problem = replace(problem, sightings=tuple(seen))
        solution = calibrate(problem.only(range(9)), Demands(poses=5)).solution
        verification = verify(problem.only(range(9, 11)), solution)
        assert verification.passed, (seed, verification)
        assert verification.limit < 16


def test_held_out_poses_contradict_a_wrong_calibration():
    problem, _ = wrist(np.random.default_rng(30), Noise(), 20)
    solution = calibrate(problem.only(range(15))).solution
    wrong = {**solution.transforms, CAMERA: solution.transforms[CAMERA] @ exp(np.r_[0.006, 0, 0, 0, 0, 0.02])}
    verification = verify(problem.only(range(15, 20)), replace(solution, transforms=wrong))
    assert not verification.passed
    with pytest.raises(CalibrationError, match="nothing was saved"):
        require_verified(verification, Demands())
