# SPDX-License-Identifier: Apache-2.0
"""What trials say together: rates and times, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

#: Half width of the central 95 % of a normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Trial:
    """One attempt of one policy.

    Attributes:
        policy: which of the policies under test.
        number: of the attempt of that policy, from 1; attempts of the same number belong together.
        seed: of the scene.
        success: by the task's strict measure.
        progress: 0 to 1, the shares of the stages reached.
        stages: stage name to the time at which it was reached [s]; None if it was not.
        duration_s: from the start to the end.
        ending: what ended it.
        note: a stop's cause, or a person's remark.
    """

    policy: str
    number: int
    seed: int
    success: bool
    progress: float
    stages: Mapping[str, float | None]
    duration_s: float
    ending: str = ""
    note: str = ""


@dataclass(frozen=True)
class Share:
    """A share of trials with its 95 % interval (Wilson 1927)."""

    count: int
    trials: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share itself; 0 without a trial."""
        return self.count / self.trials if self.trials else 0.0


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval; None without a value."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Score:
    """What the trials of one policy say.

    Attributes:
        success: share that succeeded.
        progress: mean progress, 0 to 1.
        stages: share that reached each stage.
        time_to_success_s: quartiles of the times of those that succeeded; None without one.
        restricted_mean_time_s: mean time with every failure counted as the time limit: fast failures gain nothing.
    """

    success: Share
    progress: Mean
    stages: Mapping[str, Share]
    time_to_success_s: tuple[float, float, float] | None
    restricted_mean_time_s: Mean
    notes: Mapping[str, int] = field(default_factory=dict)


def score(trials: Sequence[Trial], stages: Iterable[str], limit_s: float) -> Score:
    """Return what the trials of one policy say.

    Args:
        trials: of one policy.
        stages: names, in the task's order.
        limit_s: the task's time limit.
    """
    times = [trial.duration_s for trial in trials if trial.success]
    notes = [trial.note for trial in trials if trial.note and not trial.success]
    return Score(
        success=share(trial.success for trial in trials),
        progress=mean((trial.progress for trial in trials), 0.0, 1.0),
        stages={name: share(trial.stages.get(name) is not None for trial in trials) for name in stages},
        time_to_success_s=_quartiles(times),
        restricted_mean_time_s=restricted_mean_time(trials, limit_s),
        notes={note: notes.count(note) for note in sorted(set(notes))},
    )


def share(outcomes: Iterable[bool]) -> Share:
    """Return the share of true outcomes."""
    found = list(outcomes)
    return Share(sum(found), len(found), *wilson_interval(sum(found), len(found)))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a success rate (Wilson 1927); (0, 1) without a trial.

    Written out, because the library that has it takes a second and 80 MB to import.
    """
    if trials == 0:
        return 0.0, 1.0
    rate, spread = successes / trials, Z_95 * Z_95 / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(rate * (1 - rate) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def restricted_mean_time(trials: Sequence[Trial], limit_s: float) -> Mean:
    """Return the mean time to success within the limit (Royston and Parmar 2013); a failure takes the whole limit.

    It is the area below the curve of attempts still unfinished: no attempt is censored before the limit.
    """
    return mean((min(t.duration_s, limit_s) if t.success else limit_s for t in trials), 0.0, limit_s)


def mean(values: Iterable[float], lowest: float, highest: float) -> Mean:
    """Return a mean with the normal 95 % interval of its standard error, within what is possible.

    A single value has no spread to judge by: its interval is everything possible.
    """
    found = np.fromiter(values, np.float64)
    if not found.size:
        return Mean(None, None, None)
    centre = float(found.mean())
    if found.size == 1:
        return Mean(centre, lowest, highest)
    half = Z_95 * float(found.std(ddof=1)) / math.sqrt(found.size)
    return Mean(centre, max(lowest, centre - half), min(highest, centre + half))


def _quartiles(times: Sequence[float]) -> tuple[float, float, float] | None:
    if not times:
        return None
    low, middle, high = (float(q) for q in np.percentile(times, (25, 50, 75)))
    return low, middle, high
