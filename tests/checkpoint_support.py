# SPDX-License-Identifier: Apache-2.0
"""Tiny checkpoints with random weights, and policies that use them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from wam_ros.core.card import Card, Normaliser, VectorLayout
from wam_ros.core.policy import Policy
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.models.fastwam import build
from wam_ros.models.latent import PixelCodec
from wam_ros.models.params import sized
from wam_ros.training.data import Normalisers
from wam_ros.training.export import Provenance, export


def random_checkpoint(folder: Path, robot_name: str = "sim_r1_lite", seed: int = 0, **changes: object) -> Card:
    """Write a tiny checkpoint whose actions stay within a few centimetres of the ready pose."""
    robot, like = load_robot(robot_name), load_policy("hold")
    prefix_rows = int(changes.pop("prefix_rows", 0))
    params = sized("tiny", horizon=like.horizon, rate_hz=like.rate_hz, **changes)
    torch.manual_seed(seed)
    model = build(params)
    # An untrained model answers zero; a policy under test has to answer something.
    torch.nn.init.normal_(model.action.head.weight, std=0.02)
    codec = PixelCodec(params.latent)
    codec.fit(torch.rand(4, 3, params.latent.picture_height, params.latent.picture_width) * 2 - 1)
    gripper = np.array(robot.gripper_mask)
    ready = np.where(gripper, 0.5, robot.ready_position())
    spread = np.where(gripper, 0.5, 0.05)
    unit = Normaliser("z_score", tuple((ready - spread).tolist()), tuple((ready + spread).tolist()))
    layout = VectorLayout("joint_absolute", robot.joint_names)
    provenance = Provenance(
        "tiny",
        layout,
        layout,
        like.mosaic,
        "do: {task}",
        like.execute_rows,
        "Apache-2.0",
        "random",
        prefix_rows=prefix_rows,
    )
    return export(folder, params, model.state_dict(), codec, Normalisers(unit, unit), provenance, torch.float32)


def released_files(folder: Path) -> tuple[Path, Path]:
    """Write a tiny random model as the released code saves one, and its statistics; both paths."""
    torch.manual_seed(0)
    model = build(sized("tiny", horizon=32, rate_hz=15.0))
    torch.nn.init.normal_(model.action.head.weight, std=0.02)
    mot = {name.removeprefix("mot."): t for name, t in model.state_dict().items() if name.startswith("mot.")}
    weights, statistics = folder / "released.pt", folder / "stats.json"
    torch.save({"mot": mot, "proprio_encoder": model.proprio_encoder.state_dict(), "step": 5}, weights)
    ready = np.array(load_robot("sim_r1_lite").ready_position()).tolist()
    stats = {"default": {"global_mean": ready, "global_std": [0.1] * 14}}
    statistics.write_text(json.dumps({"state": stats, "action": stats}))
    return weights, statistics


def policy_of(folder: Path, **options: object) -> Policy:
    """Return the policy that uses a checkpoint of ``random_checkpoint``."""
    return dataclasses.replace(
        load_policy("hold"), name="tiny_random", backend="fastwam", checkpoint=str(folder), options=dict(options)
    )
