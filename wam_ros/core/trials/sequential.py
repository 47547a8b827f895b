# SPDX-License-Identifier: Apache-2.0
"""Is a policy better than another one? When enough trials have been made to say so.

Both make trials in pairs. After each pair the counts (pairs, successes of the candidate, successes of the other) say
whether to go on. The rule is the one that needs the fewest pairs on average among all that keep both error rates: at
each count, what going on costs is held against what ending now risks, from the last possible pair backwards (Wald and
Wolfowitz 1950, Bayes solutions of sequential decision problems; for policies: Snyder et al. 2025, arXiv 2503.10966).

Error rates are computed, not estimated: the walk of the counts is followed pair by pair for every common success rate.
Where a scene is hard for both, their results agree more often than two independent ones; that makes errors rarer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.types import FloatArray

#: The longest comparison, in pairs of a test with a fixed number of them.
_REACH = 2.3
#: Common success rates at which the rule is made, and at which its error rate is proved.
_COARSE, _FINE = np.linspace(0.1, 0.95, 12), np.linspace(0.01, 0.99, 99)
_HALVINGS = 12
_LEAST_DIFFERENCE = 0.15


class Decision(IntEnum):
    """What the counts say."""

    GO_ON = 0
    BETTER = 1
    NOT_SHOWN = 2


@dataclass(frozen=True)
class Question:
    """Is the candidate better than the other?

    Attributes:
        other, candidate: success rates at which a difference is to be found.
        alpha: largest probability to call a candidate better that is not, whatever the common rate.
        power: probability to find that difference.
    """

    other: float = 0.6
    candidate: float = 0.9
    alpha: float = 0.05
    power: float = 0.8

    def __post_init__(self) -> None:
        apart = self.candidate - self.other + 1e-9 >= _LEAST_DIFFERENCE
        if not (apart and self.other > 0 and self.candidate < 1):
            expected = f"0 < other < candidate < 1, {_LEAST_DIFFERENCE} or more apart"
            raise ConfigError(mismatch("rates to tell apart", expected, (self.other, self.candidate), "correct them"))

    def fixed_pairs(self) -> int:
        """Return the pairs of a test with a fixed number of them, by the normal approximation."""
        normal = NormalDist()
        wide = normal.inv_cdf(1 - self.alpha) + normal.inv_cdf(self.power)
        variance = self.other * (1 - self.other) + self.candidate * (1 - self.candidate)
        return math.ceil(wide * wide * variance / (self.candidate - self.other) ** 2)


@dataclass(frozen=True)
class Operation:
    """How a rule does at a pair of success rates: how often it says better, and the pairs it takes on average."""

    better: float
    pairs: float


class Rule:
    """When to stop.

    Args:
        table: for each number of pairs k, (k + 1, k + 1) decisions by successes of candidate and other.
    """

    def __init__(self, table: Sequence[NDArray[np.int8]]) -> None:
        self._table = tuple(table)

    @property
    def most_pairs(self) -> int:
        """After so many pairs it is decided."""
        return len(self._table) - 1

    def decide(self, pairs: int, candidate: int, other: int) -> Decision:
        """Return what the counts say; beyond the last pair, what they said there is what counts.

        Raises:
            ConfigError: counts that cannot be, or more pairs than the rule has.
        """
        if not (0 <= candidate <= pairs and 0 <= other <= pairs and pairs <= self.most_pairs):
            expected = f"successes of at most {self.most_pairs} pairs"
            raise ConfigError(mismatch("comparison", expected, (pairs, candidate, other), "count again"))
        return Decision(int(self._table[pairs][candidate, other]))

    def operation(self, candidate: float, other: float) -> Operation:
        """Return how the rule does at these success rates, exactly."""
        better, pairs = self._walk(np.array([candidate]), np.array([other]))
        return Operation(float(better[0]), float(pairs[0]))

    def error_rate(self, rates: FloatArray = _FINE) -> float:
        """Return the largest probability to say better at equal success rates."""
        return float(self._walk(rates, rates)[0].max())

    def _walk(self, candidate: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
        a, b = candidate[:, None, None], other[:, None, None]
        steps = (a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b))
        going = np.ones((len(candidate), 1, 1))
        better, pairs = np.zeros(len(candidate)), np.zeros(len(candidate))
        for k, decisions in enumerate(self._table[1:], 1):
            pairs += going.sum(axis=(1, 2))
            after = np.zeros((len(candidate), k + 1, k + 1))
            for place, step in zip(_AFTER, steps, strict=True):
                after[(slice(None), *place)] += step * going
            better += (after * (decisions == Decision.BETTER)).sum(axis=(1, 2))
            going = after * (decisions == Decision.GO_ON)
        return better, pairs


_TAKE, _LEAVE = slice(1, None), slice(None, -1)
#: Where counts go when both succeed, the candidate alone, the other alone, none.
_AFTER = ((_TAKE, _TAKE), (_TAKE, _LEAVE), (_LEAVE, _TAKE), (_LEAVE, _LEAVE))


def make_rule(question: Question) -> Rule:
    """Return the rule that answers a question with the fewest pairs on average; takes seconds.

    Raises:
        ConfigError: no rule of that length keeps both error rates.
    """
    most = math.ceil(_REACH * question.fixed_pairs())
    likely, equal = _likelihoods(question, most)
    low, high, found = math.log(2.0), math.log(100.0 * most), None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rule = _with_error_rate(equal, likely, math.exp(middle), question.alpha)
        if rule.operation(question.candidate, question.other).better >= question.power:
            high, found = middle, _shorter(rule, found, question)
        else:
            low = middle
    if found is None:
        raise ConfigError(
            mismatch("rates to tell apart", "a larger difference", question, "choose rates farther apart")
        )
    return found


def _shorter(rule: Rule, other: Rule | None, question: Question) -> Rule:
    rates = question.candidate, question.other
    return rule if other is None or rule.operation(*rates).pairs < other.operation(*rates).pairs else other


Levels = list[FloatArray]


def _likelihoods(question: Question, most: int) -> tuple[Levels, Levels]:
    """Probability of one sequence with these counts, with the difference and with the common rate between."""

    def levels(a: float, b: float) -> Levels:
        counts = [np.arange(k + 1) for k in range(most + 1)]
        return [np.multiply.outer(a**x * (1 - a) ** x[::-1], b**x * (1 - b) ** x[::-1]) for x in counts]

    common = (question.other + question.candidate) / 2
    return levels(question.candidate, question.other), levels(common, common)


def _with_error_rate(equal: Levels, likely: Levels, miss_cost: float, alpha: float) -> Rule:
    """Return the best rule whose error rate is just below alpha, for a cost of a difference that is missed."""
    low, high = math.log(2.0), math.log(1e5)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = _best(equal, likely, math.exp(middle), miss_cost).error_rate(_COARSE) <= alpha
        low, high = (low, middle) if fits else (middle, high)
    while (rule := _best(equal, likely, math.exp(high), miss_cost)).error_rate() > alpha:
        high += 0.005
    return rule


def _best(equal: Levels, likely: Levels, error_cost: float, miss_cost: float) -> Rule:
    """Return the rule of least expected cost: a pair costs 1 where there is a difference."""
    table: list[NDArray[np.int8]] = []
    cost: FloatArray | None = None
    for same, differing in zip(equal[::-1], likely[::-1], strict=True):
        error, miss = error_cost * same, miss_cost * differing
        ending = np.minimum(error, miss)
        decision = np.where(error < miss, Decision.BETTER, Decision.NOT_SHOWN).astype(np.int8)
        if cost is not None:
            going_on = differing + sum(cost[place] for place in _AFTER)
            decision[going_on < ending] = Decision.GO_ON
            ending = np.minimum(ending, going_on)
        table.append(decision)
        cost = ending
    return Rule(table[::-1])
