# SPDX-License-Identifier: Apache-2.0
"""``wam eval``: trials of one policy, or of two side by side without the operator knowing which is which."""

from __future__ import annotations

import argparse
import os
import platform
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.trials.blinding import SIDES, Blinding
from wam_ros.core.trials.comparison import compare
from wam_ros.core.trials.sequential import Decision, Question, Rule, make_rule
from wam_ros.files.assets import load_robot, load_task
from wam_ros.files.identity import identity_of
from wam_ros.files.marks import read_marks
from wam_ros.graph import Plan, RunOptions

if TYPE_CHECKING:
    from rich.console import Console

    from wam_ros.report.evaluation import Evaluation, Side
    from wam_ros.report.summary import Attempt
    from wam_ros.report.trial_log import TrialLog

EPISODES = 20
OK, OPEN, INTERRUPTED = 0, 1, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wam eval``."""
    add = parser.add_argument
    add("task", help="name or YAML path")
    add("--policy", default="", help="name or YAML path (default: the task's); in a comparison the candidate, A")
    add("--against", default="", metavar="POLICY", help="compare with this policy, B, until it is decided")
    add("--robot", default="", help="name or YAML path (default: the task's)")
    add("--episodes", type=int, default=0, help=f"attempts (default: {EPISODES}); in a comparison the most pairs")
    add("--seed", type=int, default=0, help="of the first attempt (default: 0)")
    add("--pace", default="", choices=["realtime", "lockstep"], help="of a simulated robot (default: lockstep)")
    add("--randomise", action="store_true", help="colours, light, cameras, friction of each attempt's twin")
    add("--disturb", action="store_true", help="push the workpiece and let one grip of each attempt slip")
    add("--latency-ms", type=float, help="declared inference latency (default: 190 in lockstep)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="as in policy.checkpoint=FOLDER")
    add("--set-against", action="append", default=[], metavar="KEY=VALUE", help="the same, of B alone")
    rates = Question()
    add(
        "--tell-apart",
        nargs=2,
        type=float,
        default=(rates.other, rates.candidate),
        metavar=("B", "A"),
        help=f"success rates at which A's lead is to be found (default: {rates.other} {rates.candidate})",
    )
    add("--block", type=int, default=1, help="pairs made before the policies take turns again (default: 1)")
    add("--order-seed", type=int, help="of names and order in a comparison (default: drawn)")
    add("--marks", type=Path, metavar="FILE", help="make no attempt: report the trials that this file lists")
    add("--out", type=Path, help="folder for the results; started again, it goes on (default: runs/eval-TASK-TIME)")


def command(options: argparse.Namespace) -> int:
    """Run ``wam eval``.

    Returns:
        0 evaluated or decided, 1 a run failed or it is still open, 130 interrupted.

    Raises:
        WamError: what does not fit, and the remedy.
    """
    from rich.console import Console

    from wam_ros.report.trial_log import said_before
    from wam_ros.run import require_new

    folder = options.out or Path("runs") / f"eval-{Path(options.task).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    console = Console(highlight=False)
    if options.marks or not said_before(folder):
        require_new(folder)
    if options.marks:
        evaluation, code = _of_marks(options), OK
    else:
        series = Series.of(options, folder, console)
        evaluation, code = series.make()
    return _finish(evaluation, code, folder, console)


def _finish(evaluation: Evaluation, code: int, folder: Path, console: Console) -> int:
    from wam_ros.report.evaluation import write_evaluation
    from wam_ros.report.telling import tell, tell_open

    if evaluation.question is not None and not evaluation.complete:
        tell_open(evaluation, console)
        return code
    write_evaluation(folder, evaluation)
    tell(evaluation, folder, console)
    undecided = evaluation.verdict is not None and evaluation.verdict.decision == Decision.GO_ON
    return OPEN if code == OK and undecided else code


@dataclass
class Series:
    """Trials of one policy or two, made through ``wam run``.

    Attributes:
        options: of the command line.
        evaluation: is filled.
        rule: of a comparison, else None.
        order: names and order of a comparison.
    """

    options: argparse.Namespace
    folder: Path
    console: Console
    evaluation: Evaluation
    rule: Rule | None
    order: Blinding

    @classmethod
    def of(cls, options: argparse.Namespace, folder: Path, console: Console) -> Series:
        """Return the series that a command line asks for.

        Raises:
            ConfigError: what does not fit, before anything is started.
        """
        from wam_ros.report.evaluation import Evaluation
        from wam_ros.report.trial_log import said_before

        if options.episodes < 0 or options.block < 1:
            given = f"{options.episodes} and {options.block}"
            raise ConfigError(mismatch("--episodes and --block", "1 or more", given, "give positive numbers"))
        if options.set_against and not options.against:
            raise ConfigError("--set-against: expected a policy to compare with, got none; add --against POLICY")
        task = load_task(options.task)
        robot = load_robot(options.robot or task.default_robot)
        options.pace = options.pace or ("lockstep" if robot.simulated else "realtime")
        question = Question(*options.tell_apart) if options.against else None
        asked, drawn = options.order_seed, said_before(folder).get("order_seed")
        order_seed = next(seed for seed in (asked, drawn, secrets.randbits(32)) if seed is not None)
        if order_seed < 0:
            raise ConfigError(mismatch("--order-seed", "0 or more", order_seed, "choose another"))
        evaluation = Evaluation(task, robot.name, [], question=question)
        rule = make_rule(question) if question else None
        return cls(options, folder, console, evaluation, rule, Blinding(order_seed))._begun(order_seed)

    def _begun(self, order_seed: int) -> Series:
        """Read all that will be run, so that what is wrong with it is said at once."""
        from wam_ros.report.evaluation import Side

        with TemporaryDirectory() as place:
            plans = {side: self._plan(side, 1, Path(place, side)) for side in SIDES[: 2 if self.rule else 1]}
        for name, plan in plans.items():
            self.evaluation.sides.append(Side(name, plan.policy.name, _identity(plan)))
        if self.rule and self.evaluation.sides[0].identity == self.evaluation.sides[1].identity:
            raise ConfigError("--against: expected another policy, got the same one; change it with --set-against")
        chosen, self.evaluation.task = plans["A"].options, plans["A"].task
        self.evaluation.settings = {
            "pace": chosen.pace,
            "twin": chosen.twin,
            "declared_latency_s": chosen.latency_s,
            "first_seed": self.options.seed,
            "most_attempts": self._most,
            "changes": [*self.options.set, *(f"B: {text}" for text in self.options.set_against)],
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
            **({"order_seed": order_seed, "block": self.options.block} if self.rule else {}),
        }
        return self

    @property
    def _most(self) -> int:
        given: int = self.options.episodes
        return min(given or self.rule.most_pairs, self.rule.most_pairs) if self.rule else given or EPISODES

    def make(self) -> tuple[Evaluation, int]:
        """Make the trials that are not made yet; return what all came to, and the exit code."""
        evaluation, log = self.evaluation, self._log()
        decided = bool(log.kept) and self._decided()
        for turn in () if decided else self._left():
            for side, numbers in turn:
                code = self._play(side, numbers, log)
                if code != OK:
                    return evaluation, code
            if self._decided():
                break
        evaluation.complete = True
        return evaluation, OK

    def _log(self) -> TrialLog:
        """Open the log, and take over what was made before."""
        from wam_ros.report.trial_log import TrialLog
        from wam_ros.report.versions import versions

        sides = {side.name: side for side in self.evaluation.sides}
        policies = {name: {"policy": side.policy, **side.identity} for name, side in sides.items()}
        question = vars(self.evaluation.question) if self.evaluation.question else None
        said = {**self.evaluation.settings, **policies, "question": question, "versions": versions()}
        log = TrialLog(self.folder, said)
        for kept in log.kept:
            sides[kept.trial.policy].add(kept)
        if log.kept:
            self.console.print(f"going on; trials made before: {len(log.kept)}", style="dim")
        return log

    def _left(self) -> Iterator[list[tuple[Side, range]]]:
        """Of each turn that is not made, who makes which attempts in which order."""
        for number, turns in enumerate(self._turns(), 1):
            sides = ((side, turns[max(0, len(side.trials) + 1 - turns[0]) :]) for side in self._order(number))
            if left := [(side, numbers) for side, numbers in sides if numbers]:
                yield left

    def _turns(self) -> Iterator[range]:
        """Attempt numbers of each turn: all at once for one policy, a block for two."""
        size = self.options.block if self.rule else self._most
        for first in range(1, self._most + 1, size):
            yield range(first, min(first + size, self._most + 1))

    def _order(self, number: int) -> Sequence[Side]:
        sides = {side.name: side for side in self.evaluation.sides}
        return [sides[name] for name in self.order.order(number)] if self.rule else list(sides.values())

    def _play(self, side: Side, numbers: range, log: TrialLog) -> int:
        """Make attempts of one policy; return an exit code."""
        from wam_ros.report.evaluation import kept_of
        from wam_ros.run import play

        def keep(number: int, attempt: Attempt) -> None:
            kept = kept_of(attempt, side.name, numbers[number - 1])
            side.add(kept)
            log.add(kept)

        shown_as = self.order.label(side.name) if self.rule else ""
        folder = self._run_folder(f"{numbers[0]:04d}{'-' + shown_as.replace(' ', '-') if shown_as else ''}")
        plan = self._plan(side.name, numbers[0], folder)
        if _identity(plan) != side.identity:
            raise ConfigError(f"{shown_as or side.policy}: a description or checkpoint changed meanwhile; begin anew")
        result = play(plan, len(numbers), folder, self.console, shown_as, keep)
        if result.run.complete and not result.interrupted:
            return OK
        self.evaluation.error = result.run.error or ("interrupted" if result.interrupted else "a run ended early")
        return INTERRUPTED if result.interrupted else OPEN

    def _run_folder(self, name: str) -> Path:
        """Return a new folder; one of that name may hold a run that ended before its first attempt did."""
        folder = self.folder / "runs" / name
        return folder if not folder.exists() else self._run_folder(f"{name}-again")

    def _decided(self) -> bool:
        if self.rule is None:
            return False
        verdict = self.evaluation.verdict = compare(self.evaluation.trials, self.rule)
        if verdict.decision == Decision.GO_ON:
            self.console.print(f"no decision after {verdict.pairs} pairs", style="dim")
        return verdict.decision != Decision.GO_ON

    def _plan(self, side: str, first: int, folder: Path) -> Plan:
        from wam_ros.run import prepare

        options = self.options
        wished = RunOptions(
            task=options.task,
            robot=options.robot,
            policy=options.policy if side == "A" else options.against,
            seed=options.seed + first - 1,
            pace=options.pace,
            declared_latency_s=None if options.latency_ms is None else options.latency_ms / 1000,
            randomise=options.randomise,
            disturb=options.disturb,
        )
        changes = [*options.set, *(options.set_against if side == "B" else [])]
        return prepare(wished, changes, self._most, folder)


def _identity(plan: Plan) -> dict[str, str]:
    return identity_of(plan.robot, plan.task, plan.policy)


def _of_marks(options: argparse.Namespace) -> Evaluation:
    """Return the evaluation of trials that somebody has marked."""
    from wam_ros.report.evaluation import Evaluation, Side

    task = load_task(options.task)
    marks, trials = read_marks(options.marks, task)
    sides = [Side(name, policy) for name, policy in sorted(marks.policies.items())]
    for side in sides:
        side.trials = [trial for trial in trials if trial.policy == side.name]
    settings = {"marks": options.marks.name}
    evaluation = Evaluation(task, marks.robot, sides, settings, complete=True)
    if len(sides) > 1:
        evaluation.question = Question(*options.tell_apart)
        evaluation.verdict = compare(trials, make_rule(evaluation.question))
    return evaluation
