# SPDX-License-Identifier: Apache-2.0
"""What each way of joining chunks does to the motion: jerk, steps, idle time, lag and broken limits.

All methods get the same predictions of one demonstration with the same latencies; peers' methods are
played as their users run them, the default one as the robot gets it. One cell is a method and a latency;
it holds four runs with different jitter. Jerk is that of all four, lag, idle share and steps are the
worst of the four, violations are added up. Everything is judged at 200 Hz from positions alone. While ``wait``
waits, its demonstration stands still: its idle share, not its lag, says what waiting costs.

With ``--closed-loop`` the towel is folded too, see :mod:`wam_ros.bench.closed_loop`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from wam_ros.bench.players import CLOSED_LOOP_METHODS, METHODS, STRIDE_ROWS, Governed, Player, create_player
from wam_ros.core.limits import Limits
from wam_ros.core.robot import Robot
from wam_ros.core.schedule import Schedule, schedule
from wam_ros.core.seams import idle_share, jerk_rms, lag_s, violations
from wam_ros.core.task import Method
from wam_ros.core.types import NS_PER_S, FloatArray
from wam_ros.files.assets import load_robot, load_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LATENCIES_MS = (0, 190, 350, 800)
TASK = "towel_fold"
DURATION_S = 40.0
STEP_S = 0.005
# The demonstration moves forty times faster than this at nearly all times.
STILL_RAD_S = 0.02


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures")
    parser.add_argument("--closed-loop", action="store_true", help="fold the simulated towel, too")
    closed = parser.add_argument_group("closed loop")
    closed.add_argument("--episodes", type=int, default=4, help="attempts of each method and latency (default: 4)")
    closed.add_argument("--methods", nargs="+", choices=CLOSED_LOOP_METHODS, default=CLOSED_LOOP_METHODS)
    closed.add_argument("--latencies", nargs="+", type=int, default=LATENCIES_MS, metavar="MS")
    closed.add_argument("--policy", default="", help="name or YAML path (default: the task's)")
    closed.add_argument("--disagreement-mrad", type=float, default=4.0, help="between two chunks (default: 4)")


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
    """Return the keys of the bench ``seams``, and draw them where asked to."""
    figures = synthetic()
    if options is not None and options.closed_loop:
        from wam_ros.bench import closed_loop  # imported late: the synthetic part needs no simulator

        figures |= closed_loop.run(options)
    if options is not None and options.plot:
        plot(figures, options.plot)
    return figures


def synthetic() -> dict[str, float | str]:
    """Return the figures of the synthetic stream.

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
    """Draw jerk against lag, one panel for each latency, and the success of the closed loop where there is one."""
    from matplotlib.figure import Figure  # imported late: the figures need no matplotlib

    closed = "episodes_closed" in figures
    count = len(LATENCIES_MS) + closed
    figure = Figure(figsize=(2.75 * count, 3.4), layout="constrained", dpi=150)
    first = figure.add_subplot(1, count, 1, ylabel="RMS jerk [rad/s³]")
    for number, latency_ms in enumerate(LATENCIES_MS):
        axes = figure.add_subplot(1, count, number + 1, sharey=first) if number else first
        axes.tick_params(labelleft=not number)
        _draw_jerk(axes, figures, latency_ms)
    if closed:
        _draw_success(figure.add_subplot(1, count, count), figures)
    figure.legend(*first.get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path)


def _draw_jerk(axes: Axes, figures: Mapping[str, float | str], latency_ms: int) -> None:
    for number, method in enumerate(METHODS):
        x, y = (float(figures[f"{key}__{method}__{latency_ms}"]) for key in ("lag_ms", "jerk_rms"))
        chosen = method == figures["default_method"]
        axes.plot(x, y, "*" if chosen else "o", color=f"C{number}", markersize=13 if chosen else 6, label=method)
    axes.axhline(float(figures["jerk_rms__demo"]), color="0.5", linestyle="--", linewidth=1, label="demonstration")
    axes.set(title=f"{latency_ms} ms latency", xlabel="lag [ms]", yscale="log", xlim=(-30, 30))
    axes.grid(alpha=0.3)


def _draw_success(axes: Axes, figures: Mapping[str, float | str]) -> None:
    """Draw one group of bars for each latency, one bar for each method that was measured."""
    measured = [key.split("__")[1:] for key in figures if key.startswith("success__")]
    methods = [method for method in METHODS if any(method == m for m, _ in measured)]
    latencies = sorted({int(latency_ms) for _, latency_ms in measured})
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        at = np.arange(len(latencies)) + (place - (len(methods) - 1) / 2) * width
        success = [100 * float(figures[f"success__{method}__{latency_ms}"]) for latency_ms in latencies]
        axes.bar(at, success, 0.9 * width, color=f"C{METHODS.index(method)}")
    axes.set(title=f"towel folded, {figures['episodes_closed']:.0f} attempts", xlabel="latency [ms]", ylim=(0, 105))
    axes.set(ylabel="success [%]", xticks=range(len(latencies)), xticklabels=latencies)
    axes.grid(axis="y", alpha=0.3)


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
