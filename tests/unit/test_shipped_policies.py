# SPDX-License-Identifier: Apache-2.0
"""The shipped policies: small enough, whole, and they do what they are shipped for."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from wam_ros.bench.closed_loop import bench_stand
from wam_ros.checks import check
from wam_ros.core.foresight import depth_errors
from wam_ros.core.stitch import stitch
from wam_ros.files.assets import find, load_policy
from wam_ros.files.card import read_card
from wam_ros.models import checkpoint as fastwam
from wam_ros.models.xwam import checkpoint as xwam
from wam_ros.policies.base import Imaginative, Request
from wam_ros.sim.graphics import choose_backend
from wam_ros.sim.rollout import observe
from wam_ros.vision.resize import resize
from wam_ros.vision.sight import sights_of

FOLDS, SEES = "fastwam_towel_tiny", "xwam_earphone_tiny"
needs_graphics = pytest.mark.skipif(choose_backend() == "disabled", reason="nothing draws here")


def folder_of(policy: str):
    return find(f"checkpoints/{load_policy(policy).checkpoint}")


@pytest.mark.parametrize(
    ("policy", "load_model", "load_codec", "robot"),
    [
        (FOLDS, fastwam.load_model, fastwam.load_codec, "sim_r1_lite"),
        (SEES, xwam.load_model, xwam.load_codecs, "sim_ac_one"),
    ],
)
def test_the_checkpoint_is_small_whole_and_says_how_it_was_made(policy, load_model, load_codec, robot) -> None:
    folder = folder_of(policy)
    card = read_card(folder)
    model = load_model(folder, card)
    load_codec(folder, card)
    assert sum(parameter.numel() for parameter in model.parameters()) <= 8_000_000
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 16 * 2**20
    assert card.command.startswith(f"wam train {policy} --data ")
    *_, fits, verdict = check("policy", policy)
    assert verdict == "good"
    assert robot in fits


@needs_graphics
def test_it_folds_a_towel_that_it_has_never_seen() -> None:
    with bench_stand(FOLDS, 0.0) as stand:
        trial = stand.fold("governed", 0.19, 1000)
    assert trial.success
    assert trial.progress == 1


@needs_graphics
def test_it_knows_metres_of_a_scene_that_it_has_never_seen() -> None:
    torch.manual_seed(0)
    with bench_stand(SEES, 0.0, "earphone_pack") as stand:
        card = read_card(folder_of(SEES))
        sights = sights_of(stand.robot, stand.policy.mosaic, card)
        stand.world.reset(1000)
        seen = observe(stand.world, True)
        backend = stand.backend
        assert isinstance(backend, Imaginative)
        backend.imagining = True
        picture = stitch(stand.policy.mosaic, {name: view.color for name, view in seen.views.items()}, resize)
        backend.infer(Request(seen, picture, stand.task.instruction))
        imagined = backend.imagine(lambda: False)
    assert imagined is not None
    assert imagined.depths_m is not None
    true = {name: sight.depth(seen.views[name].depth_m) for name, sight in sights.items()}
    found = depth_errors([(imagined.depths_m[name][0], depth) for name, depth in true.items()], card.depth.far_m)
    assert found.absrel < 0.15
    assert found.delta1 > 0.85
