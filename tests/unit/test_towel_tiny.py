# SPDX-License-Identifier: Apache-2.0
"""The shipped policy: small enough, whole, and it folds."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed")
from wam_ros.bench.closed_loop import bench_stand
from wam_ros.checks import check
from wam_ros.files.assets import find, load_policy
from wam_ros.files.card import read_card
from wam_ros.models.checkpoint import load_codec, load_model
from wam_ros.sim.graphics import choose_backend

POLICY = "fastwam_towel_tiny"
FOLDER = find(f"checkpoints/{load_policy(POLICY).checkpoint}")


def test_the_checkpoint_is_small_whole_and_says_how_it_was_made() -> None:
    card = read_card(FOLDER)
    model = load_model(FOLDER, card)
    load_codec(FOLDER, card)
    assert sum(parameter.numel() for parameter in model.parameters()) <= 8_000_000
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 16 * 2**20
    assert card.command.startswith(f"wam train {POLICY} --data ")
    assert check("policy", POLICY)[-2:] == ["fits r1_lite, sim_r1_lite", "good"]


@pytest.mark.skipif(choose_backend() == "disabled", reason="nothing draws here")
def test_it_folds_a_towel_that_it_has_never_seen() -> None:
    with bench_stand(POLICY, 0.0) as stand:
        trial = stand.fold("governed", 0.19, 1000)
    assert trial.success
