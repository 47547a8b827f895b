# SPDX-License-Identifier: Apache-2.0
"""``evaluation.html``: one page about one or two policies that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from wam_ros.core.trials.statistics import Score, Trial
from wam_ros.report.evaluation import Evaluation, Failure, Side, data_of
from wam_ros.report.html import data_uri, motion_rows, templates
from wam_ros.report.plots import histogram
from wam_ros.report.summary import gather
from wam_ros.report.versions import versions

#: More failures than a person will look at are in the folder only.
SHOWN_FAILURES = 40


@dataclass(frozen=True)
class Column:
    """One policy as the page shows it."""

    side: Side
    score: Score
    latency: Markup
    motion: list[tuple[str, float, str, str]]
    failures: list[tuple[Failure, str]]


def render_evaluation(evaluation: Evaluation) -> str:
    """Return the page."""
    data = data_of(evaluation)
    given = ("task", "robot", "instruction", "timeout_s", *evaluation.settings)
    return (
        templates()
        .get_template("evaluation.html.j2")
        .render(
            evaluation=evaluation,
            columns=[_column(evaluation, side) for side in evaluation.sides],
            stages=[stage.name for stage in evaluation.task.stages],
            rows=_in_order(evaluation.trials),
            details={**{key: data[key] for key in given}, **versions()},
            shown_failures=SHOWN_FAILURES,
        )
    )


def _column(evaluation: Evaluation, side: Side) -> Column:
    drawn = histogram(np.array(side.latency_ms), f"inference of {side.name} [ms]", (50, 95)) if side.latency_ms else ""
    failures = [(failure, data_uri(failure.picture)) for failure in side.failures[:SHOWN_FAILURES]]
    return Column(side, evaluation.score(side), Markup(drawn), motion_rows(gather(side.figures)), failures)


def _in_order(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: (trial.number, trial.policy))
