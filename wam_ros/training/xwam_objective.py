# SPDX-License-Identifier: Apache-2.0
"""The training objective of X-WAM: flow matching of video, actions and states under coupled times, and clean depth.

All losses are plain mean squares with the same weight at every time. What was given clean is not supervised: the
observed frame and state, and in the samples that imagine a given plan its actions and states. Depth is supervised in
all frames, the observed one included.

Most of a sequence is later video, which is most of a step's work. A part of the batch may learn without it: rows and
states from what is observed alone (``video_share``). That is ours, for small machines; the released training has none.

Source: sharinka0715/X-WAM runners/xwam_runner.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.schedule import T_MAX, noised, regression_target
from wam_ros.models.xwam.model import Noisy, Observed, Predicted, XWam
from wam_ros.training.ans import Times, draw_times


class XWamBatch(NamedTuple):
    """What one step learns from, all normalised.

    Attributes:
        observed: the first frame, text and state.
        video: (B, C, T-1, V, h, w) clean later latent frames.
        actions: (B, K, A) clean rows.
        states: (B, S-1, P) clean later states.
        depth: (B, C, T, V, h, w) latent of the depth pictures of all frames.
        rows_valid, states_valid, frames_valid: (B, K), (B, S-1), (B, T) bool, False after the end of the episode.
    """

    observed: Observed
    video: Tensor
    actions: Tensor
    states: Tensor
    depth: Tensor
    rows_valid: Tensor
    states_valid: Tensor
    frames_valid: Tensor


@dataclass(frozen=True)
class XWamObjectiveOptions:
    """What may be chosen about the loss; the defaults are the released ones.

    Attributes:
        lambda_video, lambda_action, lambda_state, lambda_depth: weights.
        clean_action_probability: how often the actions are given (p), of the samples that have later video.
        noise_probability: how often rows begin as nothing but noise: all that a policy of one step ever sees.
        text_dropout: how often the instruction is left away.
        video_share: part of the batch that has later video; the rest is shorter by it, and imagines nothing.
        depth_share: part of the batch on which the depth loss is computed; a mean either way, at less cost.
    """

    lambda_video: float = 1.0
    lambda_action: float = 1.0
    lambda_state: float = 1.0
    lambda_depth: float = 1.0
    clean_action_probability: float = 0.5
    noise_probability: float = 0.0
    text_dropout: float = 0.1
    video_share: float = 1.0
    depth_share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.depth_share <= self.video_share <= 1:
            shares = f"depth_share {self.depth_share}, video_share {self.video_share}"
            expected = "0 < depth_share <= video_share <= 1"
            raise ConfigError(
                mismatch("objective", expected, shares, "correct them: depth is of the video that is seen")
            )
        chances = self.clean_action_probability, self.noise_probability, self.text_dropout
        if min(chances) < 0 or max(chances) > 1 or self.text_dropout == 1:
            raise ConfigError(mismatch("objective", "probabilities, text_dropout below 1", chances, "correct it"))


class XWamLosses(NamedTuple):
    """Losses of one step; ``total`` is what is minimised, the others are not weighted."""

    total: Tensor
    video: Tensor
    action: Tensor
    state: Tensor
    depth: Tensor


class XWamObjective(nn.Module):
    """The loss as a module, so that a data-parallel engine can wrap it whole."""

    def __init__(self, model: XWam, options: XWamObjectiveOptions, no_text: Tensor) -> None:
        """Bind a model.

        Args:
            no_text: (L, text_dim) embedding of the empty instruction.
        """
        super().__init__()
        self.model, self.options = model, options
        self.no_text: Tensor
        self.register_buffer("no_text", no_text, persistent=False)

    def forward(self, batch: XWamBatch) -> XWamLosses:
        """Return the losses of one batch with fresh noise."""
        p, o = self.model.sizes, self.options
        watched, times = self._draw_times(len(batch.actions), batch.actions.device)
        clean = batch.video, batch.actions, batch.states
        noise = [torch.randn_like(x) for x in clean]
        sigmas = times.video, times.action, times.action
        mixed = [noised(x, e, _wide(s, x)) for x, e, s in zip(clean, noise, sigmas, strict=True)]
        noisy = Noisy(mixed[0], T_MAX * times.video, mixed[1], T_MAX * times.action, mixed[2])
        predicted = self._predict(self._observed(batch.observed), noisy, watched)
        targets = [regression_target(p.target, x, e) for x, e in zip(clean, noise, strict=True)]
        asked = ~times.given[:, None]
        video = _mean(predicted.video, targets[0][:watched], batch.frames_valid[:watched, 1:], time_dim=2)
        action = _mean(predicted.actions, targets[1], batch.rows_valid & asked)
        state = _mean(predicted.states, targets[2], batch.states_valid & asked)
        depth = video.new_zeros(())
        if predicted.depth is not None:
            deep = len(predicted.depth)
            depth = _mean(predicted.depth, batch.depth[:deep], batch.frames_valid[:deep], time_dim=2)
        total = o.lambda_video * video + o.lambda_action * action + o.lambda_state * state + o.lambda_depth * depth
        return XWamLosses(total, video.detach(), action.detach(), state.detach(), depth.detach())

    def _draw_times(self, count: int, device: torch.device) -> tuple[int, Times]:
        """Return how many samples have later video, the first ones, and the flow times of all."""
        o, shift = self.options, self.model.sizes.shift
        watched = max(1, round(o.video_share * count))
        parts = (
            draw_times(watched, shift, o.clean_action_probability, device, o.noise_probability),
            # Rows that are given teach video alone, of which there is none.
            draw_times(count - watched, shift, 0.0, device, o.noise_probability),
        )
        return watched, Times(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _predict(self, observed: Observed, noisy: Noisy, watched: int) -> Predicted:
        """Predict video and depth of the first samples, rows and states of all."""
        o, count = self.options, len(noisy.actions)
        deep = max(1, round(o.depth_share * count))
        first = (Observed(*(x[:watched] for x in observed)), Noisy(*(x[:watched] for x in noisy)))
        predicted = self.model.predict(*first, depth=o.lambda_depth > 0, deep=deep)
        if watched == count:
            return predicted
        rest = Noisy(*(x[watched:] for x in noisy))
        short = rest._replace(video=rest.video[:, :, :0])
        blind = self.model.predict(Observed(*(x[watched:] for x in observed)), short)
        return predicted._replace(
            actions=torch.cat((predicted.actions, blind.actions)), states=torch.cat((predicted.states, blind.states))
        )

    def _observed(self, observed: Observed) -> Observed:
        dropped = torch.rand(len(observed.text), 1, 1, device=observed.text.device) < self.options.text_dropout
        return observed._replace(text=torch.where(dropped, self.no_text, observed.text))


def _wide(sigma: Tensor, like: Tensor) -> Tensor:
    return sigma.reshape(-1, *[1] * (like.dim() - 1))


def _mean(predicted: Tensor, target: Tensor, valid: Tensor, time_dim: int = 1) -> Tensor:
    """Return the mean square error over what is valid of all samples, which may be nothing."""
    error = (predicted.float() - target).square()
    of_time = error.mean(dim=[d for d in range(1, error.dim()) if d != time_dim])
    counted = valid.to(of_time.dtype)
    return (of_time * counted).sum() / counted.sum().clamp(min=1)
