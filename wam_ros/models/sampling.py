# SPDX-License-Identifier: Apache-2.0
"""From noise to a chunk, plainly: the sampler that every optimisation is compared with.

Three procedures (masks.py): ``main`` denoises the rows beside the first frame; ``joint`` denoises rows and
future together, both at the same flow time; ``idm`` denoises the future, reads it once as clean, then denoises
the rows. No classifier-free guidance; sample and steps in float32 whatever the weights' type.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wam_ros.models.fastwam import FastWam, Observed, Scene
from wam_ros.models.masks import Procedure
from wam_ros.models.mot import Memory
from wam_ros.models.schedule import Guide, Schedule, chunk_noise, euler_step, flow_schedule


class Prefix(NamedTuple):
    """Rows that are already decided, for a model that was trained to continue them.

    Attributes:
        rows: (B, K, A) normalised actions; only the clean ones are read.
        clean: (B, K) bool, True for rows that are given and stand at flow time 0.
    """

    rows: Tensor
    clean: Tensor


class Schedules(NamedTuple):
    """One schedule for each expert, with the same number of steps."""

    video: Schedule
    action: Schedule


class Sampled(NamedTuple):
    """A chunk (B, K, A), normalised float32, and the imagined latent frames (B, C, T-1, h, w) if any."""

    actions: Tensor
    future: Tensor | None


def schedules(model: FastWam) -> Schedules:
    """Return the schedules of the model's card."""
    p = model.params
    return Schedules(flow_schedule(p.steps, p.shift_video), flow_schedule(p.steps, p.shift_action))


def noise_for(model: FastWam, seed: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Return the released noise: rows (B, K, A) and later frames (B, C, T-1, h, w); the same for each sample."""
    p, latent = model.params, model.params.latent
    rows = chunk_noise((1, p.horizon, p.action_dim), seed)
    frames = chunk_noise((1, latent.channels, latent.frames, latent.height, latent.width), seed)[:, :, 1:]
    return rows.repeat(batch, 1, 1), frames.repeat(batch, 1, 1, 1, 1)


@torch.no_grad()
def sample(
    model: FastWam,
    observed: Observed,
    noise: tuple[Tensor, Tensor],
    procedure: Procedure | None = None,
    guide: Guide | None = None,
    prefix: Prefix | None = None,
) -> Sampled:
    """Return a chunk.

    Args:
        model: any size and variant.
        observed: what to act on.
        noise: from ``noise_for``, on the model's device.
        procedure: the variant's own by default.
        guide: corrects each clean estimate of the rows.
        prefix: rows that are given.
    """
    kind = procedure or model.procedure
    scene, plan = model.look(observed), schedules(model)
    rows, frames = noise[0].float(), noise[1].float()
    future: Memory | None = None
    if kind == "idm":
        frames = _dreamt(model, scene, frames, plan.video)
        _, future = model.imagine(scene, frames, torch.zeros(len(frames), device=frames.device))
    for step in range(plan.action.steps):
        if kind == "joint":
            frames, future = _imagine(model, scene, frames, plan.video, step)
        rows, times = given(rows, plan.action.times[step], prefix)
        predicted = model.act(scene, rows, times, future)
        rows = euler_step(rows, predicted, plan.action, step, model.params.target, guide)
    rows, _ = given(rows, 0.0, prefix)
    return Sampled(rows, None if kind == "main" else frames)


@torch.no_grad()
def imagined(model: FastWam, observed: Observed, frames: Tensor) -> Tensor:
    """Return the later latent frames (B, C, T-1, h, w) that the video expert alone makes of noise.

    Args:
        model: any variant; ``main`` needs them for nothing but to be looked at.
        observed: what they follow.
        frames: the second part of ``noise_for``, on the model's device.
    """
    return _dreamt(model, model.look(observed), frames.float(), schedules(model).video)


def _dreamt(model: FastWam, scene: Scene, frames: Tensor, schedule: Schedule) -> Tensor:
    for step in range(schedule.steps):
        frames, _ = _imagine(model, scene, frames, schedule, step)
    return frames


def _imagine(model: FastWam, scene: Scene, frames: Tensor, schedule: Schedule, step: int) -> tuple[Tensor, Memory]:
    t = torch.full((len(frames),), schedule.times[step], device=frames.device)
    predicted, memory = model.imagine(scene, frames, t)
    return euler_step(frames, predicted, schedule, step, model.params.target), memory


def given(rows: Tensor, t: float, prefix: Prefix | None) -> tuple[Tensor, Tensor]:
    """Return the rows with the given ones in place, and the flow time of each row, (B, K)."""
    times = torch.full(rows.shape[:2], t, device=rows.device)
    if prefix is None:
        return rows, times
    return torch.where(prefix.clean[..., None], prefix.rows, rows), times.masked_fill(prefix.clean, 0.0)
