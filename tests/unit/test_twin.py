# SPDX-License-Identifier: Apache-2.0
"""Laws of the twin's tracker and of the rhythm of its sensors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.files.assets import load_robot
from wam_ros.sim.bare import LAG_S, BareWorld
from wam_ros.sim.tracker import LIFETIME_NS, Tracker
from wam_ros.sim.twin import TRUTH_RATE_HZ, Rhythm, Twin

STEP_NS = 5_000_000
LEFT, RIGHT = slice(0, 2), slice(2, 4)
angles = st.floats(-3, 3)


def run(tracker: Tracker, measured: np.ndarray, start_ns: int, steps: int) -> np.ndarray:
    """References of some steps, (steps, J)."""
    return np.array([tracker.step(measured, start_ns + i * STEP_NS, STEP_NS) for i in range(1, steps + 1)])


@given(angles, angles, st.floats(0.1, 10))
def test_a_target_is_approached_at_its_speed_and_then_kept(start, target, speed):
    tracker = Tracker(np.full(4, start))
    tracker.command(LEFT, np.full(2, target), np.full(2, speed), 0)
    path = run(tracker, np.full(4, start), 0, LIFETIME_NS // STEP_NS)
    steps = np.abs(np.diff(np.vstack([np.full(4, start), path]), axis=0))
    assert (steps <= speed * 0.005 + 1e-12).all()
    reached = abs(target - start) <= speed * LIFETIME_NS / 1e9
    assert not reached or np.allclose(path[-1, LEFT], target)
    assert (path[:, RIGHT] == start).all()


@given(st.integers(1, 60))
def test_a_joint_that_hears_nothing_stays_where_it_then_is(steps_after):
    tracker = Tracker(np.zeros(4))
    tracker.command(LEFT, np.ones(2), np.ones(2), 0)
    tracker.command(RIGHT, np.ones(2), np.ones(2), 0)
    run(tracker, np.zeros(4), 0, LIFETIME_NS // STEP_NS)
    tracker.command(RIGHT, np.ones(2), np.ones(2), LIFETIME_NS)
    lagging = np.full(4, 0.1)
    path = run(tracker, lagging, LIFETIME_NS, min(steps_after, 40))
    assert (path[:, LEFT] == 0.1).all()
    assert (path[:, RIGHT] > 0.2).all()


def test_a_driver_that_keeps_the_last_target_for_ever_goes_there():
    tracker = Tracker(np.zeros(4), lifetime_ns=None)
    tracker.command(LEFT, np.ones(2), np.ones(2), 0)
    path = run(tracker, np.zeros(4), 0, 400)
    assert np.allclose(path[-1, LEFT], 1.0)
    assert (path[:, RIGHT] == 0).all()


@pytest.mark.parametrize("free_running", [False, True])
def test_cameras_of_a_free_running_twin_expose_apart_and_its_truth_has_a_pace_of_its_own(free_running):
    robot = load_robot("sim_ac_one")
    twin, pictures, truths = Twin(robot, None, 0, free_running=free_running), [], 0
    for n in range(200):
        twin.step(n * twin.world.step_ns)
        sensed = twin.sense()
        pictures.append(set(sensed.frames))
        truths += sensed.truth is not None
    names, rate_hz = {camera.name for camera in robot.cameras}, robot.cameras[0].rate_hz
    counts = [sum(name in shown for shown in pictures) for name in names]
    assert np.abs(np.subtract(counts, rate_hz)).max() <= 1, "of one second"
    assert max(map(len, pictures)) == (1 if free_running else len(names))
    assert abs(truths - (TRUTH_RATE_HZ if free_running else rate_hz)) <= 1


def test_depth_that_nobody_wants_is_not_drawn():
    robot = load_robot("sim_ac_one")
    twin = Twin(robot, None, 0)
    twin.wants_depth = lambda name: name != "head"
    twin.stand()
    drawn = {name: depth_m is not None for name, (_, depth_m) in twin.sense().frames.items()}
    assert drawn == {camera.name: camera.name != "head" for camera in robot.cameras}


def test_a_restart_forgets_all_targets():
    tracker = Tracker(np.zeros(4))
    tracker.command(LEFT, np.ones(2), np.ones(2), 0)
    tracker.restart(np.full(4, 0.5))
    assert (run(tracker, np.full(4, 0.5), 0, 10) == 0.5).all()


@given(st.sampled_from([7.5, 10, 15, 29.97, 30, 60, 200]), st.integers(0, 20_000))
def test_a_rhythm_keeps_its_rate_for_ever(rate_hz, steps):
    rhythm = Rhythm(rate_hz)
    times_s = np.arange(steps + 1) * 0.005
    due = sum(rhythm.due(i * STEP_NS) for i in range(steps + 1))
    assert abs(due - (times_s[-1] * rate_hz + 1)) <= 1


def test_the_first_of_a_rhythm_is_the_start_itself():
    rhythm = Rhythm(15)
    assert [i for i in range(60) if rhythm.due(i * STEP_NS)] == [0, 14, 27, 40, 54]


@given(st.integers(0, 30))
def test_a_command_counts_after_the_drivers_delay_and_for_its_lifetime_from_then(delay_steps):
    tracker = Tracker(np.zeros(4), delay_ns=delay_steps * STEP_NS)
    tracker.command(LEFT, np.ones(2), np.ones(2), 0)
    path = run(tracker, np.zeros(4), 0, delay_steps + LIFETIME_NS // STEP_NS)
    waits = max(delay_steps - 1, 0)
    assert (path[:waits, LEFT] == 0).all()
    assert (np.diff(path[waits:, 0]) > 0).all(), "it moves from then on, to the end of its lifetime"


def test_bare_arms_follow_as_the_simulated_servos_do_and_their_cameras_see_which_one_moves():
    real = load_robot("r1_lite")
    world = BareWorld(real)
    before = {camera.name: world.render(camera.name)[0] for camera in real.cameras}
    goal = np.array(world.joints())
    goal[0] += 0.2
    world.set_targets(goal)
    for _ in range(round(LAG_S * 1e9 / world.step_ns)):
        world.step()
    assert world.joints()[0] - (goal[0] - 0.2) == pytest.approx(0.2 * (1 - np.exp(-1)), rel=1e-6)
    moved = {name: bool((world.render(name)[0] != picture).any()) for name, picture in before.items()}
    assert moved == {"head": False, "left_wrist": True, "right_wrist": False}
