# SPDX-License-Identifier: Apache-2.0
"""The bench of the model gives its keys, and the optimised engine's chunk is the eager one's."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest

from wam_ros.bench import model
from wam_ros.core.errors import ConfigError
from wam_ros.models.xwam.measure import measured, operations
from wam_ros.models.xwam.params import sized


def run(*arguments: str) -> dict[str, float | str]:
    parser = ArgumentParser()
    model.add_arguments(parser)
    return model.run(parser.parse_args(arguments))


@pytest.mark.parametrize("name", ["fastwam", "fastwam_joint", "fastwam_idm"])
def test_tiny_on_a_cpu_is_faster_at_equal_output(name):
    figures = run("--model", name, "--repeats", "4")
    assert {"params", "eager_ms", "optimised_ms", "roofline_ms", "max_error", "p99_ms"} <= figures.keys()
    assert figures["max_error"] <= 1e-5
    assert figures["rms_action"] > 0.5
    assert figures["roofline_ms"] < figures["optimised_ms"] < figures["eager_ms"]


@pytest.mark.parametrize(
    ("arguments", "named"), [(("--size", "full"), "cuda"), (("--model", "abacus"), "fastwam_joint")]
)
def test_what_cannot_be_measured_is_refused(arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)


def test_tiny_xwam_acts_long_before_it_has_imagined_and_is_faster_at_equal_output():
    figures = measured(sized("tiny", target="velocity", action_steps=2, video_steps=10), "cpu", repeats=3)
    assert figures["max_error"] <= 1e-5
    assert figures["rms_action"] > 0.5
    assert figures["roofline_ms"] < figures["optimised_ms"] < figures["eager_ms"]
    assert figures["time_to_action_operations"] <= 0.3
    assert figures["time_to_action_ratio"] <= 0.35
    assert figures["policy_ms"] < figures["policy_eager_ms"]


def test_the_table_of_operations_is_that_of_the_full_model():
    table = operations(sized("full"))
    assert table["tflop_step_with_depth_ours"] < table["tflop_step_with_depth_released"]
    assert table["tflop_policy_ours"] == pytest.approx(69.7 + 0.76, rel=0.03)
    assert table["tflop_decoding"] == pytest.approx(83.5, rel=0.03)
