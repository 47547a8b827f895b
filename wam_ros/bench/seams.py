# SPDX-License-Identifier: Apache-2.0
"""What each way of joining chunks does to the motion: jerk, steps, idle time, lag and broken limits.

All methods get the same predictions of one demonstration with the same latencies; peers' methods are
played as their users run them, the default one as the robot gets it. One cell is a method and a latency;
it holds four runs with different jitter. Jerk is that of all four, lag, idle share and steps are the
worst of the four, violations are added up. Everything is judged at 200 Hz from positions alone. While ``wait``
waits, its demonstration stands still: its idle share, not its lag, says what waiting costs.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time_ns
from typing import Protocol, get_args

import numpy as np

from wam_ros.bench.chunk_stream import (
    HORIZON,
    JITTERS,
    RATE_HZ,
    SETTLED_S,
    Demonstration,
    Jitter,
    predicted,
    stream,
)
from wam_ros.bench.peers import Polynomial, Rows
from wam_ros.core.limits import Limits
from wam_ros.core.methods import Newest, create_method
from wam_ros.core.robot import Robot
from wam_ros.core.schedule import Schedule, schedule
from wam_ros.core.seams import idle_share, jerk_rms, lag_s, violations
from wam_ros.core.task import Method
from wam_ros.core.types import NS_PER_S, Chunk, FloatArray
from wam_ros.files.assets import load_robot, load_task
from wam_ros.motion.splicer import Outcome, Splicer

METHODS: tuple[Method, ...] = get_args(Method)
LATENCIES_MS = (0, 190, 350, 800)
TASK = "towel_fold"
DURATION_S = 40.0
STEP_S = 0.005
STRIDE_ROWS = 16
# The demonstration moves forty times faster than this at nearly all times.
STILL_RAD_S = 0.02


class Player(Protocol):
    """A way to play chunks."""

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""

    def offer(self, chunk: Chunk, now_ns: int) -> object:
        """Take a chunk that has just landed."""

    def positions(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times not before the last offer to (N, J) commanded positions."""

    def velocity(self, now_ns: int) -> FloatArray:
        """(J,) commanded velocity."""


class Governed:
    """The robot's own splicer, with the processor time of each call."""

    def __init__(self, robot: Robot, method: Method) -> None:
        self.splicer = Splicer.for_robot(robot, method=method)
        self.costs_us: list[float] = []

    def start(self, position: FloatArray, now_ns: int) -> None:
        """Stand at a position."""
        self.splicer.start(position, now_ns)

    def offer(self, chunk: Chunk, now_ns: int) -> Outcome:
        """Take a chunk that has just landed."""
        begin = thread_time_ns()
        outcome = self.splicer.offer(chunk, now_ns)
        self.costs_us.append((thread_time_ns() - begin) / 1e3)
        return outcome

    def positions(self, times_ns: np.ndarray) -> FloatArray:
        """(N,) times to (N, J) commanded positions."""
        return self.splicer.trajectory(times_ns).positions

    def velocity(self, now_ns: int) -> FloatArray:
        """(J,) commanded velocity."""
        return np.asarray(self.splicer.trajectory(np.array([now_ns])).velocities[0])


@dataclass(frozen=True)
class Run:
    """What came out of one method, latency and jitter; (N, J) positions of the arms at STEP_S.

    Attributes:
        commanded, wanted: what was commanded, and the demonstration.
        step_rad, step_rad_s: largest difference of the commanded positions and velocities just before
            and just after a chunk was taken, but for the first.
        costs_us: processor time of each call, where it was measured.
    """

    commanded: FloatArray
    wanted: FloatArray
    step_rad: float
    step_rad_s: float
    costs_us: Sequence[float] = ()

    def settled(self) -> tuple[FloatArray, FloatArray]:
        """Commanded and wanted positions without the first motion."""
        first = round(SETTLED_S / STEP_S)
        return self.commanded[first:], self.wanted[first:]


def run(options: Namespace | None = None) -> dict[str, float | str]:
    """Return the keys of the bench ``seams``.

    ``jerk_rms__demo`` is the floor; ``jerk_of_naive__L`` and ``jerk_of_best_peer__L`` are the default's jerk
    over that of ``naive`` and of the smoothest peer, whatever its lag.
    """
    robot = load_robot(load_task(TASK).default_robot)
    arms = ~np.array(robot.gripper_mask)
    limits = Limits(*(bound[arms] for bound in (*robot.bounds(), *robot.motion_limits())))
    figures: dict[str, float | str] = {"jerk_rms__demo": _demonstrated(robot)}
    costs_us: list[float] = []
    for method in METHODS:
        for latency_ms in LATENCIES_MS:
            runs = [play(method, latency_ms / 1000, jitter, create_player(method, robot), robot) for jitter in JITTERS]
            figures.update({f"{key}__{method}__{latency_ms}": x for key, x in cell(runs, limits).items()})
            costs_us += [cost for one in runs for cost in one.costs_us]
    best = default_method(figures)
    figures["default_method"] = best
    for latency_ms in LATENCIES_MS:
        figures.update(_ratios(figures, best, latency_ms))
    figures["splice_us_p50"], figures["splice_us_p99"] = np.percentile(costs_us, [50, 99]).tolist()
    return figures


