"""The check of a motion against its limits is exact: it sees what lies between the knots, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError
from wam_ros.core.limits import Limits
from wam_ros.core.spline import Spline, State
from wam_ros.motion.governor import Governor

LIMITS = Limits(np.full(2, -1.0), np.full(2, 1.0), np.full(2, 2.0), np.full(2, 8.0), np.full(2, 100.0))
WIDE = Limits(np.full(2, -1e3), np.full(2, 1e3), LIMITS.velocity, LIMITS.acceleration, LIMITS.jerk)
laws = settings(max_examples=100, deadline=None, derandomize=True)


def motions() -> st.SearchStrategy[Spline]:
    """Motions of 2 joints and up to 12 pieces from any state."""

    def build(seed: int, pieces: int, jerk: float) -> Spline:
        rng = np.random.default_rng(seed)
        start = State(rng.uniform(-0.5, 0.5, 2), rng.uniform(-1, 1, 2), rng.uniform(-4, 4, 2))
        knots = np.concatenate(([0.0], np.cumsum(rng.uniform(0.02, 0.3, pieces))))
        return Spline.from_jerks(start, knots, rng.uniform(-jerk, jerk, (pieces, 2)))

    return st.builds(build, st.integers(0, 2**31), st.integers(1, 12), st.floats(0, 120))


def dense(motion: Spline) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return motion.sample(np.linspace(0, motion.duration_s, 4001)[:-1])


@laws
@given(motions())
def test_the_factor_to_slow_by_is_that_of_densely_sampled_derivatives(motion: Spline) -> None:
    _, v, a = dense(motion)
    sampled = max(
        (np.abs(v) / LIMITS.velocity).max(),
        (np.abs(a) / LIMITS.acceleration).max() ** (1 / 2),
        (np.abs(motion.jerks) / LIMITS.jerk).max() ** (1 / 3),
        1.0,
    )
    assert sampled - 1e-9 <= LIMITS.slowing(motion) <= sampled * 1.01


@laws
@given(motions())
def test_a_motion_slowed_by_its_factor_keeps_the_limits_on_the_same_path(motion: Spline) -> None:
    factor = LIMITS.slowing(motion)
    slowed = motion.slowed(factor)
    assert LIMITS.slowing(slowed) == 1.0
    assert np.allclose(slowed.positions, motion.positions, atol=1e-9)
    assert slowed.duration_s == pytest.approx(factor * motion.duration_s)


@laws
@given(motions())
def test_overshoot_is_that_of_dense_samples(motion: Spline) -> None:
    positions = np.concatenate((dense(motion)[0], motion.positions))
    below, above = LIMITS.overshoot(motion)
    floor, ceiling = np.minimum(LIMITS.lower, positions[0]), np.maximum(LIMITS.upper, positions[0])
    assert np.allclose(below, np.maximum(floor - positions.min(axis=0), 0), atol=1e-4)
    assert np.allclose(above, np.maximum(positions.max(axis=0) - ceiling, 0), atol=1e-4)
    assert (below >= np.maximum(floor - positions.min(axis=0), 0) - 1e-8).all()


@laws
@given(motions(), st.floats(0, 1))
def test_the_rest_of_a_motion_is_that_motion_later(motion: Spline, share: float) -> None:
    time_s = share * motion.duration_s * 0.999
    rest = motion.after(time_s)
    later = np.linspace(0, rest.duration_s, 50)[:-1]
    for expected, got in zip(motion.sample(later + time_s), rest.sample(later), strict=True):
        assert np.allclose(got, expected, atol=1e-8)


@laws
@given(st.integers(0, 2**31))
def test_a_stop_from_any_state_inside_the_limits_keeps_them_and_rests(seed: int) -> None:
    rng = np.random.default_rng(seed)
    velocity = rng.uniform(-1, 1, 2) * LIMITS.velocity
    # An acceleration that can still be taken back before the velocity limit.
    room = np.sqrt(2 * LIMITS.jerk * (LIMITS.velocity - np.abs(velocity)))
    acceleration = rng.uniform(-1, 1, 2) * np.minimum(room, LIMITS.acceleration)
    state = State(rng.uniform(-1, 1, 2), velocity, acceleration)
    stop = Governor(WIDE).stop(state)
    assert stop is not None
    assert WIDE.slowing(stop) == 1.0
    assert np.abs(np.concatenate((stop.end.velocity, stop.end.acceleration))).max() < 1e-9
    assert np.array_equal(stop.start.velocity, velocity)


def test_a_planner_given_what_is_not_a_number_plans_nothing() -> None:
    broken = State(np.zeros(2), np.array([np.nan, 0]), np.zeros(2))
    assert Governor(LIMITS).stop(broken) is None


def test_a_motion_that_starts_outside_may_only_come_nearer() -> None:
    outside = State.at_rest(np.array([1.05, 0.0]))
    governor = Governor(LIMITS)
    inwards, outwards = (governor.move(outside, State.at_rest(np.array([x, 0.0]))) for x in (0.9, 1.1))
    assert inwards is not None
    assert outwards is not None
    assert LIMITS.admit(inwards)
    assert not LIMITS.admit(outwards)


def test_limits_of_different_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="one value per joint"):
        Limits(np.zeros(2), np.ones(2), np.ones(3), np.ones(2), np.ones(2))
