"""Whether chunks of this length hide this latency, and when to infer next."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError
from wam_ros.core.schedule import schedule
from wam_ros.core.types import NS_PER_S


@pytest.mark.parametrize(
    ("rate_hz", "latency_s", "delay"),
    [(10, 0.19, 2), (15, 0.19, 3), (15, 0.35, 6), (15, 0.8, 12), (20, 0.8, 16), (30, 0.5, 15), (50, 0.19, 10)],
)
def test_a_latency_becomes_rows(rate_hz: float, latency_s: float, delay: int) -> None:
    rhythm = schedule(latency_s, rate_hz, 32, 16)
    assert rhythm.delay_rows == delay
    assert delay <= rhythm.stride_rows <= 32 - delay


@pytest.mark.parametrize(("rate_hz", "latency_s"), [(25, 0.8), (30, 0.8), (50, 0.35), (15, 1.2), (10, 190)])
def test_a_latency_that_no_stride_can_hide_is_refused_with_what_would_help(rate_hz: float, latency_s: float) -> None:
    with pytest.raises(ConfigError, match=r"lower rate_hz to .*slower motion by .*method to wait") as caught:
        schedule(latency_s, rate_hz, 32, 16)
    advised = float(str(caught.value).split("lower rate_hz to ")[1].split()[0])
    assert schedule(latency_s, advised, 32, 16).delay_rows <= 16


@given(st.floats(0, 1), st.floats(5, 50), st.integers(2, 64), st.integers(1, 64))
def test_every_schedule_is_feasible_or_refused(latency_s: float, rate_hz: float, horizon: int, stride: int) -> None:
    try:
        rhythm = schedule(latency_s, rate_hz, horizon, stride)
    except ConfigError:
        assert 2 * math.ceil(latency_s * rate_hz - 1e-9) > horizon
        return
    assert rhythm.delay_rows <= rhythm.stride_rows <= horizon - rhythm.delay_rows
    assert rhythm.stride_rows >= 1
    assert rhythm.slack_s >= 0


@given(st.floats(0, 0.8), st.integers(1, 32), st.booleans())
def test_in_rhythm_a_chunk_lands_before_the_one_before_it_runs_out(latency_s: float, stride: int, loss: bool) -> None:
    rhythm = schedule(latency_s, 15, 32, stride)
    latency_ns, horizon_ns = round(latency_s * NS_PER_S), round(32 * NS_PER_S / 15)
    captured = 0
    following = rhythm.next_observation_ns(captured, captured + latency_ns)
    if loss and rhythm.survives_a_loss:
        following = rhythm.next_observation_ns(following, following + latency_ns)
    assert following + latency_ns <= captured + horizon_ns + 1


def test_the_next_picture_is_never_taken_before_the_last_chunk_has_landed() -> None:
    rhythm = schedule(0.19, 15, 32, 16)
    assert rhythm.next_observation_ns(0, 5 * NS_PER_S) == 5 * NS_PER_S


def test_shorter_strides_than_asked_for_make_up_for_a_lost_chunk_where_they_can() -> None:
    assert schedule(0.35, 15, 32, 16).survives_a_loss
    assert not schedule(0.8, 15, 32, 16).survives_a_loss
