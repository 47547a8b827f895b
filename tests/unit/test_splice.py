"""Laws of splicing, for any stream of chunks; and a name and a count for every chunk that is not taken."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wam_ros.motion
from tests.unit.splice_support import (
    ARMS,
    GRIPPERS,
    HOME,
    LIMITS,
    LOWER,
    NAMES,
    SECOND,
    SPEED,
    STEP_S,
    TICK_NS,
    UPPER,
    Event,
    make_chunk,
    make_splicer,
    played,
    replay,
    rows,
    streams,
)
from wam_ros.core.errors import ShapeError, UnsafeCommandError, WamError
from wam_ros.core.seams import violations
from wam_ros.core.task import Method
from wam_ros.core.types import Chunk, FloatArray
from wam_ros.motion.splicer import Outcome, Splicer

MS = 1_000_000
many = settings(max_examples=60, deadline=None, derandomize=True)


# -- laws ----------------------------------------------------------------------------------------


@many
@given(streams())
def test_position_velocity_and_acceleration_are_continuous_across_any_offer_and_stop(stream: list[Event]) -> None:
    splicer, now = make_splicer(), 0
    for event in stream:
        now += event.pause_ms * MS
        before = splicer.trajectory(np.array([now]))
        if event.stop:
            splicer.stop(now)
        else:
            splicer.offer(event.chunk(now, before.positions[0]), now)
        after = splicer.trajectory(np.array([now]))
        assert np.allclose(after.positions, before.positions, rtol=0, atol=1e-9)
        assert np.allclose(after.velocities[:, ARMS], before.velocities[:, ARMS], rtol=0, atol=1e-9)
        assert np.allclose(after.accelerations[:, ARMS], before.accelerations[:, ARMS], rtol=0, atol=1e-8)
        if event.stop:
            now = max(now, splicer.at_rest_ns)
            splicer.start(splicer.sample(now).position, now)


@many
@given(streams())
def test_every_sample_of_any_stream_keeps_every_limit_and_the_stream_ends_at_rest(stream: list[Event]) -> None:
    result = replay(make_splicer(), stream)
    assert violations(result.positions[:, ARMS], STEP_S, LIMITS) == 0
    assert np.abs(np.diff(result.positions[:, GRIPPERS], axis=0)).max() <= SPEED[GRIPPERS][0] * STEP_S * (1 + 1e-9)
    assert np.array_equal(result.positions[-1], result.positions[-2])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(streams(), st.sampled_from(["naive", "ensemble", "average", "fade", "c2", "wait"]))
def test_every_method_keeps_the_limits_on_the_robot(stream: list[Event], method: Method) -> None:
    result = replay(make_splicer(method=method), stream)
    assert violations(result.positions[:, ARMS], STEP_S, LIMITS) == 0


@many
@given(streams(), st.integers(0, 2000))
def test_what_is_committed_ends_at_rest_and_is_what_is_then_sampled(stream: list[Event], later_ms: int) -> None:
    splicer = make_splicer()
    now = replay(splicer, stream).end_ns
    splicer.offer(make_chunk(now, splicer.sample(now).position + rows(32) - HOME), now)
    committed = splicer.committed(now)
    assert not committed.velocities[-1].any()
    assert not committed.accelerations[-1].any()
    index = min(later_ms // 10, len(committed.times_ns) - 1)
    assert np.array_equal(splicer.sample(committed.times_ns[index]).position, committed.positions[index])


@many
@given(streams(wild=False))
def test_the_same_chunk_again_changes_nothing(stream: list[Event]) -> None:
    splicer, now = make_splicer(), SECOND
    for event in stream:
        now += event.pause_ms * MS
        chunk = event.chunk(now, splicer.sample(now).position)
        taken = splicer.offer(chunk, now).accepted
        before = splicer.committed(now)
        again = splicer.offer(chunk, now)
        assert again is Outcome.DUPLICATE if taken else not again.accepted
        assert np.array_equal(splicer.committed(now).positions, before.positions)


@many
@given(st.permutations(range(4)), st.integers(0, 2**31))
def test_the_order_in_which_chunks_arrive_together_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    chunks = [make_chunk(k * 100 * MS, rows(32, start_s=k * 0.1) + rng.normal(0, 0.01, len(NAMES))) for k in range(4)]
    now = 500 * MS
    one, other = make_splicer(), make_splicer()
    for k in range(4):
        one.offer(chunks[k], now)
    for k in order:
        other.offer(chunks[k], now)
    ends = one.committed(now).positions, other.committed(now).positions
    assert ends[0].shape == ends[1].shape
    assert np.allclose(ends[0][:, ARMS], ends[1][:, ARMS], rtol=0, atol=1e-12)
    assert np.array_equal(ends[0][-1], ends[1][-1])


@many
@given(st.integers(0, 2**31), st.floats(0.05, 0.4), st.floats(0.05, 0.3))
def test_a_valid_chunk_alone_is_followed_and_ends_at_its_last_row(seed: int, hz: float, sway: float) -> None:
    splicer = make_splicer()
    sign = np.random.default_rng(seed).choice([-1, 1], len(NAMES))
    wanted = np.where(GRIPPERS, 1.0, HOME + sign * (rows(32, sway=sway, hz=hz) - HOME))
    assert splicer.offer(make_chunk(0, wanted), 0) is Outcome.ACCEPTED
    error = np.abs(splicer.trajectory(np.array(make_chunk(0, wanted).times_ns)).positions - wanted)[:, ARMS]
    assert error[:14].max() < 0.02  # the rows begin with an acceleration, the robot does not
    assert error[14:26].max() < 0.003  # after that the path is walked more slowly, to end at rest
    assert np.abs(splicer.committed(0).positions[-1] - wanted[-1])[ARMS].max() < 0.01


def test_noise_in_the_rows_is_not_followed() -> None:
    noisy = rows(32) + np.where(GRIPPERS, 0, np.random.default_rng(0).normal(0, 0.003, (32, len(NAMES))))
    clean, shaken = make_splicer(), make_splicer()
    clean.offer(make_chunk(), 0)
    shaken.offer(make_chunk(0, noisy), 0)
    assert np.abs(played(shaken, 0, 3 * SECOND) - played(clean, 0, 3 * SECOND))[:, ARMS].std() < 0.003 / 1.5


# -- pace ----------------------------------------------------------------------------------------


def test_speeds_beyond_the_limits_are_slowed_for_all_joints_together() -> None:
    splicer = make_splicer()
    fast = np.where(GRIPPERS, 1.0, HOME + np.linspace(0, 1, 20)[:, None] * np.where(ARMS, [1, 0.5, 0.2, 0] * 2, 0))
    fast = np.clip(fast, LOWER, UPPER)
    assert splicer.offer(make_chunk(0, fast, rate_hz=60), 0) is Outcome.SLOWED
    assert splicer.statistics.outcomes[Outcome.SLOWED] == 1
    path = played(splicer, 0, splicer.at_rest_ns)
    moved = path - HOME
    assert np.abs(moved[:, 1] - 0.5 * moved[:, 0]).max() < 0.02
    assert np.abs(moved[:, 0] - moved[:, 4]).max() < 0.02


@pytest.mark.parametrize("gap_ms", [400, 600, 800])
def test_the_arms_are_where_the_newest_chunk_wants_them_before_the_next_one_lands(gap_ms: int) -> None:
    """Else a policy that corrects itself at each look never sees its correction done: hands miss by centimetres."""
    splicer, rng, landed = make_splicer(), np.random.default_rng(0), 0
    for _ in range(8):
        asked = np.where(GRIPPERS, 1.0, HOME + rng.uniform(-0.005, 0.005, len(NAMES)))
        assert splicer.offer(make_chunk(landed, np.tile(asked, (32, 1))), landed) is Outcome.ACCEPTED
        landed += gap_ms * MS
        assert np.abs(splicer.sample(landed - 1).position - asked)[ARMS].max() < 2e-4


def _reach(from_s: float, count: int = 32) -> FloatArray:
    """(count, J) of all arms: 0.3 rad in 0.9 s from a time on, and rest there, as a hand comes down; 15 rows a second."""
    share = np.clip((np.arange(1, count + 1) / 15 - from_s) / 0.9, 0, 1)[:, None]
    return np.where(GRIPPERS, 1.0, HOME + 0.3 * share**3 * (10 - 15 * share + 6 * share**2))


@many
@given(st.integers(-120, 120), st.integers(350, 800))
def test_a_chunk_that_is_only_early_or_late_takes_no_robot_off_its_path(early_ms: int, landed_ms: int) -> None:
    """Else hands that come down are carried beyond both chunks, onto the table: the difference of speeds runs on."""
    splicer = make_splicer()
    assert splicer.offer(make_chunk(0, _reach(0.2)), 0).accepted
    assert splicer.offer(make_chunk(100 * MS, _reach(0.1 - early_ms / 1000)), landed_ms * MS).accepted
    path = (played(splicer, landed_ms * MS, splicer.at_rest_ns) - HOME)[:, ARMS]
    assert path.max() < 0.304
    assert np.diff(path, axis=0).min() > -1e-4
    assert np.abs(path - path[:, :1]).max() < 1e-9


def test_a_plan_with_times_of_its_own_is_come_back_to() -> None:
    """A robot that stood when the first chunk landed is late; with more of them it comes into step."""
    splicer, off = make_splicer(), []
    for k in range(30):
        captured_ns, plan = 200 * k * MS, rows(32, sway=0.5, hz=0.4, start_s=0.2 * k)
        assert splicer.offer(make_chunk(captured_ns, plan), captured_ns + 100 * MS).accepted
        meant = rows(1, sway=0.5, hz=0.4, row_s=0.25, start_s=0.2 * k)[0]
        off.append(np.abs(splicer.sample(captured_ns + 250 * MS).position - meant)[ARMS].max())
    assert off[1] > 0.02
    assert max(off[-10:]) < 0.01


def test_a_person_who_leads_is_followed_at_the_time_of_each_row() -> None:
    led, own, sway = make_splicer(), make_splicer(), rows(32, sway=0.4)
    for splicer, live_fade_s in ((led, 0.4), (own, None)):
        assert splicer.offer(make_chunk(0, sway), 0, live_fade_s).accepted
        assert splicer.offer(make_chunk(100 * MS, sway), 900 * MS, live_fade_s).accepted
    off = [np.abs(splicer.sample(1300 * MS).position - sway[17])[ARMS].max() for splicer in (led, own)]
    assert off[0] < 0.005
    assert off[1] > 0.01


def test_chunks_in_quick_succession_are_faded_over_a_while_all_the_same() -> None:
    splicer, landed = make_splicer(), 0
    for k in range(10):
        asked = np.where(GRIPPERS, 1.0, HOME + 0.002 * (-1) ** k)
        splicer.offer(make_chunk(landed, np.tile(asked, (32, 1))), landed)
        landed += 30 * MS
    left = splicer.trajectory(landed - 30 * MS + np.array([100, 200, 401]) * MS).positions[:, 0] - asked[0]
    assert abs(left[0]) > 1e-4
    assert abs(left[2]) < 1e-6


def test_a_policy_too_slow_for_its_chunks_makes_the_robot_slower_and_never_jerky_then_it_rests() -> None:
    splicer, parts, landed = make_splicer(), [], 0
    for k in range(8):
        captured = k * 800 * MS
        here = splicer.sample(captured).position
        landed = captured + 800 * MS
        parts.append(played(splicer, captured, landed))
        drift = 0.25 * np.arange(1, 33)[:, None] / 30 * np.eye(len(NAMES))[0]
        assert splicer.offer(make_chunk(captured, here + drift, rate_hz=30), landed).accepted
    parts.append(played(splicer, landed, landed + 12 * SECOND))
    speed = np.abs(np.diff(np.concatenate(parts)[:, 0])) / STEP_S
    settled = speed[5 * 160 : 8 * 160]  # three chunks have told the rhythm, the fourth began at rest
    assert np.mean(settled < 0.003) < 0.1
    assert splicer.statistics.outcomes[Outcome.SLOWED] >= 4
    assert violations(np.concatenate(parts)[:, ARMS], STEP_S, LIMITS) == 0
    assert not speed[-200:].any()


def test_without_a_next_chunk_the_path_is_walked_more_slowly_and_never_left() -> None:
    splicer = make_splicer()
    wanted = np.where(GRIPPERS, 1.0, HOME + np.linspace(0, 0.4, 32)[:, None])
    splicer.offer(make_chunk(0, wanted), 0)
    path = played(splicer, 0, 5 * SECOND)
    assert path[:, 0].max() < wanted[-1, 0] + 0.005
    assert abs(path[-1, 0] - wanted[-1, 0]) < 0.005


def test_idle_time_is_counted_only_when_nothing_is_left_to_execute() -> None:
    splicer = make_splicer()
    splicer.sample(0)
    assert splicer.statistics.ticks == 0
    splicer.offer(make_chunk(), 0)
    for now in (SECOND, splicer.at_rest_ns - MS, splicer.at_rest_ns, splicer.at_rest_ns + SECOND):
        splicer.sample(now)
    assert splicer.statistics.idle_share == 0.5


# -- bad input -----------------------------------------------------------------------------------


def running() -> tuple[Splicer, int]:
    """A splicer that executes a chunk captured at 1 s, and the time 1.3 s."""
    splicer, now = make_splicer(), 1300 * MS
    assert splicer.offer(make_chunk(SECOND), now).accepted
    return splicer, now


def hammering() -> np.ndarray:
    """Rows that ask for many times the speed of the joints, back and forth."""
    return rows(30, start_s=1.2) + np.where(GRIPPERS, 0.0, 0.2 * (-1.0) ** np.arange(30)[:, None])


CASES = {
    Outcome.DUPLICATE: make_chunk(SECOND),
    Outcome.OLDER: make_chunk(900 * MS),
    Outcome.PAST: make_chunk(SECOND + MS, rows(3), rate_hz=30),
    Outcome.LATE: make_chunk(SECOND + MS, rows(10), rate_hz=31),
    Outcome.FUTURE: make_chunk(1301 * MS),
    Outcome.BAD_TIMES: Chunk(1100 * MS, NAMES, rows(3), (-1 * MS, 200 * MS, 400 * MS)),
    Outcome.WRONG_JOINTS: Chunk(1100 * MS, NAMES[::-1], rows(32), make_chunk().offsets_ns),
    Outcome.TOO_FAR: make_chunk(1100 * MS, rows(32) + np.where(GRIPPERS, 0, 0.6)),
    Outcome.TOO_FAST: Chunk(1100 * MS, NAMES, hammering(), tuple((205 + 7 * k) * MS for k in range(30))),
}


@pytest.mark.parametrize("expected", CASES, ids=lambda outcome: outcome.value)
def test_a_chunk_that_cannot_be_executed_is_counted_by_name_and_changes_nothing(expected: Outcome) -> None:
    splicer, now = running()
    before = splicer.committed(now)
    assert splicer.offer(CASES[expected], now) is expected
    assert splicer.statistics.refused == {expected: 1}
    assert np.array_equal(splicer.committed(now).positions, before.positions)


def test_a_first_row_in_the_distant_future_has_another_clock() -> None:
    splicer, now = running()
    chunk = Chunk(1200 * MS, NAMES, rows(2), (SECOND, 2 * SECOND))
    assert splicer.offer(chunk, now) is Outcome.FUTURE


@pytest.mark.parametrize(
    ("positions", "offsets", "expected"),
    [
        (np.full((2, 8), np.nan), (MS, 2 * MS), Outcome.NOT_FINITE),
        (np.full((2, 8), np.inf), (MS, 2 * MS), Outcome.NOT_FINITE),
        (np.zeros((2, 8)), (2 * MS, MS), Outcome.BAD_TIMES),
        (np.zeros((2, 8)), (MS, MS), Outcome.BAD_TIMES),
        (np.zeros((2, 7)), (MS, 2 * MS), Outcome.WRONG_JOINTS),
    ],
)
def test_a_message_that_is_not_a_chunk_is_counted_by_name(
    positions: np.ndarray, offsets: tuple[int, ...], expected: Outcome
) -> None:
    splicer, _ = running()
    with pytest.raises(WamError) as caught:
        Chunk(1100 * MS, NAMES, positions, offsets)
    assert splicer.refuse(caught.value) is expected
    assert splicer.statistics.refused == {expected: 1}


def test_chunks_are_refused_before_start_and_after_stop_and_one_captured_before_the_stop_stays_refused() -> None:
    splicer = Splicer(NAMES, (SPEED, SPEED, SPEED), (LOWER, UPPER), GRIPPERS.tolist())
    assert splicer.offer(make_chunk(), 0) is Outcome.NOT_RUNNING
    with pytest.raises(UnsafeCommandError, match="start"):
        splicer.sample(0)
    splicer, now = running()
    splicer.stop(now)
    assert splicer.offer(make_chunk(1200 * MS), now) is Outcome.NOT_RUNNING
    later = splicer.at_rest_ns
    splicer.start(splicer.sample(later).position, later)
    assert splicer.offer(make_chunk(1200 * MS), later) is Outcome.OLDER
    assert splicer.offer(make_chunk(now), later).accepted


def test_a_start_position_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="one per joint"):
        make_splicer().start(np.zeros(3), 0)


# -- where the robot may be ----------------------------------------------------------------------


def left_of(limit: float) -> dict[str, object]:
    """A room that the first joint leaves at a limit."""
    return {"free": lambda positions: positions[:, 0] < limit}


def test_a_chunk_is_followed_as_far_as_the_robot_may_go_and_ends_there_at_rest() -> None:
    ramp = np.where(GRIPPERS, 1.0, HOME + np.linspace(0.01, 0.6, 32)[:, None] * np.eye(len(NAMES))[0])
    splicer = make_splicer(**left_of(0.3))
    assert splicer.offer(make_chunk(0, ramp), 0) is Outcome.ACCEPTED
    path = played(splicer, 0, 5 * SECOND)[:, 0]
    assert 0.27 < path[-1] == path[-2]
    assert path.max() < 0.3


def test_a_chunk_that_leaves_at_once_is_refused_and_one_that_comes_back_in_is_not() -> None:
    splicer = make_splicer(**left_of(-0.1))  # the robot starts outside
    out, back = (np.where(GRIPPERS, 1.0, HOME + x * np.linspace(0, 1, 32)[:, None]) for x in (0.3, -0.3))
    assert splicer.offer(make_chunk(0, out), 0) is Outcome.OUTSIDE
    assert splicer.statistics.refused == {Outcome.OUTSIDE: 1}
    assert splicer.offer(make_chunk(MS, back), MS) is Outcome.ACCEPTED
    inside = splicer.at_rest_ns
    again = np.where(GRIPPERS, 1.0, splicer.sample(inside).position + np.linspace(0.25, 0.5, 32)[:, None])
    assert splicer.offer(make_chunk(inside, again), inside) is Outcome.OUTSIDE


# -- approach, stop ------------------------------------------------------------------------------


def test_a_chunk_that_is_too_far_can_be_approached_slowly_and_is_then_taken() -> None:
    splicer = make_splicer()
    far = rows(32) + np.where(GRIPPERS, 0.0, [0.8, 0.7, -0.9, 0, 0.5, 1.2, 0.2, 0])
    assert splicer.offer(make_chunk(0, far), 0) is Outcome.TOO_FAR
    splicer.approach(far[0], 0)
    path = played(splicer, 0, splicer.at_rest_ns)
    assert np.abs(np.diff(path, axis=0) / STEP_S)[:, ARMS].max() <= 0.2 * SPEED[ARMS].max() * (1 + 1e-6)
    assert violations(path[:, ARMS], STEP_S, LIMITS.scaled(0.2)) == 0
    now = splicer.at_rest_ns
    assert np.allclose(splicer.sample(now).position, far[0], atol=1e-6)
    assert splicer.offer(make_chunk(now, far), now).accepted


def test_a_robot_that_stood_still_while_the_chunk_was_made_begins_where_it_stands() -> None:
    ramp = np.where(GRIPPERS, 1.0, HOME + np.linspace(0.03, 1.2, 32)[:, None] * np.eye(len(NAMES))[0])
    slow, now = make_splicer(), round(1.2 * SECOND)
    assert slow.offer(make_chunk(0, ramp), now) is Outcome.BEHIND
    assert slow.statistics.accepted == 1
    path = played(slow, now, slow.at_rest_ns)[:, 0]
    assert np.abs(np.diff(path)).max() / STEP_S < 1.0
    assert path[-1] == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize("latency_ms", [190, 350, 800])
def test_a_robot_that_stood_walks_the_path_as_it_was_meant_however_late_the_chunk(latency_ms: int) -> None:
    """A policy is never shown hands that hurry after a path whose beginning they missed; from there it goes astray."""
    prompt, late, chunk = make_splicer(), make_splicer(), make_chunk(0, rows(32, sway=0.45))
    assert prompt.offer(chunk, 0) is Outcome.ACCEPTED
    assert late.offer(chunk, latency_ms * MS) is Outcome.BEHIND
    meant = played(prompt, 0, 2 * SECOND)
    walked = played(late, latency_ms * MS, latency_ms * MS + 2 * SECOND)
    assert np.abs(walked - meant)[:, ARMS].max() < 1e-6


def test_a_chunk_that_waits_for_its_own_latency_is_not_delayed_once_more() -> None:
    splicer, landed = make_splicer(), 400 * MS
    standing = np.concatenate([np.tile(HOME, (6, 1)), rows(26)])  # 6 rows of 67 ms, until it lands
    assert splicer.offer(make_chunk(0, standing + 1e-3 * ARMS), landed) is Outcome.ACCEPTED
    later = Chunk.at_rate(SECOND * 3, NAMES, rows(26) + splicer.sample(3 * SECOND).position - HOME, 15.0, first_row=7)
    assert splicer.at_rest_ns < later.stamp_ns
    assert splicer.offer(later, 3 * SECOND + landed) is Outcome.ACCEPTED


def test_a_position_outside_the_bounds_is_not_approached() -> None:
    splicer = make_splicer()
    with pytest.raises(UnsafeCommandError, match="inside the bounds"):
        splicer.approach(UPPER + 0.1, 0)


def test_nothing_is_approached_through_where_the_robot_may_not_be() -> None:
    far = np.where(GRIPPERS, 1.0, HOME + 0.8 * np.eye(len(NAMES))[0])

    def outside_halfway(positions: FloatArray) -> np.ndarray:
        return np.abs(positions[:, 0] - HOME[0] - 0.4) > 0.1

    splicer = make_splicer(free=outside_halfway)
    with pytest.raises(UnsafeCommandError, match="leaves the workspace"):
        splicer.approach(far, 0)


@many
@given(streams(), st.integers(0, 3000))
def test_a_stop_at_any_time_comes_to_rest_soon_and_stays_inside_the_bounds(stream: list[Event], after_ms: int) -> None:
    splicer, now = make_splicer(), 0
    for event in stream:
        now += event.pause_ms * MS
        splicer.offer(event.chunk(now, splicer.sample(now).position), now)
    now = (now + after_ms * MS) // TICK_NS * TICK_NS
    running_to = splicer.at_rest_ns
    splicer.stop(now)
    # The longest stop: from full speed at the gentlest joint's acceleration and jerk, or the end of the motion.
    assert splicer.at_rest_ns - now < max(2 * SECOND, running_to - now + MS)
    path = played(splicer, now, splicer.at_rest_ns + 3 * TICK_NS)
    assert violations(path[:, ARMS], STEP_S, LIMITS) == 0
    assert np.array_equal(path[-1], path[-2])


def test_a_stop_is_shorter_than_what_was_committed() -> None:
    splicer, now = running()
    committed_to = splicer.at_rest_ns
    splicer.stop(now + 500 * MS)
    assert splicer.at_rest_ns - now - 500 * MS < 0.6 * SECOND
    assert splicer.at_rest_ns < committed_to


# -- grippers ------------------------------------------------------------------------------------


def gripping(method: Method = "governed", **changes: object) -> tuple[Splicer, int]:
    """A splicer that opens, then gets a chunk that closes at once; and the time of the second one."""
    splicer = make_splicer(method=method, **changes)
    splicer.offer(make_chunk(0), 300 * MS)
    splicer.offer(make_chunk(600 * MS, np.where(GRIPPERS, 0.0, rows(32, start_s=0.6))), 900 * MS)
    return splicer, 900 * MS


@pytest.mark.parametrize("method", ["governed", "ensemble", "average", "fade", "naive"])
def test_grippers_do_the_newest_intent_at_their_own_speed_and_are_never_averaged(method: Method) -> None:
    splicer, now = gripping(method)
    openings = played(splicer, now, now + SECOND)[:, GRIPPERS]
    assert np.abs(np.diff(openings, axis=0)).max() <= 4.0 * STEP_S * (1 + 1e-9)
    assert not openings[round(0.4 / STEP_S) :].any()


def test_grippers_are_told_earlier_by_their_latency() -> None:
    closing = np.where(GRIPPERS, (np.arange(32) < 15)[:, None], rows(32))
    told = []
    for latency_s in (0.0, 0.2):
        splicer = make_splicer(gripper_latency_s=[latency_s, latency_s])
        splicer.offer(make_chunk(0, closing), 0)
        told.append(int(np.argmax(played(splicer, 0, 3 * SECOND)[:, 3] < 0.5)) * STEP_S)
    assert told[0] - told[1] == pytest.approx(0.2, abs=0.04)


def test_small_changes_of_a_gripper_are_ignored_and_almost_closed_means_closed() -> None:
    splicer = make_splicer()
    shaky = 0.5 + 0.008 * (-1.0) ** np.arange(32)[:, None]
    splicer.offer(make_chunk(0, np.where(GRIPPERS, shaky, rows(32))), 0)
    openings = played(splicer, SECOND, 2 * SECOND)[:, 3]
    assert np.ptp(openings) == 0
    splicer.offer(make_chunk(2 * SECOND, np.where(GRIPPERS, 0.01, HOME)[None].repeat(32, 0)), 2 * SECOND)
    assert splicer.sample(4 * SECOND).position[3] == 0


# -- methods -------------------------------------------------------------------------------------


def test_waiting_takes_only_chunks_captured_at_rest_and_executes_their_first_rows_from_the_beginning() -> None:
    splicer = make_splicer(method="wait")
    assert splicer.offer(make_chunk(0), 350 * MS).accepted
    assert splicer.offer(make_chunk(500 * MS), 800 * MS) is Outcome.NOT_AT_REST
    rest = splicer.at_rest_ns
    assert np.abs(splicer.sample(rest).position - rows(32)[15])[ARMS].max() < 0.01
    assert splicer.offer(
        make_chunk(rest + MS, splicer.sample(rest).position + rows(32) - HOME), rest + 350 * MS
    ).accepted


def test_seam_steps_are_measured_and_vanish() -> None:
    splicer = make_splicer()
    for k in range(10):
        now = (k * 900 + 350) * MS
        disagreement = np.random.default_rng(k).normal(0, 0.02, len(NAMES))
        splicer.offer(make_chunk(k * 900 * MS, rows(32, start_s=0.9 * k) + np.where(GRIPPERS, 0, disagreement)), now)
    assert splicer.statistics.accepted == 10
    assert splicer.statistics.seam_step_rad_max < 1e-6
    assert splicer.statistics.seam_step_rad_s_max < 1e-6


def test_the_planner_never_uses_waypoints_that_would_be_sent_to_a_cloud_service() -> None:
    source = "".join(path.read_text() for path in Path(wam_ros.motion.__path__[0]).glob("*.py"))
    assert "ruckig" in source
    assert not re.search(r"intermediate_positions", source)
