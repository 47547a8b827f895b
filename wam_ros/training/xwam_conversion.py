# SPDX-License-Identifier: Apache-2.0
"""``wam convert --family xwam``: the released DeepSpeed checkpoint to a folder with a card."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wam_ros.core.card import DepthCoding, VectorLayout
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.files.card import sha256_of

if TYPE_CHECKING:
    from wam_ros.models.xwam.params import XWamParams

POSE = ("x", "y", "z", "qw", "qx", "qy", "qz", "opening")
STEP = ("dx", "dy", "dz", "rx", "ry", "rz", "d_opening")


def convert_weights(options: argparse.Namespace) -> list[str]:
    """Write weights and card; returns what was done, a line each.

    Raises:
        ConfigError: what does not fit, and the remedy.
    """
    import torch

    from wam_ros.models.convert import require_exact
    from wam_ros.models.xwam.checkpoint import shapes_of
    from wam_ros.models.xwam.convert import STATES, read_released, read_statistics
    from wam_ros.training.data import Normalisers
    from wam_ros.training.export import Provenance
    from wam_ros.training.xwam_export import export_xwam

    _require(options)
    robot, policy = load_robot(options.robot), load_policy(options.policy)
    params = params_of(options, policy, robot)
    tensors = read_released(options.source)
    require_exact(shapes_of(params), tensors)
    maps = Normalisers(*read_statistics(options.stats))
    state, action = layouts(robot)
    file = options.source / STATES if options.source.is_dir() else options.source
    provenance = Provenance(
        options.size, state, action, policy.mosaic, options.prompt_template or "{task}", policy.execute_rows,
        options.licence, options.source.name, "wam convert", seed=options.seed,
    )  # fmt: skip
    precision, depth = getattr(torch, options.precision), depth_coding(options)
    export_xwam(options.out, params, tensors, None, maps, provenance, depth, precision, sha256_of(file))
    lines = [f"{len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} parameters -> {options.out}"]
    return lines if depth else [*lines, "depth has no metres: its coding is not published; give --depth if you know it"]


def layouts(robot: Robot) -> tuple[VectorLayout, VectorLayout]:
    """Return the released layouts: 8 numbers of state and 7 of action for each arm."""

    def names(parts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{arm.name}_{part}" for arm in robot.arms for part in parts)

    return VectorLayout("pose_scalar_first", names(POSE)), VectorLayout("pose_steps", names(STEP))


def params_of(options: argparse.Namespace, policy: Policy, robot: Robot) -> XWamParams:
    """Return the parameters of the released model for a policy's views and a robot's arms."""
    from wam_ros.models.xwam.params import sized

    sizes = {(cell.height, cell.width) for cell in policy.mosaic.cells}
    if len(sizes) != 1:
        what = f"policy {policy.name}: mosaic"
        raise ConfigError(mismatch(what, "cells of one size", sorted(sizes), "make all views equally large"))
    height, width = sizes.pop()
    return sized(
        options.size, view_height=height, view_width=width, views=len(policy.mosaic.cells), shift=options.shift,
        action_steps=options.steps, horizon=policy.horizon, rate_hz=policy.rate_hz, target="velocity",
        action_dim=len(STEP) * len(robot.arms), proprio_dim=len(POSE) * len(robot.arms),
    )  # fmt: skip


def depth_coding(options: argparse.Namespace) -> DepthCoding | None:
    """Return the coding of ``--depth NEAR FAR``, if given."""
    return DepthCoding(*options.depth) if options.depth else None


def _require(options: argparse.Namespace) -> None:
    for option, what in (
        ("robot", "the robot whose tools the vectors are"),
        ("stats", "the config.yaml of the weights"),
    ):
        if not getattr(options, option):
            raise ConfigError(f"convert: expected --{option}, got none; give {what}")
