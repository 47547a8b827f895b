# SPDX-License-Identifier: Apache-2.0
"""Laws of control time, on clocks that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
from wam_ros.ros.timebase import DRIFT_NS, PeriodMeter, SimTimebase, SteadyTimebase

HOUR_NS = 3_600_000_000_000


class Clocks:
    """A steady and a wall clock."""

    def __init__(self) -> None:
        self.steady_ns = 5_000_000_000
        self.wall_ns = 1_700_000_000_000_000_000

    def pass_ns(self, duration_ns: int, slew_ns: int = 0) -> None:
        self.steady_ns += duration_ns
        self.wall_ns += duration_ns + slew_ns

    def timebase(self) -> SteadyTimebase:
        return SteadyTimebase(lambda: self.steady_ns, lambda: self.wall_ns)


def test_control_time_starts_on_the_stamps_numbers():
    clocks = Clocks()
    base = clocks.timebase()
    assert base.now_ns() == clocks.wall_ns
    assert base.from_stamp(clocks.wall_ns) == base.now_ns()


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS])
def test_a_jump_of_the_wall_clock_changes_no_control_time(jump_ns):
    clocks = Clocks()
    base = clocks.timebase()
    before_ns = base.now_ns()
    clocks.wall_ns += jump_ns
    clocks.pass_ns(10_000_000)
    assert base.now_ns() - before_ns == 10_000_000
    assert base.jumps == 1
    assert base.from_stamp(clocks.wall_ns) == base.now_ns()
    clocks.pass_ns(10_000_000)
    base.now_ns()
    assert base.jumps == 1


def test_a_slewed_wall_clock_is_followed_and_is_no_jump():
    clocks = Clocks()
    base = clocks.timebase()
    for _ in range(1000):
        clocks.pass_ns(10_000_000, slew_ns=5_000)
        base.now_ns()
    assert base.jumps == 0
    assert abs(base.to_stamp(base.now_ns()) - clocks.wall_ns) <= DRIFT_NS


def test_one_stamp_keeps_one_control_time_while_the_clocks_tremble():
    clocks = Clocks()
    base = clocks.timebase()
    before_ns = base.from_stamp(clocks.wall_ns)
    stamp_ns = clocks.wall_ns
    for tremble_ns in (900, -900, 40_000):
        clocks.pass_ns(10_000_000, slew_ns=tremble_ns)
        base.now_ns()
    assert base.from_stamp(stamp_ns) == before_ns


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(-HOUR_NS, HOUR_NS)), max_size=20), st.integers(0, 2**60))
def test_stamps_go_there_and_back_and_control_never_goes_back(steps, stamp_ns):
    clocks = Clocks()
    base = clocks.timebase()
    last_ns = base.now_ns()
    for duration_ns, jump_ns in steps:
        clocks.pass_ns(duration_ns, jump_ns)
        now_ns = base.now_ns()
        assert now_ns - last_ns == duration_ns
        assert base.to_stamp(base.from_stamp(stamp_ns)) == stamp_ns
        last_ns = now_ns


def test_simulated_time_counts_its_steps_back():
    times = iter([5, 6, 7, 2, 3])
    base = SimTimebase(lambda: next(times))
    assert [base.now_ns() for _ in range(4)] == [6, 7, 2, 3]
    assert base.jumps == 1
    assert base.to_stamp(base.from_stamp(42)) == 42


def test_missed_ticks_are_counted_and_late_ones_seen():
    meter = PeriodMeter(10_000_000)
    for now_ms in (0, 10, 21, 30, 63, 70):
        meter.tick(now_ms * 1_000_000)
    assert meter.missed == 2  # due were 40 and 50
    assert meter.percentile_ms(100) == 33.0
    assert PeriodMeter(1).percentile_ms(99) == 0.0
