# SPDX-License-Identifier: Apache-2.0
"""Trials that a person has marked, as YAML or JSON: evaluations of robots that no simulator judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.task import Task
from wam_ros.core.trials.blinding import SIDES
from wam_ros.core.trials.statistics import Trial
from wam_ros.files.load import load_yaml


@dataclass(frozen=True)
class MarkedTrial:
    """One attempt.

    Attributes:
        success: by the task's strict measure.
        duration_s: from the start to the end.
        policy: ``A``, or ``B`` for the other one of a comparison.
        seed: whatever tells scenes apart; both trials of a pair have the same.
        stages: name of each stage that was reached, and when [s].
        note: why it failed.
    """

    success: bool
    duration_s: float
    policy: str = "A"
    seed: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Marks:
    """What a file of marks says.

    Attributes:
        task: its name.
        policies: ``A``, and ``B`` in a comparison, to the policy's name.
        trials: in the order in which they were made; the nth of A and the nth of B are a pair.
        robot: its name.
    """

    task: str
    policies: dict[str, str]
    trials: tuple[MarkedTrial, ...]
    robot: str = ""

    def __post_init__(self) -> None:
        if tuple(sorted(self.policies)) not in (("A",), SIDES):
            raise ConfigError(mismatch("policies", "A, or A and B", sorted(self.policies), "name them so"))


def read_marks(path: Path, task: Task) -> tuple[Marks, list[Trial]]:
    """Return what a file of marks says, and its trials.

    Raises:
        ConfigError: unreadable, of another task, or a trial with a stage, policy or time that cannot be.
    """
    marks = load_yaml(path, Marks)
    if marks.task != task.name:
        raise ConfigError(mismatch(f"{path}: task", task.name, marks.task, "evaluate the task that was marked"))
    if not marks.trials:
        raise ConfigError(mismatch(f"{path}: trials", "one or more", "none", "mark some"))
    made = dict.fromkeys(marks.policies, 0)
    trials = []
    for number, marked in enumerate(marks.trials, 1):
        place = f"{path}: trial {number}"
        if marked.policy not in made:
            raise ConfigError(mismatch(f"{place}: policy", " or ".join(made), marked.policy, "correct it"))
        made[marked.policy] += 1
        trials.append(_trial(marked, made[marked.policy], task, place))
    return marks, trials


def _trial(marked: MarkedTrial, number: int, task: Task, place: str) -> Trial:
    shares = {stage.name: stage.share for stage in task.stages}
    for name, at_s in marked.stages.items():
        if name not in shares:
            raise ConfigError(mismatch(f"{place}: stage", ", ".join(shares), name, "correct its name"))
        if not 0 <= at_s <= marked.duration_s:
            expected = f"0 to {marked.duration_s:g} s"
            raise ConfigError(mismatch(f"{place}: time of stage {name}", expected, f"{at_s:g} s", "correct it"))
    if not 0 < marked.duration_s < float("inf"):
        raise ConfigError(mismatch(f"{place}: duration_s", "above 0", marked.duration_s, "correct it"))
    if marked.success and marked.duration_s > task.timeout_s:
        expected = f"a success within {task.timeout_s:g} s"
        raise ConfigError(mismatch(place, expected, f"{marked.duration_s:g} s", "mark it as a failure"))
    # Who marks a success only at its end has seen every stage.
    late_s = marked.duration_s if marked.success else None
    return Trial(
        policy=marked.policy,
        number=number,
        seed=marked.seed,
        success=marked.success,
        progress=1.0 if marked.success else sum(shares[name] for name in marked.stages),
        stages={name: marked.stages.get(name, late_s) for name in shares},
        duration_s=marked.duration_s,
        ending="success" if marked.success else "failed",
        note=marked.note,
    )
