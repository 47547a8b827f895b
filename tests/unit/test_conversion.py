# SPDX-License-Identifier: Apache-2.0
"""``wam convert`` and ``wam check checkpoint``, from a foreign file to a folder that the backend loads."""

import argparse

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from tests.checkpoint_support import policy_of, released_files
from wam_ros.core.errors import ConfigError
from wam_ros.files.assets import load_robot, load_task
from wam_ros.files.card import read_card
from wam_ros.policies.fastwam import FastWam
from wam_ros.training.conversion import add_arguments, check_checkpoint, convert


def options(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(w) for w in words])


@pytest.fixture
def released(tmp_path):
    """A tiny model saved as the released code saves one, with its statistics."""
    return released_files(tmp_path)


def words(released, out, *more):
    file, stats = released
    return options(
        file, "--out", out, "--robot", "sim_r1_lite", "--size", "tiny", "--stats", stats, "--target", "x0", *more
    )


def test_a_released_file_becomes_a_checkpoint_that_the_backend_loads(released, tmp_path):
    out = tmp_path / "checkpoint"
    assert "tensors" in convert(words(released, out))[0]
    card = read_card(out)
    assert (card.shift_action, card.steps, card.source) == (5.0, 10, "released.pt")
    assert len(card.source_sha256) == 64
    assert "fastwam main tiny" in check_checkpoint(out)[0]
    backend = FastWam()
    backend.load(policy_of(out), load_robot("sim_r1_lite"), load_task("towel_fold"))
    assert np.isfinite(backend.infer(backend.example_request()).positions).all()
    backend.close()


def test_layers_made_anew_for_another_robot_are_said_loudly(released, tmp_path):
    lines = convert(words(released, tmp_path / "new", "--new-head"))
    assert sum("made anew and untrained" in line for line in lines) == 6


def test_the_wrong_size_statistics_or_variant_are_refused(released, tmp_path):
    file, stats = released
    with pytest.raises(ConfigError, match="does not fit the model"):
        convert(options(file, "--out", tmp_path / "x", "--robot", "sim_r1_lite", "--stats", stats))
    with pytest.raises(ConfigError, match="expected --stats"):
        convert(options(released[0], "--out", tmp_path / "x", "--robot", "sim_r1_lite", "--size", "tiny"))
    with pytest.raises(ConfigError, match="neither"):
        convert(options("--out", tmp_path / "x"))


def test_a_hashed_text_needs_no_embedding(released, tmp_path):
    out = tmp_path / "checkpoint"
    convert(words(released, out))
    assert "hashes its text" in convert(options("--out", out, "--prompt", "fold"))[0]
