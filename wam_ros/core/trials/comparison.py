# SPDX-License-Identifier: Apache-2.0
"""Two policies side by side: pairs of trials on the same scenes, and what they say so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.trials.blinding import SIDES
from wam_ros.core.trials.sequential import Decision, Question, Rule
from wam_ros.core.trials.statistics import Trial


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        decision: in favour of the candidate, against it, or open.
        pairs: after which it was decided; all that were made while it is open.
        candidate, other: successes of those pairs.
    """

    decision: Decision
    pairs: int
    candidate: int
    other: int

    def sentence(self, question: Question) -> str:
        """Say it."""
        counts = f"A {self.candidate} and B {self.other} of {self.pairs} each"
        rates = f"{100 * question.candidate:.0f} against {100 * question.other:.0f} %"
        if self.decision == Decision.BETTER:
            return f"A is better than B: {counts} (such a claim is wrong in at most {100 * question.alpha:.0f} %)"
        if self.decision == Decision.NOT_SHOWN:
            found = f"{rates} would have been found in {100 * question.power:.0f} %"
            return f"A was not shown to be better than B: {counts} ({found})"
        return f"no decision yet: {counts}; more pairs are needed"


def compare(trials: Sequence[Trial], rule: Rule) -> Verdict:
    """Follow the pairs in order up to the decision; later trials cannot change it.

    Args:
        trials: of the policies ``A`` (the candidate) and ``B``, in any order; a trial whose partner is not made
            yet does not count.
        rule: when to stop.

    Raises:
        ConfigError: partners of different seeds, or two trials of one policy with one number.
    """
    made = {side: _by_number([t for t in trials if t.policy == side]) for side in SIDES}
    pairs = candidate = other = 0
    for number in sorted(made["A"].keys() & made["B"].keys()):
        a, b = made["A"][number], made["B"][number]
        if a.seed != b.seed:
            raise ConfigError(mismatch(f"pair {number}", "two trials of one seed", (a.seed, b.seed), "pair them anew"))
        pairs, candidate, other = pairs + 1, candidate + a.success, other + b.success
        decision = rule.decide(pairs, candidate, other)
        if decision != Decision.GO_ON:
            return Verdict(decision, pairs, candidate, other)
    return Verdict(Decision.GO_ON, pairs, candidate, other)


def _by_number(trials: Sequence[Trial]) -> dict[int, Trial]:
    found: dict[int, Trial] = {}
    for trial in trials:
        if trial.number in found:
            what = f"trials of policy {trial.policy} with number {trial.number}"
            raise ConfigError(mismatch(what, "one", "several", "number them from 1"))
        found[trial.number] = trial
    return found
