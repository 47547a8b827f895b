# SPDX-License-Identifier: Apache-2.0
"""What an evaluation came to: one or two policies, their trials, and ``eval.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wam_ros.core.task import Task
from wam_ros.core.trials.comparison import Verdict
from wam_ros.core.trials.sequential import Question
from wam_ros.core.trials.statistics import Mean, Score, Share, Trial, score
from wam_ros.report.recording import SCENE
from wam_ros.report.summary import Attempt, gather, percentiles, write_whole
from wam_ros.report.versions import versions


@dataclass(frozen=True)
class Failure:
    """The last that was seen of an attempt that failed: camera name to JPEG bytes."""

    trial: Trial
    time_s: float
    pictures: Mapping[str, bytes]

    @property
    def picture(self) -> bytes:
        """The picture that people understand best."""
        return self.pictures.get(SCENE) or next(iter(self.pictures.values()))


@dataclass(frozen=True)
class Kept:
    """What an evaluation keeps of an attempt.

    Attributes:
        figures: see :attr:`wam_ros.report.summary.Attempt.figures`.
        last: what was seen last, if it failed.
    """

    trial: Trial
    latency_ms: list[float]
    skew_ms: list[float]
    figures: Mapping[str, float]
    last: Failure | None


def kept_of(attempt: Attempt, side: str, number: int) -> Kept:
    """Return what is kept of the attempt that has this number among those of a side."""
    why = attempt.stop_cause or attempt.ending
    trial = Trial(
        policy=side,
        number=number,
        seed=attempt.seed,
        success=attempt.success,
        progress=attempt.progress,
        stages=attempt.stages,
        duration_s=attempt.duration_s,
        ending=attempt.ending,
        note="" if attempt.success else why,
    )
    frames = [] if attempt.success else attempt.recording.frames()
    last = Failure(trial, frames[-1].time_s, frames[-1].pictures) if frames else None
    latency_ms = [ms for _, ms in attempt.recording.latency_ms]
    return Kept(trial, latency_ms, attempt.recording.skew_ms().tolist(), attempt.figures, last)


@dataclass
class Side:
    """A policy under test.

    Attributes:
        name: ``A`` or ``B``.
        policy: its name.
        identity: hashes of what was run.
        figures: of each attempt.
    """

    name: str
    policy: str
    identity: dict[str, str] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    skew_ms: list[float] = field(default_factory=list)
    figures: list[Mapping[str, float]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def add(self, kept: Kept) -> None:
        """Take an attempt."""
        self.trials.append(kept.trial)
        self.latency_ms += kept.latency_ms
        self.skew_ms += kept.skew_ms
        self.figures.append(kept.figures)
        if kept.last is not None:
            self.failures.append(kept.last)


@dataclass
class Evaluation:
    """Trials of one or two policies, while they are made and after.

    Attributes:
        task: whose stages and time limit count.
        robot: its name.
        settings: how the trials were made.
        complete: all trials asked for were made, or a decision was reached.
        error: the sentence that ended it early.
        question, verdict: of a comparison.
    """

    task: Task
    robot: str
    sides: list[Side]
    settings: dict[str, object] = field(default_factory=dict)
    complete: bool = False
    error: str = ""
    question: Question | None = None
    verdict: Verdict | None = None

    @property
    def trials(self) -> list[Trial]:
        """All trials."""
        return [trial for side in self.sides for trial in side.trials]

    def score(self, side: Side) -> Score:
        """Return what a policy's trials say."""
        return score(side.trials, (stage.name for stage in self.task.stages), self.task.timeout_s)

    @property
    def decision(self) -> str:
        """What the comparison came to, in a sentence; empty without one."""
        return self.verdict.sentence(self.question) if self.verdict and self.question else ""


def data_of(evaluation: Evaluation) -> dict[str, object]:
    """Return the content of ``eval.json``."""
    task, verdict = evaluation.task, evaluation.verdict
    return {
        "complete": evaluation.complete,
        "error": evaluation.error,
        "task": task.name,
        "instruction": task.instruction,
        "timeout_s": task.timeout_s,
        "robot": evaluation.robot,
        **evaluation.settings,
        **{f"version__{name}": text for name, text in versions().items()},
        "question": vars(evaluation.question) if evaluation.question else None,
        "decision": verdict.decision.name.lower() if verdict else None,
        "decided_after_pairs": verdict.pairs if verdict else None,
        "conclusion": evaluation.decision,
        "policies": {side.name: side_data(side, evaluation.score(side)) for side in evaluation.sides},
        "trials": [{**vars(trial), "stages": dict(trial.stages)} for trial in evaluation.trials],
    }


def side_data(side: Side, found: Score) -> dict[str, object]:
    """Return the flat figures of one policy."""
    quartiles = found.time_to_success_s or (None, None, None)
    return {
        "policy": side.policy,
        **side.identity,
        "trials": found.success.trials,
        "successes": found.success.count,
        **_share("success_rate", found.success),
        **_mean("progress", found.progress),
        **{f"time_to_success_s_p{rank}": value for rank, value in zip((25, 50, 75), quartiles, strict=True)},
        **_mean("restricted_mean_time_s", found.restricted_mean_time_s),
        **{key: value for name, s in found.stages.items() for key, value in _share(f"stage__{name}", s).items()},
        **{f"failed__{note}": count for note, count in found.notes.items()},
        **percentiles("latency_ms", np.array(side.latency_ms), (50, 95)),
        **percentiles("skew_ms", np.array(side.skew_ms), (50, 99)),
        **gather(side.figures),
    }


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write ``failures/``, ``evaluation.html`` and at last ``eval.json``."""
    # Plotting takes memory that the graph needs until it has ended.
    from wam_ros.report.evaluation_page import render_evaluation

    folder.mkdir(parents=True, exist_ok=True)
    for failure in (failure for side in evaluation.sides for failure in side.failures):
        write_failure(folder, failure)
    write_whole(folder / "evaluation.html", render_evaluation(evaluation).encode())
    write_whole(folder / "eval.json", json.dumps(data_of(evaluation), indent=2, allow_nan=False).encode())


def write_failure(folder: Path, failure: Failure) -> None:
    """Write a failure's pictures."""
    for camera, picture in failure.pictures.items():
        path = _picture_path(folder, failure.trial, camera)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)


def pictures_of(folder: Path, trial: Trial) -> dict[str, bytes]:
    """Return the pictures that were written of a trial that failed, by camera."""
    prefix, _, suffix = _picture_path(folder, trial, "*").name.partition("*")
    found = sorted((folder / "failures").glob(f"{prefix}*{suffix}"))
    return {path.name[len(prefix) : -len(suffix)]: path.read_bytes() for path in found}


def _picture_path(folder: Path, trial: Trial, camera: str) -> Path:
    return folder / "failures" / f"{trial.policy}-{trial.number:04d}-seed-{trial.seed}-{camera}.jpg"


def _share(name: str, found: Share) -> dict[str, float]:
    return {name: found.rate, f"{name}_low": found.low, f"{name}_high": found.high}


def _mean(name: str, found: Mean) -> dict[str, float | None]:
    return {f"{name}_mean": found.value, f"{name}_low": found.low, f"{name}_high": found.high}
