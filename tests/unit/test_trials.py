# SPDX-License-Identifier: Apache-2.0
"""What trials say together, and when enough have been made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from wam_ros.bench.evaluation import Case, fewest_pairs, follow
from wam_ros.core.errors import ConfigError
from wam_ros.core.trials.blinding import SIDES, Blinding
from wam_ros.core.trials.comparison import compare
from wam_ros.core.trials.sequential import Decision, Question, Rule, make_rule
from wam_ros.core.trials.statistics import Trial, mean, restricted_mean_time, score, wilson_interval

WIDE = Question(0.3, 0.9)
LIMIT_S = 20.0
STAGES = ("grasped", "released")


@pytest.fixture(scope="module")
def rule() -> Rule:
    return make_rule(WIDE)


def trial(success: bool, duration_s: float = 5.0, policy: str = "A", number: int = 1, **more) -> Trial:
    stages = {"grasped": 1.0, "released": duration_s if success else None}
    return Trial(policy, number, number, success, 1.0 if success else 0.5, stages, duration_s, **more)


@st.composite
def counts(draw):
    trials = draw(st.integers(1, 300))
    return draw(st.integers(0, trials)), trials


@given(counts())
def test_the_wilson_interval_is_the_one_of_the_statistics_library(case):
    expected = binomtest(*case).proportion_ci(0.95, method="wilson")
    assert wilson_interval(*case) == pytest.approx((expected.low, expected.high), abs=1e-9)


made = st.lists(st.tuples(st.booleans(), st.floats(0.1, LIMIT_S)), min_size=1, max_size=30)


@given(made)
def test_the_restricted_mean_time_is_the_area_below_the_curve_of_unfinished_attempts(found):
    trials = [trial(*one) for one in found]
    grid = np.unique([0.0, LIMIT_S, *(t.duration_s for t in trials if t.success)])
    unfinished = [np.mean([not (t.success and t.duration_s <= at) for t in trials]) for at in grid[:-1]]
    area = float(np.sum(np.array(unfinished) * np.diff(grid)))
    found_mean = restricted_mean_time(trials, LIMIT_S)
    assert found_mean.value == pytest.approx(area)
    assert 0 <= found_mean.low <= found_mean.value <= found_mean.high <= LIMIT_S + 1e-9


@given(made)
def test_a_quick_failure_gains_nothing(found):
    trials = [trial(*one) for one in found]
    hurried = [trial(s, duration if s else 0.1) for s, duration in found]
    assert restricted_mean_time(hurried, LIMIT_S) == restricted_mean_time(trials, LIMIT_S)


def test_an_interval_of_one_value_is_everything_possible():
    assert (mean([0.4], 0, 1).low, mean([0.4], 0, 1).high) == (0, 1)
    assert mean([], 0, 1).value is None


def test_a_score_holds_rates_stages_quartiles_and_why_attempts_failed():
    trials = [trial(True, 4.0), trial(True, 6.0), trial(False, 9.0, note="stale_joints")]
    found = score(trials, STAGES, LIMIT_S)
    assert (found.success.count, found.success.trials) == (2, 3)
    assert found.stages["grasped"].rate == 1.0
    assert found.stages["released"].rate == pytest.approx(2 / 3)
    assert found.time_to_success_s == (4.5, 5.0, 5.5)
    assert found.restricted_mean_time_s.value == pytest.approx(10.0)
    assert found.notes == {"stale_joints": 1}
    assert score([], STAGES, LIMIT_S).time_to_success_s is None


@given(st.floats(0.01, 0.99))
def test_no_common_success_rate_gives_more_errors_than_asked(rule, rate):
    assert rule.operation(rate, rate).better <= WIDE.alpha + 1e-4


def test_the_difference_asked_for_is_found_as_often_as_asked(rule):
    operation = rule.operation(WIDE.candidate, WIDE.other)
    assert operation.better >= WIDE.power
    assert operation.pairs < fewest_pairs(WIDE)[0]


@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.floats(0.0, 0.09))
def test_a_better_candidate_is_never_called_better_less_often(rule, candidate, other, gain):
    assert rule.operation(candidate + gain, other).better >= rule.operation(candidate, other).better - 1e-9


@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1))
def test_every_comparison_ends_in_a_decision(rule, seed, candidate, other):
    decision, pairs = follow(rule, np.random.default_rng(seed), candidate, other)
    assert decision != Decision.GO_ON
    assert 1 <= pairs <= rule.most_pairs


def test_simulated_comparisons_are_as_long_as_computed(rule):
    found = Case(WIDE, 3000, 0).figures()
    assert found["trials_h1"] == pytest.approx(2 * rule.operation(0.9, 0.3).pairs, rel=0.05)
    assert found["type_1_error"] <= WIDE.alpha + 0.015
    assert found["trials_ratio_h1"] < 0.8


@pytest.mark.parametrize("rates", [(0.6, 0.6), (0.9, 0.6), (0.5, 0.6), (0.0, 0.5), (0.5, 1.0)])
def test_rates_that_cannot_be_told_apart_are_refused(rates):
    with pytest.raises(ConfigError, match="rates to tell apart: expected"):
        Question(*rates)


def test_counts_that_cannot_be_are_refused(rule):
    for wrong in ((2, 3, 0), (rule.most_pairs + 1, 0, 0), (1, -1, 0)):
        with pytest.raises(ConfigError, match="count again"):
            rule.decide(*wrong)


def test_a_comparison_ends_where_the_rule_says_and_forgets_what_came_later(rule):
    def pairs(a: bool, b: bool, first: int, last: int):
        return [trial(s, policy=p, number=n) for n in range(first, last) for p, s in (("A", a), ("B", b))]

    clear = pairs(True, False, 1, 8)
    verdict = compare(clear, rule)
    assert verdict.decision == Decision.BETTER
    assert verdict.pairs < 7
    assert compare([*clear, *pairs(False, True, 8, 20)], rule) == verdict
    assert "A is better than B" in verdict.sentence(WIDE)
    assert compare(pairs(False, True, 1, 8), rule).decision == Decision.NOT_SHOWN
    assert compare([*pairs(True, False, 1, 2), trial(True, number=2)], rule).pairs == 1


def test_partners_of_other_seeds_and_double_trials_are_refused(rule):
    one, other = trial(True), trial(True, policy="B")
    with pytest.raises(ConfigError, match="pair 1: expected two trials of one seed"):
        compare([one, Trial(**{**vars(other), "seed": 9})], rule)
    with pytest.raises(ConfigError, match="number them from 1"):
        compare([one, one, other], rule)


@given(st.integers(0, 2**63 - 1))
def test_both_policies_have_different_names_and_every_pair_has_both(seed):
    blinding = Blinding(seed)
    assert {blinding.label(side) for side in SIDES} == {"policy 1", "policy 2"}
    assert set(blinding.order(7)) == set(SIDES)
    assert blinding.order(7) == Blinding(seed).order(7)


def test_names_and_order_follow_nothing_but_chance():
    names = [Blinding(seed).label("A") for seed in range(400)]
    firsts = [Blinding(3).order(number)[0] for number in range(400)]
    for share in (names.count("policy 1"), firsts.count("A")):
        assert 150 < share < 250
