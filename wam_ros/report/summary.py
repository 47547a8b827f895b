# SPDX-License-Identifier: Apache-2.0
"""What a run comes down to: its attempts, and the flat figures of ``summary.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.trials.statistics import wilson_interval
from wam_ros.files.card import checkpoint_folder, parse_card
from wam_ros.report.recording import Recording
from wam_ros.report.versions import versions

Ending = Literal["success", "timeout", "stopped", "failed"]
Scalar = str | int | float | bool | None

#: Diagnostics that count from the start of their node; an attempt's figure is the difference.
COUNTERS = frozenset(
    {
        *("inferences", "chunks", "dropped", "incomplete", "failures", "decodes_dropped"),
        *("compared", "missed", "torn"),
        *("accepted", "takeovers", "overruns", "missed_ticks", "clock_jumps", "commands_refused"),
    }
)
COUNTER_FAMILIES = ("refused_", "ignored_", "arrivals_", "missing_")


@dataclass(frozen=True)
class Setup:
    """What was run, and how.

    Attributes:
        declared_latency_s: a chunk lands so long after its capture; in realtime perhaps later.
        episodes: attempts asked for.
        twin: nominal, or how it differs from that.
        demonstration_jerk_rms: of the arms in what the policy learned from [rad/s^3]; 0 where that is unknown.
    """

    task: str
    robot: str
    policy: str
    instruction: str
    stages: tuple[str, ...]
    timeout_s: float
    pace: str
    seed: int
    episodes: int
    declared_latency_s: float = 0.0
    twin: str = "nominal"
    demonstration_jerk_rms: float = 0.0


def make_setup(
    robot: Robot, task: Task, policy: Policy, pace: str, declared_latency_s: float, seed: int, episodes: int
) -> Setup:
    """Return what a summary says of a run before it begins."""
    return Setup(
        task=task.name,
        robot=robot.name,
        policy=policy.name,
        instruction=task.instruction,
        stages=tuple(stage.name for stage in task.stages),
        timeout_s=task.timeout_s,
        pace=pace,
        seed=seed,
        episodes=episodes,
        declared_latency_s=declared_latency_s,
        demonstration_jerk_rms=parse_card(checkpoint_folder(policy)).demonstration_jerk_rms
        if policy.checkpoint
        else 0.0,
    )


@dataclass(frozen=True)
class Attempt:
    """One attempt at the task.

    Attributes:
        ending: what ended it; ``failed`` was said by a person.
        progress: 0 to 1, the shares of the stages reached.
        stages: stage name to the time at which it was reached [s]; None if it was not.
        duration_s: from the start to the end, by the robot's clock.
        wall_s: the same by the wall clock.
        stop_cause: the cause code of a safety stop, else empty.
        measures: the judge's own measures.
        figures: ``<node>__<key>`` to number, from the nodes' diagnostics.
    """

    seed: int
    ending: Ending
    progress: float
    stages: Mapping[str, float | None]
    duration_s: float
    wall_s: float
    recording: Recording
    stop_cause: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """True when the judge said so."""
        return self.ending == "success"


@dataclass
class Run:
    """All attempts of a run, while it goes on and after.

    Attributes:
        complete: every attempt asked for was made and judged.
        error: the sentence that ended it early.
        interrupted: a person ended it early.
        memory_mb: process name to its largest resident memory.
    """

    setup: Setup
    attempts: list[Attempt] = field(default_factory=list)
    complete: bool = False
    error: str = ""
    interrupted: bool = False
    wall_s: float = 0.0
    memory_mb: dict[str, float] = field(default_factory=dict)

    @property
    def successes(self) -> int:
        """Number of attempts that succeeded."""
        return sum(attempt.success for attempt in self.attempts)

    @property
    def verdict(self) -> str:
        """What it came to in a sentence; attempts that were asked for and not made are not counted as lost."""
        made, asked = len(self.attempts), self.setup.episodes
        unmade = "" if made == asked else f"; {asked} were asked for"
        return f"{self.setup.task}: {self.successes} of {made} attempts succeeded{unmade}"

    def latency_ms(self) -> np.ndarray:
        """Return the latency of every inference [ms]."""
        return np.array([ms for attempt in self.attempts for _, ms in attempt.recording.latency_ms])

    def skew_ms(self) -> np.ndarray:
        """Return the skew of every camera to every leader frame [ms]."""
        return np.concatenate([np.zeros(0), *(attempt.recording.skew_ms() for attempt in self.attempts)])


def summarise(run: Run) -> dict[str, object]:
    """Return the flat figures of a run, and its attempts as a list under ``attempts``."""
    setup, attempts = run.setup, run.attempts
    low, high = wilson_interval(run.successes, len(attempts))
    times = [attempt.duration_s for attempt in attempts if attempt.success]
    return {
        "complete": run.complete,
        "error": run.error,
        "success_rate": run.successes / len(attempts) if attempts else 0.0,
        "successes": run.successes,
        "episodes": len(attempts),
        "episodes_asked": setup.episodes,
        "wilson_low": low,
        "wilson_high": high,
        "progress_mean": _mean(attempt.progress for attempt in attempts),
        "time_to_success_s_mean": _mean(times),
        **_settings(setup),
        **percentiles("latency_ms", run.latency_ms(), (50, 95)),
        **percentiles("skew_ms", run.skew_ms(), (50, 99)),
        **gathered_figures(attempts),
        **_smoothness(setup, attempts),
        **{f"stops__{cause}": count for cause, count in _stop_causes(attempts).items()},
        **{f"memory_mb__{name}": mb for name, mb in run.memory_mb.items()},
        "memory_mb_max": max(run.memory_mb.values(), default=None),
        "wall_s": round(run.wall_s, 2),
        "robot_s": round(sum(attempt.duration_s for attempt in attempts), 3),
        **{f"version__{name}": text for name, text in versions().items()},
        "attempts": [_attempt_data(attempt) for attempt in attempts],
    }


def gathered_figures(attempts: Iterable[Attempt]) -> dict[str, float]:
    """Return the nodes' figures over all attempts, see :func:`gather`."""
    return gather(attempt.figures for attempt in attempts)


