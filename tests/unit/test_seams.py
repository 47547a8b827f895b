"""The figures of a motion, and that the default way of joining chunks reaches the numbers of the bench."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from wam_ros.bench.chunk_stream import Demonstration, stream
from wam_ros.bench.players import METHODS, STRIDE_ROWS, create_player
from wam_ros.bench.seams import (
    HORIZON,
    LATENCIES_MS,
    RATE_HZ,
    STEP_S,
    cell,
    default_method,
    play,
    plot,
)
from wam_ros.core.limits import Limits
from wam_ros.core.robot import Robot
from wam_ros.core.schedule import schedule
from wam_ros.core.seams import idle_share, jerk_rms, lag_s, violations
from wam_ros.core.task import Task
from wam_ros.core.types import NS_PER_S

TIMES = np.arange(0, 10, 0.005)


def sway(times: np.ndarray) -> np.ndarray:
    return np.stack((np.sin(1.3 * times), 0.4 * np.cos(2 * times)), axis=1)


def test_jerk_of_a_cubic_is_six_times_its_coefficient() -> None:
    assert jerk_rms(0.5 * TIMES[:, None] ** 3, 0.005) == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize("late_s", [-0.1, 0.0, 0.0123, 0.2])
def test_lag_is_found_between_samples(late_s: float) -> None:
    assert lag_s(sway(TIMES - late_s), sway(TIMES), 0.005) == pytest.approx(late_s, abs=1e-4)


def test_idle_time_is_where_no_joint_moves() -> None:
    still_then_moving = np.concatenate((np.zeros((500, 2)), sway(TIMES[:500]) - sway(TIMES[:1])))
    assert idle_share(still_then_moving, 0.005, 0.02) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("motion", "broken"),
    [
        (1.9 * TIMES - 9.5, 0),
        (np.minimum(3.1 * TIMES, 6.2), 402),
        (np.where(TIMES < 5, 0.0, 1e-3), 3),
        (np.full(2000, 10.1), 2000),
        (4 * np.cos(2 * TIMES), np.count_nonzero(np.abs(16 * np.cos(2 * TIMES)) > 10)),
    ],
    ids=["inside", "too fast", "a step of 1 mrad", "outside", "accelerates too much"],
)
def test_violations_count_the_samples_beyond_a_bound(motion: np.ndarray, broken: int) -> None:
    limits = Limits(*(np.full(1, x) for x in (-10.0, 10.0, 3.0 if broken == 402 else 9.0, 10.0, 1000.0)))
    assert violations(motion[:, None], 0.005, limits) == pytest.approx(broken, abs=20 if broken > 3 else 0)


def test_a_stream_infers_one_at_a_time_and_loses_one_chunk_where_asked() -> None:
    rhythm = schedule(0.35, RATE_HZ, HORIZON, STRIDE_ROWS)
    arrivals = stream(0.35, "lost", rhythm, 20.0, waits=False).arrivals
    assert sum(arrival.lost for arrival in arrivals) == 1
    assert all(one.landed_ns <= two.captured_ns for one, two in pairwise(arrivals))


def test_the_demonstration_stands_still_while_a_waiting_robot_waits() -> None:
    waiting = stream(0.35, "uniform", schedule(0.35, RATE_HZ, HORIZON, STRIDE_ROWS), 20.0, waits=True)
    first = waiting.arrivals[3]
    clock = waiting.clock_s(np.array([first.captured_ns, first.landed_ns, first.landed_ns + NS_PER_S // 2]))
    assert clock[0] == clock[1]
    assert clock[2] - clock[1] == pytest.approx(0.5)


@pytest.fixture(scope="module")
def figures(robot: Robot) -> dict[str, float | str]:
    """The cells of the default and of the two peers it is measured against."""
    arms = ~np.array(robot.gripper_mask)
    limits = Limits(*(bound[arms] for bound in (*robot.bounds(), *robot.motion_limits())))
    found: dict[str, float | str] = {"jerk_rms__demo": 1.0, "default_method": "governed"}
    for method in ("naive", "c2", "governed"):
        for latency_ms in (190, 350, 800):
            jitters = ("heavy_tail", "lost") if method == "governed" else ("uniform",)
            runs = [play(method, latency_ms / 1e3, jitter, create_player(method, robot), robot) for jitter in jitters]
            found.update({f"{key}__{method}__{latency_ms}": x for key, x in cell(runs, limits).items()})
    return found


@pytest.mark.parametrize("latency_ms", [190, 350, 800])
def test_the_default_is_smooth_within_limits_and_not_idle(figures: dict[str, float], latency_ms: int) -> None:
    assert figures[f"step_rad__governed__{latency_ms}"] <= 1e-6
    assert figures[f"step_rad_s__governed__{latency_ms}"] <= 1e-6
    assert figures[f"violations__governed__{latency_ms}"] == 0
    assert figures[f"idle__governed__{latency_ms}"] <= (0.05 if latency_ms == 800 else 0)
    assert figures[f"jerk_rms__governed__{latency_ms}"] <= 0.05 * figures[f"jerk_rms__naive__{latency_ms}"]
    assert figures[f"jerk_rms__governed__{latency_ms}"] <= 0.5 * figures[f"jerk_rms__c2__{latency_ms}"]


def test_peers_do_jump_so_that_the_figures_can_tell(figures: dict[str, float]) -> None:
    assert figures["step_rad__naive__350"] > 0.02
    assert figures["violations__naive__350"] > 100


def test_the_method_that_measures_best_is_the_default_of_every_task(figures: dict[str, float]) -> None:
    every = {
        f"{key}__{m}__{latency}": 1e9 for key in ("jerk_rms", "violations") for m in METHODS for latency in LATENCIES_MS
    }
    same = {f"{key}__{m}__0": 0.0 for key in ("jerk_rms", "violations") for m in ("naive", "c2", "governed")}
    assert default_method({**every, **same, **figures}) == Task.__dataclass_fields__["method"].default


def test_the_plot_shows_every_method(figures: dict[str, float], tmp_path: Path) -> None:
    every = {
        f"{key}__{m}__{latency}": 1.0 for key in ("jerk_rms", "lag_ms") for m in METHODS for latency in LATENCIES_MS
    }
    plot({**every, **figures}, tmp_path / "seams.svg")
    drawn = (tmp_path / "seams.svg").read_text()
    assert drawn.count("<use") > 4 * len(METHODS)


def test_the_demonstration_keeps_the_robots_own_limits(robot: Robot) -> None:
    arms = ~np.array(robot.gripper_mask)
    limits = Limits(*(bound[arms] for bound in (*robot.bounds(), *robot.motion_limits())))
    positions = Demonstration(robot).positions(np.arange(0, 40, STEP_S))[:, arms]
    assert violations(positions, STEP_S, limits) == 0
