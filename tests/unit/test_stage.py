# SPDX-License-Identifier: Apache-2.0
"""Laws of the motion stage on fake time, with the real splicer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.safety import State
from wam_ros.core.types import Chunk
from wam_ros.files.assets import load_robot
from wam_ros.motion.splicer import Splicer
from wam_ros.motion.stage import MotionStage, Phase, StageBounds

ROBOT = load_robot("sim_r1_lite")
BOUNDS = StageBounds()
TICK_NS = 10_000_000
READY = ROBOT.ready_position()
VELOCITY = ROBOT.motion_limits()[0]
ACCELERATION = ROBOT.motion_limits()[1]


class Rig:
    """A stage, a robot that follows at once, or some ticks late, and fake time."""

    def __init__(self, robot=ROBOT) -> None:
        self.stage = MotionStage(Splicer.for_robot(robot), robot, BOUNDS)
        self.late_ticks = 0
        self.now_ns = 10**9
        self.robot = np.array(READY)
        self.safety: State | None = State.ARMED
        self.feels = True
        self.blocked: int | None = None
        self.sent: list[np.ndarray] = []

    def run(self, duration_s: float) -> list[np.ndarray | None]:
        return [self.step() for _ in range(round(duration_s * 1e9 / TICK_NS))]

    def step(self) -> np.ndarray | None:
        self.now_ns += TICK_NS
        if self.safety is not None:
            self.stage.on_safety(self.safety, self.now_ns)
        if self.feels:
            self.stage.on_joints(self.robot, self.now_ns, "left")
        setpoint = self.stage.tick(self.now_ns)
        if setpoint is None:
            return None
        held = self.robot[self.blocked] if self.blocked is not None else 0.0
        self.robot = np.array(setpoint.position)
        if self.late_ticks:
            self.robot = self.sent[-self.late_ticks] if len(self.sent) >= self.late_ticks else np.array(READY)
        if self.blocked is not None:
            self.robot[self.blocked] = held
        self.sent.append(np.array(setpoint.position))
        return self.sent[-1]

    def chunk(self, joint: int = 0, reach_rad: float = 1.0, rows: int = 32) -> bool:
        positions = np.tile(self.sent[-1] if self.sent else READY, (rows, 1))
        positions[:, joint] += reach_rad * np.linspace(0, 1, rows)
        return self.stage.on_chunk(Chunk.at_rate(self.now_ns, ROBOT.joint_names, positions, 15.0), self.now_ns)

    def moving(self) -> Rig:
        self.run(0.05)
        assert self.chunk()
        self.safety = State.RUNNING
        self.run(0.7)
        assert abs(self.sent[-1] - self.sent[-2]).max() > 1e-3
        return self


@pytest.fixture
def rig() -> Rig:
    return Rig()


def assert_within_limits(sent: list[np.ndarray]) -> None:
    velocity = np.diff(np.array(sent).reshape(-1, len(READY)), axis=0) / 0.01
    assert (np.abs(velocity) <= VELOCITY * (1 + 1e-6)).all()
    assert (np.abs(np.diff(velocity[:, :6], axis=0) / 0.01) <= ACCELERATION[:6] * (1 + 1e-6)).all()


@pytest.mark.parametrize("state", [None, State.DISARMED, State.STOPPED])
def test_unarmed_nothing_is_sent_and_chunks_are_refused(rig, state):
    rig.safety = state
    assert rig.run(1.0) == [None] * 100
    assert not rig.chunk()
    assert rig.run(0.1) == [None] * 10


def test_armed_it_holds_where_the_arms_are(rig):
    rig.robot[0] += 0.2
    before = rig.robot.copy()
    assert all(np.allclose(p, before) for p in rig.run(0.5))
    assert not rig.stage.executing


def test_a_gripper_that_reads_beyond_open_is_told_to_be_open(rig):
    rig.robot[6], rig.robot[13] = 1.018, -0.03
    rig.run(0.1)
    assert (rig.sent[0][6], rig.sent[0][13]) == (1.0, 0.0), "commands beyond an end are refused"


def test_a_chunk_that_comes_before_the_first_tick_is_followed(rig):
    rig.stage.on_safety(State.ARMED, rig.now_ns)
    rig.stage.on_joints(READY, rig.now_ns, "left")
    assert rig.chunk()
    rig.run(0.05)
    assert rig.stage.phase is Phase.FOLLOWING
    assert not rig.stage.fault


def test_a_chunk_is_followed_smoothly_and_rests_at_its_end(rig):
    rig.moving()
    assert rig.stage.executing
    rig.run(3.0)
    assert rig.stage.phase is Phase.FOLLOWING
    assert rig.stage.fault == ""
    assert np.allclose(rig.sent[-1][0], READY[0] + 1.0, atol=0.1)
    assert np.array_equal(rig.sent[-1], rig.sent[-10])
    assert_within_limits(rig.sent)


def test_a_chunk_that_begins_far_away_is_refused_and_may_be_approached_slowly(rig):
    rig.run(0.05)
    far = np.array(READY)
    far[0] += 0.8
    assert not rig.stage.approach(rig.now_ns).granted
    chunk = Chunk.at_rate(rig.now_ns, ROBOT.joint_names, np.tile(far, (32, 1)), 15.0)
    assert not rig.stage.on_chunk(chunk, rig.now_ns)
    rig.run(0.5)
    assert np.array_equal(rig.sent[-1], rig.sent[0]), "nobody has asked for it"
    assert rig.stage.approach(rig.now_ns).granted
    rig.run(8.0)
    assert np.allclose(rig.sent[-1], far, atol=1e-6)
    assert np.abs(np.diff([row[0] for row in rig.sent])).max() / 0.01 < 0.3 * VELOCITY[0]
    assert_within_limits(rig.sent)
    assert rig.stage.on_chunk(Chunk.at_rate(rig.now_ns, ROBOT.joint_names, np.tile(far, (32, 1)), 15.0), rig.now_ns)
    assert not rig.stage.approach(rig.now_ns).granted


def test_stopped_arms_approach_nothing(rig):
    rig.run(0.05)
    far = np.array(READY)
    far[0] += 0.8
    rig.stage.on_chunk(Chunk.at_rate(rig.now_ns, ROBOT.joint_names, np.tile(far, (32, 1)), 15.0), rig.now_ns)
    rig.safety = State.STOPPED
    rig.run(1.0)
    answer = rig.stage.approach(rig.now_ns)
    assert not answer.granted
    assert "not armed" in answer.text


def test_it_says_how_smooth_it_is_and_how_far_the_arms_are_behind(rig):
    rig.moving()
    said = rig.stage.account()
    assert 0.5 < said["jerk_rms_rad_s3"] < 100
    assert said["tracking_lag_ms"] == pytest.approx(10.0, abs=3.0)  # it feels before it commands
    assert said["tracking_rms_rad"] > 0


@pytest.mark.parametrize("state", [State.STOPPED, State.DISARMED])
def test_a_stop_decelerates_holds_and_then_falls_silent(rig, state):
    rig.moving()
    rig.safety = state
    rig.run(2.0)
    assert_within_limits(rig.sent)
    assert rig.stage.phase is Phase.SILENT
    held = [p for p in rig.sent if np.array_equal(p, rig.sent[-1])]
    assert BOUNDS.hold_s <= len(held) * 0.01 <= BOUNDS.hold_s + 0.05
    assert abs(rig.sent[-1][0] - READY[0]) < 0.9


def test_the_second_command_after_a_stop_is_already_slower():
    stopped, free = Rig().moving(), Rig().moving()
    stopped.safety = State.STOPPED
    stopped.run(0.02)
    free.run(0.02)
    assert 0 < (stopped.sent[-1] - stopped.sent[-2])[0] < (free.sent[-1] - free.sent[-2])[0]


@pytest.mark.parametrize("heartbeat", [State.ARMED, State.RUNNING])
def test_when_safety_falls_silent_the_arms_rest(rig, heartbeat):
    rig.moving()
    rig.safety = None
    rig.run(BOUNDS.heartbeat_s + 0.02)
    assert (rig.stage.phase, rig.stage.fault) == (Phase.BRAKING, "SAFETY_SILENT")
    rig.run(1.5)
    assert rig.stage.phase is Phase.SILENT
    rig.safety = heartbeat
    assert rig.run(0.5) == [None] * 50
    rig.safety = State.STOPPED
    rig.run(0.1)
    assert rig.stage.fault == ""


def test_a_blocked_joint_is_noticed_and_rests_where_it_is(rig):
    rig.run(0.05)
    rig.chunk(joint=1, reach_rad=1.2)
    rig.blocked = 1
    rig.run(2.5)
    assert rig.stage.fault == f"TRACKING:{ROBOT.joint_names[1]}"
    assert np.isclose(rig.sent[-1][1], READY[1])


def test_an_arm_that_is_calibrated_to_be_late_is_given_that_time():
    calibrated = replace(ROBOT, arms=tuple(replace(arm, latency_s=0.4) for arm in ROBOT.arms))
    faults = []
    for robot in (ROBOT, calibrated):
        rig = Rig(robot)
        rig.late_ticks = 60
        rig.run(0.05)
        assert rig.chunk(reach_rad=2.4)
        rig.run(2.0)
        faults.append(rig.stage.fault)
    assert faults == [f"TRACKING:{ROBOT.joint_names[0]}", ""]


def test_a_gripper_that_holds_something_is_no_fault(rig):
    rig.run(0.05)
    assert rig.chunk(joint=6, reach_rad=-1.0)
    rig.blocked = 6
    rig.run(2.5)
    assert rig.stage.fault == ""


@pytest.mark.parametrize("value", [None, np.nan])
def test_feedback_that_is_gone_or_not_a_number_stops(rig, value):
    rig.moving()
    rig.feels = False
    if value is not None:
        rig.stage.on_joints(np.full(len(READY), value), rig.now_ns, "left")
    rig.run(0.3)
    assert rig.stage.fault == "JOINTS_STALE:left"


def test_after_a_stall_the_command_does_not_jump(rig):
    rig.moving()
    rig.now_ns += 400_000_000
    last = rig.sent[-1]
    rig.step()
    assert np.array_equal(rig.sent[-1], last)
    assert rig.stage.fault == "MOTION_STALLED"


def test_time_that_goes_back_stops(rig):
    rig.moving()
    rig.now_ns -= 500_000_000
    rig.step()
    assert rig.stage.fault == "CLOCK_BACK"
    assert np.array_equal(rig.sent[-1], rig.sent[-2])


def test_a_stage_that_wakes_up_in_the_middle_of_a_run_does_not_move(rig):
    rig.safety = State.RUNNING
    assert rig.run(1.0) == [None] * 100
    assert rig.stage.fault == "MOTION_RESTARTED"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*State, None, "chunk", "reach", "blind"]), min_size=1, max_size=25))
def test_whatever_happens_no_command_jumps_and_it_ends_at_rest(events):
    rig = Rig()
    for event in events:
        if event == "chunk" or event == "reach":
            rig.chunk(reach_rad=0.5 if event == "chunk" else -0.4)
        elif event == "blind":
            rig.feels = not rig.feels
        else:
            rig.safety = event
        rig.run(0.13)
    rig.safety = None
    rig.run(4.0)
    assert not rig.sent or rig.stage.phase is Phase.SILENT
    assert_within_limits(rig.sent)
