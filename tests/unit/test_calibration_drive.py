# SPDX-License-Identifier: Apache-2.0
"""How a calibration leads arms: slowly, in straight lines, from rest to rest, clear of everything; and when it looks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.calibration.drive import OFFSETS_NS, Drive
from wam_ros.calibration.stillness import SETTLE_NS, Stillness
from wam_ros.core.passage import Passage
from wam_ros.core.rest import Rest
from wam_ros.core.types import JointState, Observation, View
from wam_ros.kinematics.routes import Routes

JOINTS = 3
LIMITS = (np.array([3.0, 3.0, 5.0]), np.array([10.0, 10.0, 15.0]), np.array([120.0, 120.0, 200.0]))
points = st.lists(st.lists(st.floats(-2, 2), min_size=JOINTS, max_size=JOINTS), min_size=2, max_size=4)


@settings(max_examples=15)
@given(points, st.floats(0.02, 1.0))
def test_a_passage_keeps_its_share_of_every_limit_and_leaves_no_line(way, share):
    passage = Passage([np.array(p) for p in way], LIMITS, share)
    time_s = np.linspace(0, passage.duration_s, 2001)
    rows = passage.at(time_s)
    step_s = time_s[1]
    for order, limit in enumerate(LIMITS[:2], start=1):
        fastest = np.abs(np.diff(rows, order, axis=0)).max(axis=0) / step_s**order
        assert (fastest <= share * limit * 1.01 + 1e-9 / step_s**order).all()
    assert np.allclose(rows[[0, -1]], [way[0], way[-1]], atol=1e-9)
    assert np.allclose(passage.at(np.array([-1.0, passage.duration_s + 1])), rows[[0, -1]])
    lines = [np.linspace(a, b, 400) for a, b in zip(np.array(way)[:-1], np.array(way)[1:], strict=True)]
    apart = np.abs(rows[::100, None] - np.concatenate(lines)[None]).max(axis=2).min(axis=1)
    assert apart.max() <= 4 / 400, "all joints keep one pace along a line"


def test_rest_begins_when_the_last_joint_has_stopped_and_names_who_moved():
    rest = Rest(("a", "b", "grip"), (True, True, False))
    assert rest.lasted_ns(5) == 0
    rest.feel(10, np.array([0.0, 0.0, 0.0]))
    rest.feel(20, np.array([0.0, 0.1, 0.0]))
    rest.feel(30, np.array([0.001, 0.1, 0.9]))
    assert (rest.since_ns, rest.mover, rest.lasted_ns(50)) == (20, "b", 30)
    rest.feel(40, np.array([0.0, np.nan, 0.0]))
    assert rest.since_ns == 40, "what is not known does not rest"


def test_a_slow_creep_is_no_rest():
    rest = Rest(("a",), (True,), 0.003)
    for tick in range(100):
        rest.feel(tick, np.array([0.0005 * tick]))
    assert rest.lasted_ns(99) < 10


def test_it_says_where_the_arms_shall_be_only_while_they_are_its_own(robot):
    drive, here = Drive(robot, 0.2), robot.ready_position()
    assert drive.chunk(0, 0) is None
    drive.take(here)
    drive.take(here + 1)
    resting = drive.chunk(0, 77)
    assert resting.stamp_ns == 77
    assert np.array_equal(resting.positions, np.tile(here, (len(OFFSETS_NS), 1)))
    goal = here + 0.3
    drive.set_out([here, goal], 1_000_000_000)
    assert drive.over_s(1_000_000_000) < 0
    begun = drive.chunk(1_000_000_000, 0)
    assert np.array_equal(begun.positions[0], here)
    assert (np.diff(begun.positions[:, 0]) > 0).all()
    assert np.allclose(drive.chunk(60_000_000_000, 0).positions, goal)
    drive.leave()
    assert not drive.under_way
    assert np.array_equal(drive.at, goal)
    drive.lose()
    assert drive.chunk(0, 0) is None


def observation(robot, stamp_ns, fresh=True) -> Observation:
    view = View(stamp_ns, np.zeros((2, 2, 3), np.uint8), fresh=fresh)
    joints = JointState(stamp_ns, robot.joint_names, robot.ready_position())
    return Observation(stamp_ns, {camera.name: view for camera in robot.cameras}, joints)


def test_only_pictures_of_a_rest_count_and_what_is_missing_is_said(robot):
    still, here = Stillness(robot, rest_s=0.3), robot.ready_position()
    there = here + 0.1 * (np.arange(len(here)) == 2)
    assert "expected joint feedback" in still.lack
    still.feel(0, here)
    still.feel(100_000_000, there)
    assert still.lack.startswith(f"{robot.joint_names[2]} moves")
    still.feel(500_000_000, there)
    assert "no picture of every camera" in still.lack
    for stamp_ns, fresh in ((100_000_000 + SETTLE_NS - 1, True), (400_000_000, False)):
        still.see(observation(robot, stamp_ns, fresh))
        assert "no picture of every camera" in still.lack
    still.see(observation(robot, 450_000_000))
    assert still.lack == ""
    assert still.newer_than(0)
    assert not still.newer_than(450_000_000)


def test_ways_are_clear_or_lead_through_the_ready_pose_or_there_is_none(robot):
    ready, everywhere = robot.ready_position(), lambda rows: np.ones(len(rows), dtype=bool)
    goal = ready + 0.1 * (np.arange(len(ready)) == 5)
    assert len(Routes(robot, everywhere).way(ready, goal)) == 2

    assert Routes(robot, lambda rows: np.zeros(len(rows), dtype=bool)).way(ready, goal) is None
    inside = Routes(robot, lambda rows: rows[:, 0] <= ready[0] + 0.05)
    outside = ready.copy()
    outside[0] += 0.4
    assert inside.way(outside, ready) is not None, "it may leave where it must not be"
    assert inside.way(ready, outside) is None
