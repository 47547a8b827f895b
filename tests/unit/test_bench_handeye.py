# SPDX-License-Identifier: Apache-2.0
"""The bench's figures are of one seed the same, and say that the joint solution beats the closed forms."""

from argparse import Namespace

import pytest

from wam_ros.bench import handeye


@pytest.fixture(scope="module")
def figures():
    return handeye.level(*handeye.LEVELS["0.1"], trials=4, seed=3)


def test_a_good_robot_gains_most_from_the_joint_solution(figures):
    assert figures["mm_to_closed_form"] < 0.5
    assert figures["refused"] == 0


def test_the_same_seed_gives_the_same_figures(figures):
    assert handeye.level(*handeye.LEVELS["0.1"], trials=4, seed=3) == figures


def test_every_bad_set_is_counted():
    figures = handeye.refusals(1, seed=0)
    assert figures["degenerate_refused"] == 1.0
    assert len(figures) == 11


def test_the_command_line_sets_the_number_of_trials():
    from argparse import ArgumentParser

    parser = ArgumentParser()
    handeye.add_arguments(parser)
    assert parser.parse_args(["--trials", "7"]) == Namespace(trials=7, seed=0)
