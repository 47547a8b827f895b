# SPDX-License-Identifier: Apache-2.0
"""How late devices are is found from what they did, or it is said why not; what is found is added to a robot's file."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from wam_ros import calibrate_latency
from wam_ros.calibration.lateness import CameraClock, Findings, Motion, by_screen, measure_joints
from wam_ros.core.board import Board, Optics
from wam_ros.core.clock_code import PERIOD_MS
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.latency import irregular_motion
from wam_ros.core.transforms import invert
from wam_ros.files.calibration import CalibrationFile, load, save, with_latencies
from wam_ros.kinematics.viewpoints import Viewpoints

TIME_S = np.arange(0.0, 20.0, 0.01)
DATE = "2026-01-01T12:00:00+00:00"
OPTICS = Optics(640, 480, 430.0, 430.0, 320.0, 240.0)


def wiggled(robot, late_s, arms=slice(None)) -> Motion:
    """Commands that wiggle some joints, and arms that follow late."""
    told = np.tile(np.where(robot.gripper_mask, 0.5, robot.ready_position()), (len(TIME_S), 1))
    for joint in range(told.shape[1])[arms]:
        told[:, joint] += irregular_motion(TIME_S, 0.3 if robot.gripper_mask[joint] else 0.1, joint)
    done = CubicSpline(TIME_S, told)(np.maximum(TIME_S - late_s, 0.0))
    return Motion(TIME_S, done + np.random.default_rng(0).normal(0, 2e-4, done.shape), TIME_S, told)


def test_arms_and_grippers_are_timed_each_for_itself_and_what_did_not_move_is_named(robot):
    findings = Findings()
    measure_joints(robot, wiggled(robot, 0.083, slice(0, 7)), DATE, findings)
    assert set(findings.found) == {"arm left", "gripper left"}
    for late in findings.found.values():
        assert late.latency_s == pytest.approx(0.083, abs=0.002)
        assert late.interval_s < 0.002
    assert "no joint was moved" in findings.lost["arm right"]


@pytest.mark.parametrize("late_s", [0.012, 0.047, -0.03])
def test_a_camera_of_30_hz_before_a_board_is_timed_to_2_ms_by_its_arms_motion(robot, late_s):
    views, motion = Viewpoints(robot), wiggled(robot, 0.0)
    clock = CameraClock(robot, "left_wrist", OPTICS, Board(), views)
    ready = views.camera_pose(robot.ready_position(), "left_wrist")
    place = (ready @ np.array([0.02, -0.01, 0.25, 1.0]))[:3]
    frames_s, rng = np.arange(0.2, 19.8, 1 / 30), np.random.default_rng(1)
    joints = CubicSpline(TIME_S, motion.measured)(frames_s)
    for time_s, position in zip(frames_s, joints, strict=True):
        point = (invert(views.camera_pose(position, "left_wrist")) @ np.append(place, 1.0))[:3]
        clock._seen.append((time_s + late_s, point + rng.normal(0, 3e-4, 3)))
    delay, method = clock.delay(motion)
    assert method == "motion"
    assert delay.delay_s == pytest.approx(late_s, abs=0.002)
    assert delay.interval_s < 0.002


def test_a_camera_that_no_arm_carries_wants_the_clock_on_a_screen(robot):
    clock = CameraClock(robot, "head", OPTICS, Board(), Viewpoints(robot))
    delay, _ = clock.delay(wiggled(robot, 0.0))
    assert isinstance(delay, CalibrationError)
    assert "no arm carries it" in str(delay)
    assert "wam calibrate clock" in str(delay)


def shown(late_s, count=300, rate_hz=29.3, refresh_hz=60.0):
    """Stamps of pictures, and the times on a screen that is drawn anew with every refresh."""
    exposed_s = 1e3 + np.arange(count) / rate_hz
    drawn_ms = np.round(np.floor(exposed_s * refresh_hz + 0.3) / refresh_hz * 1e3 - 300 / refresh_hz).astype(int)
    return list(zip(exposed_s + late_s, (drawn_ms % PERIOD_MS).tolist(), strict=True))


@pytest.mark.parametrize("late_s", [0.004, 0.0335, 0.21])
def test_a_screen_times_a_camera_to_2_ms_also_when_some_pictures_are_read_wrongly(late_s):
    pairs = shown(late_s)
    pairs[::40] = [(stamp_s, (ms + 400_000) % PERIOD_MS) for stamp_s, ms in pairs[::40]]
    found = by_screen(pairs)
    assert found.delay_s == pytest.approx(late_s, abs=0.002)
    assert found.interval_s < 0.002


def test_a_camera_that_beats_with_the_screen_is_timed_less_well_and_it_says_so():
    found = by_screen(shown(0.05, rate_hz=30.0))
    assert 0.002 < found.interval_s < 1 / 60
    assert abs(found.delay_s - 0.05) <= found.interval_s


def test_two_clocks_and_too_few_pictures_are_refused():
    with pytest.raises(CalibrationError, match="synchronise their clocks"):
        by_screen(shown(30.0))
    with pytest.raises(CalibrationError, match="in 20 pictures, 30 wanted"):
        by_screen(shown(0.05, count=20))


def options(**given) -> Namespace:
    asked = {"file": None, "auto": False, "robot": "sim_r1_lite", "out": None, "episode": 0, "seconds": 6.0}
    return Namespace(**{**asked, "late_ms": 0.0, "seed": 0, **given})


def test_what_is_found_is_added_to_the_robots_file_and_a_strangers_file_is_left_alone(tmp_path, monkeypatch, robot):
    findings = Findings()
    measure_joints(robot, wiggled(robot, 0.05), DATE, findings)
    monkeypatch.setattr(calibrate_latency, "from_twin", lambda *_: findings)
    path = tmp_path / "cell.yaml"
    said = calibrate_latency.command(options(auto=True, out=path), Board())
    assert said[-1] == f"saved {path}"
    assert any(line.startswith("arm left: 50.") or line.startswith("arm left: 49.") for line in said)
    first = load(path)
    findings.found = {"head": replace(findings.found["arm left"], latency_s=0.02)}
    calibrate_latency.command(options(auto=True, out=path), Board())
    assert load(path).latencies == {**first.latencies, **findings.found}
    save(with_latencies(CalibrationFile("another", DATE), {}), path)
    with pytest.raises(CalibrationError, match="expected sim_r1_lite, got another"):
        calibrate_latency.command(options(auto=True, out=path), Board())
    with pytest.raises(ConfigError, match="a recorded dataset"):
        calibrate_latency.command(options(), Board())


def test_a_twin_whose_commands_and_stamps_are_late_by_a_known_time_is_measured(robot):
    pytest.importorskip("mujoco", reason="no MuJoCo in this environment")
    from wam_ros.files.assets import find, load_task
    from wam_ros.sim.late_cell import Lags, LateCell

    task, lateness = load_task(str(find("config/calibration.yaml"))), []
    for late_s in (0.0, 0.04):
        cell = LateCell(robot, task, robot.ready_position(), Lags(command_s=late_s))
        played = cell.play(5.0, lambda *_: None)
        cell.close()
        findings = Findings()
        measure_joints(
            robot, Motion(played.measured_s, played.measured, played.commanded_s, played.commanded), DATE, findings
        )
        assert not findings.lost
        lateness.append(findings.found)
    for device, without in lateness[0].items():
        added_s = lateness[1][device].latency_s - without.latency_s
        assert added_s == pytest.approx(0.04, abs=0.002), device


def test_a_recorded_episode_times_the_arms_and_says_why_not_the_camera(tmp_path, robot):
    pytest.importorskip("av", reason="no video here")
    from tests.unit.dataset_support import PERIOD_NS, START_NS, pictures_of, row_at, small
    from wam_ros.core.episode import layout_of, values_of
    from wam_ros.files.dataset.dataset import Dataset
    from wam_ros.files.dataset.video import H264

    twin = small(replace(robot, cameras=(robot.camera("left_wrist"),), leader_camera="left_wrist"))
    layout, motion = layout_of(twin, depth=False, archive_depth=False), wiggled(robot, 0.07)
    done, told = CubicSpline(TIME_S, motion.measured), CubicSpline(TIME_S, motion.commanded)
    dataset = Dataset(tmp_path / "set", layout, twin, H264)
    episode = dataset.begin(room=10_000)
    for frame in range(round(9e9 / PERIOD_NS)):
        row = row_at(twin, frame)
        time_s = (row.stamp_ns - START_NS) / 1e9
        row = replace(row, state=done(time_s), action=told(time_s + PERIOD_NS / 1e9), depths={})
        assert episode.append({**values_of(row, twin, layout.cameras), "instruction": "move"}, pictures_of(layout, row))
    dataset.close(episode)
    dataset.release()
    findings = calibrate_latency.from_recording(tmp_path / "set", 0, twin, Board(), DATE)
    for device in ("arm left", "gripper left", "arm right", "gripper right"):
        assert findings.found[device].latency_s == pytest.approx(0.07, abs=0.003), device
    assert "no camera_info" in findings.lost["left_wrist"]


def test_the_command_line_writes_the_clock_and_asks_for_a_recording(tmp_path, capsys):
    from wam_ros import cli

    page = tmp_path / "clock.html"
    assert cli.main(["calibrate", "clock", "--out", str(page)]) == cli.OK
    assert str(page) in capsys.readouterr().out
    assert "requestAnimationFrame" in page.read_text()
    assert cli.main(["calibrate", "latency", "--robot", "sim_r1_lite"]) == cli.MISTAKE
    said = capsys.readouterr().err
    assert "expected a recorded dataset" in said
    assert said.count("\n") == 1
