# SPDX-License-Identifier: Apache-2.0
"""The training objective of Fast-WAM: joint flow matching of future frames and rows, as released.

Two flow times are drawn evenly and independently for each sample, one for the frames and one for the rows,
and shifted; each loss is weighted by a bell in its flow time (the paper says logit-normal, the released code
does this). What the rows may read is the variant's: main the first frame, joint the noisy future, idm a
second copy of the future, which is noise-augmented with probability one half.

Two savings are exact. One look at the first frame serves several noise draws of the rows, since nothing that
is denoised reaches it; and the video loss may be computed on a part of the batch.

Source: yuantianyuan01/FastWAM src/fastwam/models/wan22/{fastwam,fastwam_joint,fastwam_idm}.py and
src/fastwam/schedulers/scheduler_continuous.py; trained prefixes: arXiv 2512.05964.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.fastwam import FastWam, Observed, Scene
from wam_ros.models.mot import Memory
from wam_ros.models.schedule import T_MAX, loss_weight, noised, regression_target, shifted


class Batch(NamedTuple):
    """What one step learns from, all normalised.

    Attributes:
        observed: the first frame, text and state.
        future: (B, C, T-1, h, w) clean later latent frames.
        actions: (B, K, A) clean rows.
        rows_valid: (B, K) bool, False for rows after the end of the episode.
        frames_valid: (B, T-1) bool, False for latent frames after the end.
    """

    observed: Observed
    future: Tensor
    actions: Tensor
    rows_valid: Tensor
    frames_valid: Tensor


@dataclass(frozen=True)
class ObjectiveOptions:
    """What may be chosen about the loss.

    Attributes:
        lambda_video, lambda_action: weights; lambda_video 0 is the variant without co-training.
        draws: noise draws of the rows for each sample (R).
        video_share: part of the batch on which the video loss is computed.
        seen_noise_probability: inverse dynamics: how often the frames that the rows read are noised.
        sees_future_probability: optional variant: how often the rows read the future.
        prefix_rows: rows 0..d-1 with d drawn from 0..prefix_rows are given clean, at flow time 0, and not
            supervised, so that the model can continue a committed prefix.
    """

    lambda_video: float = 1.0
    lambda_action: float = 1.0
    draws: int = 1
    video_share: float = 1.0
    seen_noise_probability: float = 0.5
    sees_future_probability: float = 0.5
    prefix_rows: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or not 0 < self.video_share <= 1:
            raise ConfigError(
                mismatch(
                    "objective", "draws >= 1 and 0 < video_share <= 1", (self.draws, self.video_share), "correct it"
                )
            )


class Losses(NamedTuple):
    """Weighted losses of one step; ``total`` is what is minimised."""

    total: Tensor
    video: Tensor
    action: Tensor


class Objective(nn.Module):
    """The loss as a module, so that a data-parallel engine can wrap it whole."""

    def __init__(self, model: FastWam, options: ObjectiveOptions) -> None:
        """Bind a model.

        Raises:
            ConfigError: options that the variant cannot be trained with.
        """
        super().__init__()
        self.model, self.options = model, options
        if model.procedure != "main" and options.video_share < 1:
            raise ConfigError(
                mismatch(
                    f"video_share of variant {model.params.variant}",
                    1,
                    options.video_share,
                    "its rows read every future",
                )
            )
        if options.prefix_rows >= model.params.horizon:
            raise ConfigError(
                mismatch(
                    "prefix_rows", f"less than the horizon {model.params.horizon}", options.prefix_rows, "lower it"
                )
            )

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of one batch with fresh noise."""
        scene = self.model.look(batch.observed)
        video, memory = self._video(scene, batch)
        if self.model.procedure == "idm":
            memory = self._seen(scene, batch)
        action = self._action(scene, batch, None if self.model.procedure == "main" else memory)
        o = self.options
        return Losses(o.lambda_video * video + o.lambda_action * action, video.detach(), action.detach())

    def _video(self, scene: Scene, batch: Batch) -> tuple[Tensor, Memory | None]:
        p = self.model.params
        if self.options.lambda_video == 0 and self.model.procedure != "joint":
            return torch.zeros((), device=batch.future.device), None
        count = max(1, round(self.options.video_share * len(batch.future)))
        clean = batch.future[:count]
        sigma = _draw_sigma(count, p.shift_video, clean.device)
        noise = torch.randn_like(clean)
        predicted, memory = self.model.imagine(
            scene.first(count), noised(clean, noise, _wide(sigma, clean)), T_MAX * sigma
        )
        error = (predicted.float() - regression_target(p.target, clean, noise)).square().mean(dim=(1, 3, 4))
        return _weighted(error, batch.frames_valid[:count], loss_weight(sigma, p.shift_video)), memory

    def _seen(self, scene: Scene, batch: Batch) -> Memory:
        """Return the frames that inverse dynamics reads: clean, or noised and told so."""
        clean = batch.future
        sigma = _draw_sigma(len(clean), self.model.params.shift_video, clean.device)
        augment = torch.rand(len(clean), device=clean.device) < self.options.seen_noise_probability
        sigma = torch.where(augment, sigma, torch.zeros_like(sigma))
        _, memory = self.model.imagine(
            scene, noised(clean, torch.randn_like(clean), _wide(sigma, clean)), T_MAX * sigma
        )
        return memory

    def _action(self, scene: Scene, batch: Batch, memory: Memory | None) -> Tensor:
        p, draws = self.model.params, self.options.draws
        clean = batch.actions.repeat(draws, 1, 1)
        valid = batch.rows_valid.repeat(draws, 1)
        sigma = _draw_sigma(len(clean), p.shift_action, clean.device)
        noise = torch.randn_like(clean)
        given = self._prefix(clean)
        rows = torch.where(given[..., None], clean, noised(clean, noise, _wide(sigma, clean)))
        times = (T_MAX * sigma)[:, None].expand(clean.shape[:2]).masked_fill(given, 0.0)
        if memory is not None:
            memory = [(k.repeat(draws, 1, 1, 1), v.repeat(draws, 1, 1, 1)) for k, v in memory]
        flow_time = times if self.options.prefix_rows else T_MAX * sigma
        predicted = self.model.act(scene.repeat(draws), rows, flow_time, memory, self._coin(len(clean)))
        error = (predicted.float() - regression_target(p.target, clean, noise)).square().mean(dim=2)
        return _weighted(error, valid & ~given, loss_weight(sigma, p.shift_action))

    def _prefix(self, clean: Tensor) -> Tensor:
        """Return (B, K) bool, True for rows that are given."""
        count, rows = clean.shape[:2]
        length = torch.randint(self.options.prefix_rows + 1, (count, 1), device=clean.device)
        return torch.arange(rows, device=clean.device)[None] < length

    def _coin(self, count: int) -> Tensor | None:
        if self.model.params.variant != "optional_idm":
            return None
        device = self.model.proprio_encoder.weight.device
        return torch.rand(count, device=device) < self.options.sees_future_probability


def _draw_sigma(count: int, shift: float, device: torch.device) -> Tensor:
    return shifted(torch.rand(count, device=device), shift)


def _wide(sigma: Tensor, like: Tensor) -> Tensor:
    return sigma.reshape(-1, *[1] * (like.dim() - 1))


def _weighted(error: Tensor, valid: Tensor, weight: Tensor) -> Tensor:
    """Mean over valid entries of each sample first, then the weight, then the mean over samples."""
    valid = valid.to(error.dtype)
    of_sample = (error * valid).sum(dim=1) / valid.sum(dim=1).clamp(min=1)
    return (of_sample * weight).mean()
