# SPDX-License-Identifier: Apache-2.0
"""Laws of the safety machine, held by a random walk over every event."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wam_ros.core.cures import CURES, cure_of
from wam_ros.core.safety import MOTION, POLICY, TELEOP, SafetyBounds, SafetyMachine, State, watches_for
from wam_ros.files.assets import load_robot

BOUNDS = SafetyBounds()
ROBOT = load_robot("sim_r1_lite")
WATCHES = watches_for(ROBOT, BOUNDS)
NAMES = tuple(watch.name for watch in WATCHES)
LIMITS = {watch.name: watch.limit_ns for watch in WATCHES}
TICK_NS = 10_000_000
LEADERS = (POLICY, TELEOP)


def counting(leader: str) -> list[str]:
    """Names of what must be alive while this one leads."""
    return [name for name in NAMES if name not in LEADERS or name == leader]


class World:
    """A machine and everything it watches, on fake time."""

    def __init__(self) -> None:
        self.machine = SafetyMachine(WATCHES, BOUNDS)
        self.now_ns = 1_000_000_000
        self.dead: set[str] = set()

    def run(self, duration_s: float) -> None:
        for _ in range(round(duration_s * 1e9 / TICK_NS)):
            self.now_ns += TICK_NS
            for name in NAMES:
                if name not in self.dead:
                    self.machine.saw(name, self.now_ns)
            self.machine.tick(self.now_ns)

    def start(self) -> SafetyMachine:
        self.run(0.1)
        assert self.machine.arm(self.now_ns).granted
        self.machine.chunk(self.now_ns, 2_000_000_000, self.now_ns)
        self.machine.executing(self.now_ns)
        return self.machine


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("watch", WATCHES, ids=lambda w: w.name)
def test_each_silence_stops_within_its_bound_and_two_ticks(world, watch):
    machine = world.start()
    machine.led_by(TELEOP if watch.name == TELEOP else POLICY, world.now_ns)
    world.dead = {watch.name}
    world.run((watch.limit_ns - TICK_NS) / 1e9)
    assert machine.state is State.RUNNING
    world.run(0.02)
    assert (machine.state, machine.cause) == (State.STOPPED, watch.cause)


def test_bounds_are_those_of_the_fault_matrix():
    at_30_fps = replace(ROBOT, cameras=tuple(replace(c, rate_hz=30.0) for c in ROBOT.cameras))
    limits = {w.name: w.limit_ns for w in watches_for(at_30_fps, BOUNDS)}
    assert limits["camera:head"] <= 100_000_000
    assert limits["joints:left"] == limits["joints:left_gripper"] == 50_000_000


def test_arming_needs_every_stream(world):
    assert not world.machine.arm(world.now_ns).granted
    for name in NAMES:
        world.dead = {name}
        world.machine = SafetyMachine(WATCHES, BOUNDS)
        world.machine.led_by(TELEOP if name == TELEOP else POLICY, world.now_ns)
        world.run(0.1)
        answer = world.machine.arm(world.now_ns)
        cause = next(w.cause for w in WATCHES if w.name == name)
        assert (answer.granted, answer.text) == (False, f"not armed: {cause}")


def test_the_operator_stops_from_every_state_and_the_first_cause_stays(world):
    machine = world.start()
    machine.stop()
    machine.saw(MOTION, world.now_ns, "TRACKING:left_arm_joint1")
    assert (machine.state, machine.cause) == (State.STOPPED, "OPERATOR")
    assert world.machine.stop("CAMERA_STALE:head").text == "already stopped: OPERATOR"
    idle = SafetyMachine(WATCHES, BOUNDS)
    idle.stop()
    assert idle.state is State.STOPPED


def test_reset_waits_for_the_cure_and_leaves_disarmed(world):
    machine = world.start()
    world.dead = {"camera:head"}
    world.run(0.5)
    refused = machine.reset(world.now_ns)
    assert not refused.granted
    assert "CAMERA_STALE:head" in refused.text
    world.dead = set()
    world.run(0.1)
    assert not machine.arm(world.now_ns).granted
    assert machine.reset(world.now_ns).granted
    assert machine.state is State.DISARMED
    assert machine.arm(world.now_ns).granted


def test_a_reported_fault_stops_at_once_and_blocks_arming_while_it_lasts(world):
    machine = world.start()
    machine.saw("joints:left", world.now_ns, "NOT_FINITE:left")
    assert machine.cause == "NOT_FINITE:left"
    machine.saw("joints:left", world.now_ns, "")
    machine.reset(world.now_ns)
    machine.saw(MOTION, world.now_ns, "FOREIGN_PUBLISHER:/a")
    assert machine.state is State.DISARMED
    assert machine.arm(world.now_ns).text == "not armed: FOREIGN_PUBLISHER:/a"


def test_a_policy_that_lives_but_sends_no_chunk_stops_after_its_rows_are_over(world):
    machine = world.start()
    world.run(2.0 + BOUNDS.overdue_s - 0.05)
    assert machine.state is State.RUNNING
    world.run(0.1)
    assert machine.cause == "POLICY_SILENT"
    assert machine.reset(world.now_ns).granted
    assert machine.arm(world.now_ns).granted


def test_a_chunk_stamped_in_the_future_does_not_excuse_the_policy(world):
    machine = world.start()
    machine.chunk(world.now_ns + 10**15, 2_000_000_000, world.now_ns)
    world.run(2.0 + BOUNDS.overdue_s + 0.1)
    assert machine.cause == "POLICY_SILENT"


def test_nothing_is_asked_of_a_policy_that_a_person_has_taken_over_from(world):
    machine = world.start()
    machine.led_by(TELEOP, world.now_ns)
    machine.saw(POLICY, world.now_ns, "POLICY_FAILED")
    world.dead = {POLICY}
    world.run(2.0 + BOUNDS.overdue_s + 1.0)
    assert machine.state is State.RUNNING
    machine.led_by(POLICY, world.now_ns)
    world.run(0.02)
    assert machine.cause == "POLICY_FAILED"


def test_a_policy_that_gets_control_back_may_take_its_time_for_a_chunk_and_no_longer(world):
    machine = world.start()
    machine.led_by(TELEOP, world.now_ns)
    world.run(2.0 + BOUNDS.overdue_s + 1.0)
    machine.led_by(POLICY, world.now_ns)
    world.run(BOUNDS.overdue_s - 0.05)
    assert machine.state is State.RUNNING
    world.run(0.1)
    assert machine.cause == "POLICY_SILENT"


def test_a_person_who_lets_go_does_not_stop_the_robot_but_a_dead_teleop_node_does(world):
    machine = world.start()
    machine.led_by(TELEOP, world.now_ns)
    world.run(60.0)
    assert machine.state is State.RUNNING
    world.dead = {TELEOP}
    world.run(BOUNDS.teleop_s + 0.02)
    assert machine.cause == "TELEOP_SILENT"
    assert not machine.reset(world.now_ns).granted
    machine.led_by(POLICY, world.now_ns)
    assert machine.reset(world.now_ns).granted


def test_a_late_tick_looks_before_it_judges(world):
    machine = world.start()
    world.now_ns += 120_000_000  # the watch slept; what arrived meanwhile is read after the tick
    machine.tick(world.now_ns)
    world.run(0.05)
    assert machine.state is State.RUNNING


def test_late_ticks_one_after_the_other_are_judged(world):
    machine = world.start()
    for _ in range(3):
        world.now_ns += 120_000_000
        machine.tick(world.now_ns)
    assert machine.state is State.STOPPED


def test_a_watch_that_slept_too_long_says_so_itself(world):
    machine = world.start()
    world.now_ns += 500_000_000
    machine.tick(world.now_ns)
    assert machine.cause == "SAFETY_STALLED"


def test_time_that_goes_back_stops_and_ages_count_anew(world):
    machine = world.start()
    world.now_ns -= 900_000_000
    machine.tick(world.now_ns)
    assert machine.cause == "CLOCK_BACK"
    assert machine.standing(world.now_ns) == ()
    machine.reset(world.now_ns)
    assert machine.arm(world.now_ns).granted


def test_simulated_time_that_stands_still_stops_and_blocks(world):
    machine = world.start()
    for _ in range(15):
        machine.beat(world.now_ns)
    assert machine.cause == "CLOCK_SILENT"
    assert not machine.reset(world.now_ns).granted
    world.run(0.1)
    machine.beat(world.now_ns)
    assert machine.reset(world.now_ns).granted


class Walk(RuleBasedStateMachine):
    """Every event in every order; the model knows only what was wished and what is fresh."""

    @initialize()
    def begin(self) -> None:
        self.machine = SafetyMachine(WATCHES, BOUNDS)
        self.now_ns = 10**9
        self.seen: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.reset_since_stop = self.armed_since_disarm = False
        self.sequence = 0
        self.cause = ""

    @rule(dt_ms=st.sampled_from([5, 10, 10, 10, 10, 15, 60, 250, 400]), awake=st.booleans())
    def time_passes(self, dt_ms: int, awake: bool) -> None:
        self.now_ns += dt_ms * 1_000_000
        if awake:
            for name in NAMES:
                self.see(name)
        self.machine.tick(self.now_ns)

    @rule(dt_ms=st.sampled_from([10, 100]))
    def everyone_speaks(self, dt_ms: int) -> None:
        for name in NAMES:
            self.see(name, "")

    @rule(name=st.sampled_from(NAMES), fault=st.sampled_from(["", "", "NOT_FINITE:left", "TRACKING:x"]))
    def see(self, name: str, fault: str | None = None) -> None:
        self.seen[name] = self.now_ns
        if fault is not None:
            self.faults[name] = fault
        live = self.machine.state.live and name in counting(self.machine.leader)
        self.machine.saw(name, self.now_ns, fault)
        assert not (live and fault) or self.machine.cause == fault

    @rule(ahead_ms=st.integers(-500, 3000))
    def chunk(self, ahead_ms: int) -> None:
        self.machine.chunk(self.now_ns, max(1, ahead_ms) * 1_000_000, self.now_ns)

    @rule(leader=st.sampled_from(LEADERS))
    def control_changes_hands(self, leader: str) -> None:
        self.machine.led_by(leader, self.now_ns)

    @rule()
    def executing(self) -> None:
        before = self.machine.state
        self.machine.executing(self.now_ns)
        assert self.machine.state is (State.RUNNING if before is State.ARMED else before)

    @rule()
    def arm(self) -> None:
        before = self.machine.state
        asked = counting(self.machine.leader)
        fresh = all(self.now_ns - self.seen.get(n, -(10**12)) <= LIMITS[n] for n in asked)
        sound = fresh and not any(self.faults.get(n) for n in asked)
        answer = self.machine.arm(self.now_ns)
        assert answer.granted == (before.live or (before is State.DISARMED and sound))
        self.armed_since_disarm |= answer.granted

    @rule()
    def disarm(self) -> None:
        self.machine.disarm()
        assert not self.machine.state.live

    @rule()
    def operator_stops(self) -> None:
        self.machine.stop()
        assert self.machine.state is State.STOPPED

    @precondition(lambda self: self.machine.state is State.STOPPED)
    @rule()
    def reset(self) -> None:
        self.reset_since_stop = self.machine.reset(self.now_ns).granted
        assert not self.machine.state.live

    @invariant()
    def one_cause_for_each_stop_and_none_without(self) -> None:
        assert bool(self.machine.cause) == (self.machine.state is State.STOPPED)
        if self.machine.sequence == self.sequence:
            assert self.machine.cause == self.cause

    @invariant()
    def no_way_out_of_a_stop_but_reset_and_no_motion_without_arm(self) -> None:
        changed = self.machine.sequence != self.sequence
        if changed and self.cause and self.machine.state is not State.STOPPED:
            assert self.reset_since_stop
        if self.machine.state is State.STOPPED or not changed:
            self.reset_since_stop = False
        if self.machine.state.live:
            assert self.armed_since_disarm
        else:
            self.armed_since_disarm = False
        assert self.machine.sequence >= self.sequence
        self.sequence, self.cause = self.machine.sequence, self.machine.cause

    @rule()
    def silence_always_stops(self) -> None:
        """Two punctual ticks beyond the longest bound, and nothing is live any more."""
        for _ in range(round(max(LIMITS.values()) / TICK_NS) + 2):
            self.now_ns += TICK_NS
            self.machine.tick(self.now_ns)
        assert not self.machine.state.live
        assert set(self.machine.standing(self.now_ns)) >= {
            watch.cause for watch in WATCHES if watch.name in counting(self.machine.leader)
        }


Walk.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_walk = Walk.TestCase


def test_every_cause_that_the_docs_name_has_a_cure_and_no_other():
    table = (Path(__file__).parents[2] / "docs" / "safety.md").read_text().partition("## Causes")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)", table, flags=re.M)) == set(CURES)
    assert cure_of("CAMERA_STALE:head") == CURES["CAMERA_STALE"]
    assert cure_of("") == cure_of("POLICY") == ""