def cell(runs: Sequence[Run], limits: Limits) -> dict[str, float]:
    """Return the figures of one method and latency."""
    settled = [one.settled() for one in runs]
    lags_ms = [1e3 * lag_s(commanded, wanted, STEP_S) for commanded, wanted in settled]
    return {
        "jerk_rms": float(np.sqrt(np.mean([jerk_rms(commanded, STEP_S) ** 2 for commanded, _ in settled]))),
        "step_rad": max(one.step_rad for one in runs),
        "step_rad_s": max(one.step_rad_s for one in runs),
        "idle": max(idle_share(commanded, STEP_S, STILL_RAD_S) for commanded, _ in settled),
        "lag_ms": max(lags_ms, key=abs),
        "violations": float(sum(violations(one.commanded, STEP_S, limits) for one in runs)),
    }


def default_method(figures: Mapping[str, float | str]) -> Method:
    """Return the method that breaks fewest limits, and of those the one with the least jerk over all latencies."""

    def rank(method: Method) -> tuple[float, float]:
        keys = [f"{method}__{latency_ms}" for latency_ms in LATENCIES_MS]
        return sum(float(figures[f"violations__{k}"]) for k in keys), sum(
            float(figures[f"jerk_rms__{k}"]) for k in keys
        )

    return min(METHODS, key=rank)


def plot(figures: Mapping[str, float | str], path: Path) -> None:
    """Draw jerk against lag, one panel for each latency, with the demonstration's jerk as the floor."""
    from matplotlib.figure import Figure  # imported late: the figures need no matplotlib

    figure = Figure(figsize=(11, 3.4), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(LATENCIES_MS), sharey=True)
    for axes, latency_ms in zip(panels, LATENCIES_MS, strict=True):
        for number, method in enumerate(METHODS):
            x, y = (float(figures[f"{key}__{method}__{latency_ms}"]) for key in ("lag_ms", "jerk_rms"))
            chosen = method == figures["default_method"]
            axes.plot(x, y, "*" if chosen else "o", color=f"C{number}", markersize=13 if chosen else 6, label=method)
        axes.axhline(float(figures["jerk_rms__demo"]), color="0.5", linestyle="--", linewidth=1, label="demonstration")
        axes.set(title=f"{latency_ms} ms latency", xlabel="lag [ms]", yscale="log", xlim=(-30, 30))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("RMS jerk [rad/s³]")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path)


def create_player(method: Method, robot: Robot) -> Player:
    """Return the default method as the robot gets it, any other as its users run it."""
    if method == "governed":
        return Governed(robot, method)
    return Polynomial(Newest()) if method == "c2" else Rows(create_method(method, robot.gripper_mask, STRIDE_ROWS))


def rhythm(method: Method, latency_s: float) -> Schedule:
    """Return when a method infers: ensembling as often as it can, the others as the policy's file says."""
    stride_rows = 1 if method == "ensemble" else STRIDE_ROWS
    return schedule(latency_s, RATE_HZ, HORIZON, stride_rows)


def play(method: Method, latency_s: float, jitter: Jitter, player: Player, robot: Robot, seed: int = 0) -> Run:
    """Play one stream of chunks and return what was commanded."""
    demonstration = Demonstration(robot)
    inferences = stream(latency_s, jitter, rhythm(method, latency_s), DURATION_S, method == "wait", seed)
    arms = ~demonstration.grippers
    times = np.arange(round(DURATION_S / STEP_S)) * round(STEP_S * NS_PER_S)
    player.start(demonstration.positions(np.zeros(1))[0], 0)
    steps, parts, at = [(0.0, 0.0)], [], 0
    for arrival in (a for a in inferences.arrivals if not a.lost):
        until = int(np.searchsorted(times, arrival.landed_ns))
        parts.append(player.positions(times[at:until]))
        at = until
        before = _here(player, arrival.landed_ns)
        player.offer(predicted(demonstration, robot, arrival, seed), arrival.landed_ns)
        if len(parts) > 1:
            steps.append(tuple(np.abs(_here(player, arrival.landed_ns) - before)[:, arms].max(axis=1)))
    parts.append(player.positions(times[at:]))
    wanted = demonstration.positions(inferences.clock_s(times))
    step_rad, step_rad_s = np.max(steps, axis=0).tolist()
    costs_us = player.costs_us if isinstance(player, Governed) else ()
    return Run(np.concatenate(parts)[:, arms], wanted[:, arms], step_rad, step_rad_s, costs_us)


def _here(player: Player, now_ns: int) -> FloatArray:
    return np.stack((player.positions(np.array([now_ns]))[0], player.velocity(now_ns)))


def _demonstrated(robot: Robot) -> float:
    times = np.arange(SETTLED_S, DURATION_S, STEP_S)
    return jerk_rms(Demonstration(robot).positions(times)[:, ~np.array(robot.gripper_mask)], STEP_S)


def _ratios(figures: Mapping[str, float | str], best: Method, latency_ms: int) -> dict[str, float]:
    jerk = {m: float(figures[f"jerk_rms__{m}__{latency_ms}"]) for m in METHODS}
    return {
        f"jerk_of_naive__{latency_ms}": jerk[best] / jerk["naive"],
        f"jerk_of_best_peer__{latency_ms}": jerk[best] / min(jerk[m] for m in METHODS if m != best),
    }
