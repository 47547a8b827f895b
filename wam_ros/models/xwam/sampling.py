# SPDX-License-Identifier: Apache-2.0
"""Denoising at two speeds: the actions are done after T_a calls, the video and its depth after T_O.

A plan says what is denoised. ``policy`` stops when the actions are done. ``joint`` hands them out then and goes on
to the imagined future. ``imagine`` is given actions and states, clean, and denoises the video alone. The loop is a
generator: each network call is one step of it, and who stops asking has cancelled the rest.

Source: the X-WAM paper (asynchronous denoising) and sharinka0715/X-WAM runners/xwam_runner.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from wam_ros.models.schedule import chunk_noise
from wam_ros.models.xwam.model import Noisy, Observed, Predicted, XWam
from wam_ros.models.xwam.params import XWamParams
from wam_ros.models.xwam.unipc import Solution, unipc_steps

Mode = Literal["policy", "joint", "imagine"]


class Samples(NamedTuple):
    """What is denoised: video (B, C, T-1, V, h, w), rows (B, K, A), states (B, S-1, P)."""

    video: Tensor
    actions: Tensor
    states: Tensor


class Wanted(NamedTuple):
    """Which predictions a call must make; the others may be missing or stale."""

    video: bool
    rows: bool
    depth: bool


class Network(Protocol):
    """One call of an X-WAM for samples of an observation that it has been shown."""

    def predict(self, samples: Samples, video_time: float, action_time: float, wanted: Wanted) -> Predicted:
        """Return what is wanted; flow times in 0..1000, the same for all samples of the batch."""
        ...


class Acted(NamedTuple):
    """A finished chunk: rows (B, K, A) and states (B, S-1, P), normalised float32."""

    actions: Tensor
    states: Tensor


class Imagined(NamedTuple):
    """The imagined future: later frames (B, C, T-1, V, h, w), and depth (B, C, T, V, h, w) of all frames."""

    video: Tensor
    depth: Tensor | None


class Progress(NamedTuple):
    """After one network call: how many there were, the chunk once it is done, the future at the end."""

    calls: int
    acted: Acted | None
    imagined: Imagined | None


@dataclass(frozen=True)
class Plan:
    """How far to denoise.

    Attributes:
        mode: see the module.
        action_steps, video_steps: T_a and T_O.
        depth: run the depth branch in the last call, in every call with video (as released), or not at all.
    """

    mode: Mode
    action_steps: int
    video_steps: int
    depth: Literal["last", "always", "never"] = "last"

    @classmethod
    def of(cls, params: XWamParams, mode: Mode) -> Plan:
        """Return a checkpoint's own plan."""
        return cls(mode, params.action_steps, params.video_steps)

    @property
    def calls(self) -> int:
        """Network calls until the end."""
        return self.action_steps if self.mode == "policy" else self.video_steps

    def wanted(self, call: int, *, acting: bool) -> Wanted:
        """Return what a call must predict."""
        last = call == self.calls - 1
        if self.mode == "policy":
            return Wanted(video=not last, rows=True, depth=False)
        return Wanted(video=True, rows=acting, depth=self.depth == "always" or (last and self.depth == "last"))


def noise_for(params: XWamParams, seed: int, batch: int = 1) -> Samples:
    """Return noise, the same for each sample and for every chunk of a checkpoint."""
    c, t, *rest = params.video_shape
    shapes = (c, t - 1, *rest), (params.horizon, params.action_dim), (params.states - 1, params.proprio_dim)
    drawn = (chunk_noise((1, *shape), seed + i) for i, shape in enumerate(shapes))
    return Samples(*(noise.expand(batch, *noise.shape[1:]).clone() for noise in drawn))


def denoise(network: Network, params: XWamParams, noise: Samples, plan: Plan) -> Iterator[Progress]:
    """Denoise step by step.

    Args:
        network: that has seen the observation.
        noise: from ``noise_for``; in the mode ``imagine`` its rows and states are the given, clean ones.
        plan: how far.

    Yields:
        After each call of the network. Stopping to ask cancels the rest, at no cost.
    """
    of_rows = () if plan.mode == "imagine" else unipc_steps(plan.action_steps, params.shift)
    video = Solution(noise.video, unipc_steps(plan.video_steps, params.shift), params.target)
    rows, states = (Solution(x, of_rows, params.target) for x in (noise.actions, noise.states))
    for call in range(plan.calls):
        acting = not rows.done
        wanted = plan.wanted(call, acting=acting)
        with torch.inference_mode():
            now = Samples(video.sample, rows.sample, states.sample)
            predicted = network.predict(now, video.time, rows.time, wanted)
            if wanted.video:
                video.advance(predicted.video)
            if acting:
                rows.advance(predicted.actions)
                states.advance(predicted.states)
        acted = Acted(rows.sample, states.sample) if rows.done else None
        last = call == plan.calls - 1 and plan.mode != "policy"
        yield Progress(call + 1, acted, Imagined(video.sample, predicted.depth) if last else None)


class Plain:
    """The model itself as a network: the reference that every optimisation is compared with."""

    def __init__(self, model: XWam, observed: Observed) -> None:
        self._model, self._observed = model, observed

    def predict(self, samples: Samples, video_time: float, action_time: float, wanted: Wanted) -> Predicted:
        """See :class:`Network`; everything is computed anew, wanted or not, but depth."""
        batch, device = len(samples.actions), samples.actions.device
        times = (torch.full((batch,), t, device=device) for t in (video_time, action_time))
        noisy = Noisy(samples.video, next(times), samples.actions, next(times), samples.states)
        return self._model.predict(self._observed, noisy, depth=wanted.depth)
