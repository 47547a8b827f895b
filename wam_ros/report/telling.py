# SPDX-License-Identifier: Apache-2.0
"""What the terminal says at the end of an evaluation."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from wam_ros.report.evaluation import Evaluation


def tell(evaluation: Evaluation, folder: Path, console: Console) -> None:
    """Say how it went, who is who, and where the report in ``folder`` is."""
    for side in evaluation.sides:
        found = evaluation.score(side).success
        rate = f"{100 * found.rate:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f} %)"
        line = f"{side.name}: {side.policy}: {found.count} of {found.trials} succeeded, {rate}"
        console.print(line, markup=False, soft_wrap=True)
    if evaluation.error:
        _tell_error(evaluation, console)
    if evaluation.decision:
        console.print(evaluation.decision, style="bold", markup=False, soft_wrap=True)
    console.print(f"report: {folder / 'evaluation.html'}", markup=False, soft_wrap=True)


def tell_open(evaluation: Evaluation, console: Console) -> None:
    """Say that a comparison is open, and not who is who: whoever goes on with it would know."""
    _tell_error(evaluation, console)
    made, pairs = len(evaluation.trials), min(len(side.trials) for side in evaluation.sides)
    remedy = f"with --episodes {max(1, pairs)} it ends there and tells which policy is which"
    console.print(f"{made} trials are kept. The same command goes on; {remedy}", soft_wrap=True)


def _tell_error(evaluation: Evaluation, console: Console) -> None:
    console.print(f"not complete: {evaluation.error}", style="bold red", markup=False, soft_wrap=True)
