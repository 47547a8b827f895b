# SPDX-License-Identifier: Apache-2.0
"""When the policy infers and when its chunks land, with a worker that answers when it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backend_conformance import restamped
from wam_ros.core.rows import committed_rows, row_times_ns
from wam_ros.core.types import Chunk, Trajectory
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.policies.base import example_request
from wam_ros.policies.cycle import Cycle

POLICY, ROBOT = load_policy("hold"), load_robot("sim_r1_lite")
EXAMPLE = example_request(POLICY, ROBOT, load_task("towel_fold"))
FRAME_NS = round(1e9 / 15)
STRIDE_FRAMES = POLICY.execute_rows  # rows and frames both come at 15 Hz


class Desk:
    """A worker without a thread: `answer` finishes the request in work."""

    def __init__(self) -> None:
        self.request, self.finished, self.asked, self.resets = None, False, [], 0

    @property
    def idle(self):
        return self.request is None

    @property
    def capture_ns(self):
        return None if self.request is None else self.request.observation.stamp_ns

    def submit(self, request):
        assert self.idle
        self.request, self.finished = request, False
        self.asked.append(request.observation.stamp_ns)

    def answer(self):
        self.finished = self.request is not None

    def take(self):
        if not self.finished:
            return None
        request, self.request, self.finished = self.request, None, False
        joints = request.observation.joints
        return Chunk.at_rate(request.observation.stamp_ns, joints.names, np.tile(joints.position, (32, 1)), 15)

    def reset(self):
        self.request, self.finished, self.resets = None, False, self.resets + 1


def rig(declared_ns: int = 0) -> tuple[Desk, Cycle]:
    desk = Desk()
    return desk, Cycle(desk, POLICY, 15.0, declared_ns)


def frame(number: int, jitter_ns: int = 0):
    return restamped(EXAMPLE, 10**10 + number * FRAME_NS + jitter_ns).observation


def make(observation):
    return replace(EXAMPLE, observation=observation)


def see_and_begin(cycle: Cycle, number: int, jitter_ns: int = 0) -> bool:
    cycle.see(frame(number, jitter_ns))
    return cycle.begin(make) is not None


def test_the_first_observation_is_taken_at_once():
    _, cycle = rig()
    assert see_and_begin(cycle, 0)


@given(st.lists(st.integers(-4_000_000, 4_000_000), min_size=40, max_size=40))
def test_a_quick_model_infers_every_stride_however_the_frames_jitter(jitters_ns):
    desk, cycle = rig()
    begun = []
    for number, jitter_ns in enumerate(jitters_ns):
        if see_and_begin(cycle, number, jitter_ns):
            begun.append(number)
            desk.answer()
            cycle.land(frame(number).stamp_ns + 30_000_000)
    assert begun == list(range(0, 40, STRIDE_FRAMES))
    assert cycle.dropped == 0


def test_a_slow_model_starts_from_the_first_frame_after_its_chunk_has_landed():
    desk, cycle = rig()
    see_and_begin(cycle, 0)
    for number in range(1, 13):
        assert not see_and_begin(cycle, number)
    desk.answer()
    landed_ns = frame(12).stamp_ns + 1_000_000
    assert cycle.land(landed_ns).stamp_ns == frame(0).stamp_ns
    assert cycle.begin(make) is None, "frame 12 was captured before motion knew the chunk"
    assert see_and_begin(cycle, 13)
    assert cycle.dropped == 12 - STRIDE_FRAMES


@given(st.integers(0, 10**9), st.integers(0, 2 * 10**9))
def test_a_chunk_lands_when_it_is_there_and_not_before_it_is_due(declared_ns, passed_ns):
    desk, cycle = rig(declared_ns)
    see_and_begin(cycle, 0)
    now_ns = frame(0).stamp_ns + passed_ns
    assert cycle.wait_ns(now_ns) is None
    desk.answer()
    assert cycle.wait_ns(now_ns) == max(0, declared_ns - passed_ns)
    assert cycle.is_due(now_ns) == (passed_ns >= declared_ns)


def test_a_reset_throws_away_what_is_in_work_and_starts_at_once():
    desk, cycle = rig()
    see_and_begin(cycle, 0)
    cycle.reset()
    assert desk.resets == 1
    assert cycle.due_ns is None
    assert see_and_begin(cycle, 1)


def test_an_observation_that_came_before_the_reset_is_still_the_newest():
    """In lockstep the first sensors come while time rests, maybe before the news that all was disarmed."""
    desk, cycle = rig()
    see_and_begin(cycle, 0)
    cycle.see(frame(1))
    cycle.reset()
    assert cycle.begin(make) is not None
    assert desk.asked[-1] == frame(1).stamp_ns


def test_who_is_in_a_hurry_infers_from_the_newest_view_and_still_lands_what_is_in_work():
    desk, cycle = rig()
    see_and_begin(cycle, 0)
    desk.answer()
    cycle.land(frame(1).stamp_ns)
    assert not see_and_begin(cycle, 2), "the stride is not over"
    cycle.hurry()
    assert cycle.begin(make) is not None
    assert not see_and_begin(cycle, 3)
    cycle.hurry()
    assert not see_and_begin(cycle, 4), "one at a time"
    desk.answer()
    assert cycle.land(frame(4).stamp_ns + 1).stamp_ns == frame(2).stamp_ns
    assert see_and_begin(cycle, 5)
    assert desk.asked == [frame(number).stamp_ns for number in (0, 2, 5)]


def test_pictures_are_expected_only_between_two_inferences():
    desk, cycle = rig()
    assert not cycle.expects(frame(0).stamp_ns), "nobody has asked for a chunk yet"
    see_and_begin(cycle, 0)
    assert not cycle.expects(frame(8).stamp_ns), "the model is at work"
    desk.answer()
    cycle.land(frame(1).stamp_ns)
    assert not cycle.expects(frame(7).stamp_ns)
    assert cycle.expects(frame(8).stamp_ns)


def test_cameras_whose_clock_goes_back_do_not_silence_the_policy():
    desk, cycle = rig()
    see_and_begin(cycle, 1000)
    desk.answer()
    cycle.land(frame(1001).stamp_ns)
    assert see_and_begin(cycle, 3)


def test_committed_rows_lie_at_the_times_of_the_coming_rows():
    names = ROBOT.joint_names
    times_ns = tuple(10**18 + k * 10_000_000 for k in range(51))
    ramp = np.outer(np.arange(51) * 0.01, np.ones(len(names)))
    committed = Trajectory(names, times_ns, ramp, np.ones_like(ramp), np.zeros_like(ramp))
    wanted = row_times_ns(10**18 + 3_000_000, 15, 32)
    rows = committed_rows(committed, wanted)
    assert rows.times_ns == wanted[:7], "after the end of the motion nothing is committed"
    expected = [(t - 10**18) / 1e9 for t in wanted[:7]]
    assert rows.positions[:, 0] == pytest.approx(expected, abs=1e-9)


def test_rows_before_the_committed_motion_begins_get_its_first_point():
    names = ROBOT.joint_names
    committed = Trajectory(
        names, (200, 300), np.array([[1.0] * len(names), [2.0] * len(names)]), np.zeros((2, len(names)))
    )
    assert committed_rows(committed, (100, 250)).positions[:, 0].tolist() == [1.0, 1.5]
    assert committed_rows(committed, (400,)) is None


@given(
    st.lists(st.integers(1, 10**8), min_size=1, max_size=30),
    st.lists(st.integers(-(10**8), 4 * 10**9), min_size=1, max_size=20),
)
def test_committed_rows_are_interpolated_linearly(gaps_ns, asked_ns):
    start_ns = 17 * 10**17
    knots = np.cumsum([0, *gaps_ns])
    values = np.sin(knots / 1e7)[:, None].repeat(len(ROBOT.joint_names), axis=1)
    committed = Trajectory(ROBOT.joint_names, tuple(start_ns + int(k) for k in knots), values, values, values)
    wanted = sorted(set(asked_ns))
    inside = [t for t in wanted if t <= knots[-1]]
    rows = committed_rows(committed, [start_ns + t for t in wanted])
    if not inside:
        assert rows is None
        return
    assert rows.times_ns == tuple(start_ns + t for t in inside)
    assert np.allclose(rows.positions[:, 0], np.interp(inside, knots, values[:, 0]))