def gather(figures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return figures of several attempts as one: counters added up, worst of extremes, mean of the rest."""
    columns: dict[str, list[float]] = {}
    for found in figures:
        for key, value in found.items():
            columns.setdefault(key, []).append(value)
    return {key: _gather(key, values) for key, values in sorted(columns.items())}


def is_counter(figure: str) -> bool:
    """Say whether a figure ``<node>__<key>`` counts from the start of its node."""
    key = figure.partition("__")[2]
    return key in COUNTERS or key.startswith(COUNTER_FAMILIES)


def write_summary(folder: Path, run: Run) -> Path:
    """Write ``summary.json``; a reader sees the old file or the whole new one, never a part."""
    path = folder / "summary.json"
    return write_whole(path, json.dumps(summarise(run), indent=2, allow_nan=False).encode())


def write_interim(folder: Path, run: Run) -> None:
    """Write the summary of a run that still goes on, so that a crash leaves its finished attempts."""
    write_summary(folder, replace(run, complete=False))


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file so that it appears complete or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def _smoothness(setup: Setup, attempts: Iterable[Attempt]) -> dict[str, object]:
    """Return how much rougher the robot moves than what its policy learned from; nothing where that is unknown."""
    jerk = gathered_figures(attempts).get("motion__jerk_rms_rad_s3")
    if jerk is None or not setup.demonstration_jerk_rms:
        return {}
    demonstrated = setup.demonstration_jerk_rms
    return {"demonstration_jerk_rms": demonstrated, "jerk_over_demonstrations": round(jerk / demonstrated, 4)}


def _settings(setup: Setup) -> dict[str, object]:
    return {
        "task": setup.task,
        "robot": setup.robot,
        "policy": setup.policy,
        "instruction": setup.instruction,
        "pace": setup.pace,
        "twin": setup.twin,
        "declared_latency_s": setup.declared_latency_s,
        "timeout_s": setup.timeout_s,
        "seed": setup.seed,
        "seeds": list(range(setup.seed, setup.seed + setup.episodes)),
    }


def _attempt_data(attempt: Attempt) -> dict[str, object]:
    return {
        "seed": attempt.seed,
        "success": attempt.success,
        "ending": attempt.ending,
        "progress": round(attempt.progress, 4),
        "time_to_success_s": round(attempt.duration_s, 3) if attempt.success else None,
        "duration_s": round(attempt.duration_s, 3),
        "wall_s": round(attempt.wall_s, 2),
        "stop_cause": attempt.stop_cause,
        "stages_s": dict(attempt.stages),
        "measures": dict(attempt.measures),
        **percentiles("latency_ms", np.array([ms for _, ms in attempt.recording.latency_ms]), (50, 95)),
        **percentiles("skew_ms", attempt.recording.skew_ms(), (99,)),
        **attempt.figures,
    }


def _gather(key: str, values: list[float]) -> float:
    if is_counter(key):
        return sum(values)
    if key.endswith(("_max", "_p95", "_p99")):
        return max(values)
    return round(float(np.mean(values)), 6)


def _stop_causes(attempts: Iterable[Attempt]) -> dict[str, int]:
    causes = [attempt.stop_cause for attempt in attempts if attempt.stop_cause]
    return {cause: causes.count(cause) for cause in sorted(set(causes))}


def percentiles(name: str, samples: np.ndarray, ranks: tuple[int, ...]) -> dict[str, float | None]:
    """Return percentiles of samples as ``<name>_p<rank>``; None without a sample."""
    return {
        f"{name}_p{rank}": round(float(np.percentile(samples, rank)), 3) if samples.size else None for rank in ranks
    }


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(float(np.mean(found)), 4) if found else None
