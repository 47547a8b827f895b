# SPDX-License-Identifier: Apache-2.0
"""Takeover and hand-back on fake time, with the real splicer: no step, no surprise, no two leaders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_stage import BOUNDS, READY, ROBOT, TICK_NS, VELOCITY, Rig, assert_within_limits
from wam_ros.core.control import Control
from wam_ros.core.limits import Limits
from wam_ros.core.safety import POLICY, TELEOP, State
from wam_ros.core.seams import violations
from wam_ros.core.types import Chunk
from wam_ros.motion.splicer import Splicer
from wam_ros.motion.stage import MotionStage
from wam_ros.teleoperation.lead import ahead

ARMS = ~np.array(ROBOT.gripper_mask)
PERIOD_NS = 5 * TICK_NS
SEAM = 1e-6


class Shared(Rig):
    """A stage whose policy and person both speak all the time.

    Attributes:
        person: (J,) where the person wants the arms; None while he has let go.
    """

    def __init__(self, method="governed") -> None:
        super().__init__()
        self.stage = MotionStage(Splicer.for_robot(ROBOT, method=method), ROBOT, BOUNDS)
        self.person: np.ndarray | None = None

    def wish(self, velocity=None) -> bool:
        assert self.person is not None
        still = np.zeros(len(READY)) if velocity is None else velocity
        chunk = ahead(self.now_ns, ROBOT.joint_names, self.person, still)
        return self.stage.on_chunk(chunk, self.now_ns, TELEOP)

    def step(self):
        if self.person is not None and self.now_ns % PERIOD_NS == 0:
            self.wish()
        return super().step()

    def policy(self, reach_rad=0.6) -> bool:
        return self.chunk(0, reach_rad)

    @property
    def here(self) -> np.ndarray:
        return self.sent[-1]

    def take_over(self):
        self.person = self.here.copy()
        self.wish()
        return self.stage.take_over(self.now_ns)


@pytest.fixture
def shared() -> Shared:
    rig = Shared()
    rig.run(0.05)
    assert rig.policy()
    rig.safety = State.RUNNING
    rig.run(0.7)
    return rig


def assert_no_seam(rig: Shared) -> None:
    done = rig.stage._splicer.statistics
    assert done.seam_step_rad_max <= SEAM
    assert done.seam_step_rad_s_max <= SEAM
    sent = np.array(rig.sent)[:, ARMS]
    limits = Limits(*(np.asarray(x)[ARMS] for x in (*ROBOT.bounds(), *ROBOT.motion_limits())))
    assert violations(sent, TICK_NS / 1e9, limits) == 0


def test_taken_over_in_full_motion_and_handed_back_there_is_no_seam(shared):
    assert abs(shared.sent[-1] - shared.sent[-2]).max() > 1e-3
    assert shared.take_over().granted
    shared.run(0.4)
    shared.person[0] += 0.15
    shared.run(0.6)
    assert np.allclose(shared.here[ARMS], shared.person[ARMS], atol=0.02)
    assert shared.stage.hand_back().granted
    shared.person = None
    assert shared.policy(-0.5)
    shared.run(2.5)
    assert_no_seam(shared)
    assert shared.stage.fault == ""


def test_the_arms_go_where_the_person_goes_a_fifth_of_a_second_behind(shared):
    assert shared.take_over().granted
    start, times, wanted, got = shared.person.copy(), [], [], []
    for k in range(600):
        angle = 2 * np.pi * 0.4 * k * 0.01
        shared.person = start + 0.2 * np.sin(angle) * (np.arange(len(READY)) == 0)
        if shared.now_ns % PERIOD_NS == 0:
            shared.wish(0.2 * 2 * np.pi * 0.4 * np.cos(angle) * (np.arange(len(READY)) == 0))
        Rig.step(shared)
        times.append(k * 0.01)
        wanted.append(shared.person[0])
        got.append(shared.here[0])
    behind = np.argmin([np.mean((np.array(got)[200:] - np.array(wanted)[200 - d : 600 - d]) ** 2) for d in range(100)])
    assert behind * 0.01 <= 0.22
    assert_no_seam(shared)


def test_while_a_person_leads_the_policy_is_ignored_and_counted(shared):
    assert shared.take_over().granted
    shared.run(0.8)
    before = shared.here.copy()
    for _ in range(4):
        assert not shared.policy(0.8)
        shared.run(0.3)
    assert np.allclose(shared.here, before, atol=1e-3)
    assert shared.stage.account()["ignored_policy"] == 4
    assert shared.stage.account()["source"] == TELEOP


def test_while_the_policy_leads_a_person_moves_nothing(shared):
    shared.run(2.5)
    before = shared.here.copy()
    shared.person = before + 0.1
    shared.run(0.5)
    assert np.array_equal(shared.here, before)


def test_a_person_who_lets_go_leaves_the_arms_at_rest_and_in_his_hands(shared):
    assert shared.take_over().granted
    shared.run(0.2)
    shared.person = None
    shared.run(1.5)
    assert np.array_equal(shared.here, shared.sent[-20])
    assert shared.stage.control.source == TELEOP
    assert not shared.policy()
    assert shared.stage.fault == ""
    assert_no_seam(shared)


def test_a_leader_that_is_far_away_is_refused_with_joint_and_difference(shared):
    shared.run(2.5)
    shared.person = shared.here.copy()
    shared.person[2] += 0.31
    shared.wish()
    answer = shared.stage.take_over(shared.now_ns)
    assert not answer.granted
    assert f"{ROBOT.joint_names[2]} of the leader is +0.31 rad from the robot's, expected at most 0.2" in answer.text
    assert shared.stage.control.source == POLICY


def test_a_gripper_that_differs_is_no_obstacle(shared):
    shared.run(2.5)
    shared.person = shared.here.copy()
    shared.person[~ARMS] = 0.0
    shared.wish()
    assert shared.stage.take_over(shared.now_ns).granted


def test_nobody_there_means_no_takeover(shared):
    assert "expected a fresh chunk on teleop/chunk, got none" in shared.stage.take_over(shared.now_ns).text
    shared.person = shared.here.copy()
    shared.wish()
    shared.person = None
    shared.run(1.0)
    assert not shared.stage.take_over(shared.now_ns).granted


def test_a_leader_of_other_joints_is_named():
    control = Control(("a", "b"), (False, False), 0.2)
    control.follows(TELEOP, Chunk(0, ("a", "x"), np.zeros((1, 2)), (10,)))
    assert "expected the joints a, b, got a, x" in control.take_over(np.zeros(2), 0).text
    assert "expected joint feedback, got none" in control.take_over(None, 0).text


def test_both_ways_twice_is_once(shared):
    assert shared.stage.hand_back().text == "the policy leads already"
    assert shared.take_over().text == "teleop leads"
    assert shared.stage.take_over(shared.now_ns).text == "teleop leads already"
    assert shared.stage.hand_back().text == "the policy leads"
    assert shared.stage.account()["takeovers"] == 1


def test_control_stays_where_it_is_when_the_robot_is_disarmed(shared):
    assert shared.take_over().granted
    shared.safety = State.DISARMED
    shared.run(2.0)
    shared.safety = State.ARMED
    shared.run(0.3)
    assert shared.stage.control.source == TELEOP
    assert not shared.policy()


@pytest.mark.parametrize("method", ["wait", "ensemble", "average", "fade", "c2", "naive"])
def test_a_person_is_followed_at_once_whatever_the_method(method):
    rig = Shared(method)
    rig.run(0.1)
    assert rig.take_over().granted
    rig.run(0.1)
    rig.person[0] += 0.15
    rig.run(0.3)
    rig.person[0] += 0.15
    rig.run(1.0)
    assert abs(rig.here[0] - rig.person[0]) < 0.01
    assert_no_seam(rig)


def test_a_leader_that_jumps_is_refused_and_the_arms_rest(shared):
    shared.run(2.0)
    assert shared.take_over().granted
    shared.run(0.5)
    assert shared.stage.account()["too_far"] == ""
    shared.person[1] += 1.0
    shared.run(0.6)
    assert shared.stage.account()["refused_too_far"] > 5
    joint = ROBOT.joint_names[1]
    expected = f"{joint} of the leader is +1.00 rad from the robot's, expected at most 0.5; bring the leader to where"
    assert shared.stage.account()["too_far"].startswith(expected)
    assert np.allclose(shared.here, shared.sent[-10], atol=1e-4)
    assert_no_seam(shared)


@pytest.mark.parametrize("how", ["come back", "hand back"])
def test_who_is_followed_again_or_leads_no_more_is_not_told_to_come_nearer(shared, how):
    assert shared.take_over().granted
    shared.person[1] += 1.0
    shared.run(0.3)
    assert shared.stage.account()["too_far"]
    if how == "come back":
        shared.person = shared.here.copy()
        shared.run(0.1)
    else:
        assert shared.stage.hand_back().granted
        far = Chunk.at_rate(shared.now_ns, ROBOT.joint_names, np.tile(shared.here + 0.8 * ARMS, (32, 1)), 15.0)
        assert not shared.stage.on_chunk(far, shared.now_ns)
        assert shared.stage.account()["too_far"] == "", "a policy that is far away is no leader arm"
        assert shared.take_over().granted
    assert shared.stage.account()["too_far"] == ""


EVENTS = ["policy", "take over", "hand back", "let go", "left", "right", State.DISARMED, State.ARMED]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), min_size=3, max_size=14))
def test_whoever_leads_when_no_command_jumps(events):
    rig = Shared()
    rig.run(0.05)
    for event in events:
        if event == "policy":
            rig.policy(0.4)
        elif event == "take over":
            rig.take_over()
        elif event == "hand back":
            rig.stage.hand_back()
        elif event == "let go":
            rig.person = None
        elif isinstance(event, State):
            rig.safety = event
        elif rig.person is not None:
            rig.person[0] += 0.1 if event == "left" else -0.1
        rig.run(0.17)
    rig.person = None
    rig.run(3.0)
    assert_within_limits(rig.sent)
    assert np.abs(np.diff(rig.sent[-10:], axis=0)).max() < 1e-9
    assert (np.abs(np.diff(rig.sent, axis=0)) <= VELOCITY * 0.01 * (1 + 1e-6)).all()
