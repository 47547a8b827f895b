# SPDX-License-Identifier: Apache-2.0
"""Tiny X-WAM checkpoints with random weights, and policies that use them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
import yaml

from wam_ros.core.card import Card, DepthCoding, Normaliser
from wam_ros.core.policy import Cell, Mosaic, Policy
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.models.measure import lively
from wam_ros.models.xwam.checkpoint import Codecs
from wam_ros.models.xwam.model import XWam, build
from wam_ros.models.xwam.params import XWamParams, sized
from wam_ros.models.xwam.views import PixelViews
from wam_ros.training.data import Normalisers
from wam_ros.training.export import Provenance
from wam_ros.training.xwam_conversion import layouts
from wam_ros.training.xwam_export import export_xwam

CAMERAS = ("head", "left_wrist", "right_wrist")
MOSAIC = Mosaic(64, 240, tuple(Cell(camera, 0, 80 * i, 64, 80) for i, camera in enumerate(CAMERAS)))
DEPTH = DepthCoding(0.1, 2.0)
STATE = Normaliser("quantile", (-1.0,) * 16, (1.0,) * 16, clamp=0.0)
STEP = Normaliser("quantile", (-0.004,) * 14, (0.004,) * 14, clamp=0.0)


def random_model(**changes: object) -> tuple[XWamParams, XWam]:
    """A tiny model that answers something, with few steps."""
    torch.set_num_threads(1)
    params = sized("tiny", action_steps=2, video_steps=4, target="x0", **changes)
    model = build(params)
    lively(model)
    return params, model


def random_checkpoint(folder: Path, depth: DepthCoding | None = DEPTH) -> Card:
    """Write a tiny checkpoint whose steps are a few millimetres."""
    params, model = random_model()
    state, action = layouts(load_robot("sim_r1_lite"))
    codecs = Codecs(PixelViews(params), PixelViews(params))
    provenance = Provenance("tiny", state, action, MOSAIC, "{task}", 8, "Apache-2.0", "random")
    maps = Normalisers(STATE, STEP)
    return export_xwam(folder, params, model.state_dict(), codecs, maps, provenance, depth, torch.float32)


def policy_of(folder: Path, **options: object) -> Policy:
    """Return the policy that uses a checkpoint of ``random_checkpoint``."""
    return dataclasses.replace(
        load_policy("hold"), name="tiny_xwam", backend="xwam", checkpoint=str(folder), options=dict(options),
        mosaic=MOSAIC, rate_hz=10.0, horizon=16, execute_rows=8,
    )  # fmt: skip


def released_files(folder: Path) -> tuple[Path, Path]:
    """Write a tiny model as the released code saves one, and its configuration; both paths."""
    _, model = random_model()
    module = {f"model.{name}": t for name, t in model.state_dict().items()}
    module |= {"text_encoder.model.norm.weight": torch.ones(4), "vae.mean": torch.zeros(48)}
    states = folder / "last.ckpt" / "checkpoint" / "mp_rank_00_model_states.pt"
    states.parent.mkdir(parents=True)
    torch.save({"module": module, "dp_world_size": 8}, states)
    sides = {}
    for quantile, sign in (("q01", -1.0), ("q99", 1.0)):
        of_arms = {f"{what}_{arm}_ee_{part}": [sign * size] * 3 for arm in ("left", "right") for what, part, size in (
            ("proprio", "xyz", 0.5), ("action", "xyz", 0.02), ("action", "axisangle", 0.05))}  # fmt: skip
        sides[quantile] = {**of_arms, "gripper_pos": [max(0.0, sign)], "gripper_action": [sign * 0.1]}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"frame_skip": 4, "statistics": sides}}))
    return states.parents[1], folder / "config.yaml"
