# SPDX-License-Identifier: Apache-2.0
"""How many trials ``wam eval --against`` needs, beside a test with a number of trials that is fixed beforehand.

The fixed test is Barnard's, one-sided, with the fewest pairs that reach the same power at the same error rate. Every
key ends in the two success rates in percent, ``__60_90``: the other policy's and the candidate's. ``h1`` is where
these are the truth, ``h0`` where both have the rate between. Comparisons are simulated trial by trial.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import numpy as np
from scipy.stats import barnard_exact, binom

from wam_ros.core.trials.sequential import Decision, Question, Rule, make_rule
from wam_ros.core.types import FloatArray

RATES = ((0.6, 0.9), (0.5, 0.9), (0.5, 0.8))


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    parser.add_argument("--comparisons", type=int, default=4000, help="simulated for each truth (default: 4000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return trials, ratios and error rates of each pair of rates, and the means of the ratios."""
    figures: dict[str, float | str] = {"comparisons": float(options.comparisons)}
    ratios: dict[str, list[float]] = {"h0": [], "h1": []}
    for other, candidate in RATES:
        case = Case(Question(other, candidate), options.comparisons, options.seed)
        name = f"{100 * other:.0f}_{100 * candidate:.0f}"
        figures |= {f"{key}__{name}": value for key, value in case.figures().items()}
        for truth, found in ratios.items():
            found.append(float(figures[f"trials_ratio_{truth}__{name}"]))
    figures |= {f"trials_ratio_{truth}": float(np.mean(found)) for truth, found in ratios.items()}
    figures["trials_ratio"] = float(np.mean([*ratios["h0"], *ratios["h1"]]))
    return figures


class Case:
    """One question, answered many times."""

    def __init__(self, question: Question, comparisons: int, seed: int) -> None:
        self._question, self._comparisons = question, comparisons
        self._rng = np.random.default_rng(seed)
        self._rule = make_rule(question)

    def figures(self) -> dict[str, float]:
        """Return what both tests need and how often they err."""
        asked = self._question
        between = (asked.other + asked.candidate) / 2
        pairs, barnard = fewest_pairs(asked)
        better1, trials1 = self._simulate(asked.candidate, asked.other)
        better0, trials0 = self._simulate(between, between)
        return {
            "trials_barnard": 2.0 * pairs,
            "power_barnard": barnard,
            "trials_h1": trials1,
            "trials_h0": trials0,
            "trials_most": 2.0 * self._rule.most_pairs,
            "trials_ratio_h1": trials1 / (2 * pairs),
            "trials_ratio_h0": trials0 / (2 * pairs),
            "power": better1,
            "power_exact": self._rule.operation(asked.candidate, asked.other).better,
            "type_1_error": better0,
            "type_1_error_bound": self._rule.error_rate(),
        }

    def _simulate(self, candidate: float, other: float) -> tuple[float, float]:
        """Return the share of comparisons that end in favour of the candidate, and their mean number of trials."""
        decisions, lengths = [], []
        for _ in range(self._comparisons):
            decision, pairs = follow(self._rule, self._rng, candidate, other)
            decisions.append(decision == Decision.BETTER)
            lengths.append(2 * pairs)
        return float(np.mean(decisions)), float(np.mean(lengths))


def follow(rule: Rule, rng: np.random.Generator, candidate: float, other: float) -> tuple[Decision, int]:
    """Make trials with these success rates until the rule has decided; return what, and after how many pairs."""
    results = (rng.random((rule.most_pairs, 2)) < (candidate, other)).cumsum(axis=0)
    for pairs, (a, b) in enumerate(results.tolist(), 1):
        if (decision := rule.decide(pairs, a, b)) != Decision.GO_ON:
            break
    return decision, pairs


def fewest_pairs(question: Question) -> tuple[int, float]:
    """Return the pairs that Barnard's test needs for the question, and its power with them."""
    pairs = question.fixed_pairs()
    while (power := _power(_rejected(pairs, question.alpha), question)) < question.power:
        pairs += 1
    return pairs, power


def _rejected(pairs: int, alpha: float) -> FloatArray:
    """(n + 1, n + 1) 1 where Barnard's test calls the candidate better, by successes of candidate and other."""
    found = np.zeros((pairs + 1, pairs + 1))
    least = 0
    for other in range(pairs + 1):
        # More successes of the other never make the candidate look better.
        least = max(least, other + 1)
        while least <= pairs and _p_value(least, other, pairs) > alpha:
            least += 1
        found[least:, other] = 1
    return found


def _p_value(candidate: int, other: int, pairs: int) -> float:
    table = [[candidate, other], [pairs - candidate, pairs - other]]
    return float(barnard_exact(table, alternative="greater").pvalue)


def _power(rejected: FloatArray, question: Question) -> float:
    counts = np.arange(len(rejected))
    rates = (binom.pmf(counts, len(rejected) - 1, rate) for rate in (question.candidate, question.other))
    return float(np.einsum("i,j,ij", *rates, rejected))
