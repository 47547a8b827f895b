# SPDX-License-Identifier: Apache-2.0
"""The straight flow between data and noise: its schedule, its loss weight, and the Euler step.

x_t = (1 - sigma) x_0 + sigma noise; the velocity is noise - x_0; the network is told t = 1000 sigma. Sigma is
sigma(u) = s u / (1 + (s - 1) u) of an even u; s belongs to the checkpoint (5 for the two first releases, 1 for
newer ones) and is written on its card.

Source: yuantianyuan01/FastWAM src/fastwam/models/schedulers/scheduler_continuous.py. The paper says logit-normal
times; the released code draws u evenly and weights the loss, and so do we.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from wam_ros.models.params import Target

Guide = Callable[[int, Tensor, Tensor, float], Tensor]
"""``guide(step, x_t, clean, sigma)`` returns a corrected clean estimate, all (B, K, A).

It is plain arithmetic on tensors of fixed size, so it can be part of a CUDA graph. Every correction of a
flow has this form: a velocity correction d is ``clean - sigma * d``; replacing rows of the clean estimate
by known ones keeps these rows on the straight line to them (inpainting with the same noise).
"""

T_MAX = 1000.0
Number = TypeVar("Number", float, Tensor)


def shifted(u: Number, shift: float) -> Number:
    """Return sigma in 0..1 of an even u in 0..1."""
    return shift * u / (1 + (shift - 1) * u)


@dataclass(frozen=True)
class Schedule:
    """Sigmas of n Euler steps from 1 to 0; ``times`` are what the network is told, ``deltas`` the steps.

    Attributes:
        sigmas: n + 1 values.
        times: n values, 1000 * sigma before the step.
        deltas: n values, sigma after minus sigma before.
    """

    sigmas: tuple[float, ...]
    times: tuple[float, ...]
    deltas: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of Euler steps."""
        return len(self.deltas)


def flow_schedule(steps: int, shift: float, rounded_to: torch.dtype = torch.float32) -> Schedule:
    """Return the schedule of an Euler solution.

    Args:
        rounded_to: the released code casts times and steps to the latents' dtype. In bfloat16 the times
            become 1000, 980, 952, 920, 884, ... and the steps sum to -0.99976, so the sample ends short of
            the data. The default keeps them exact; ``torch.bfloat16`` reproduces the released rounding.
    """
    sigmas = tuple(shifted(1 - i / steps, shift) for i in range(steps + 1))

    def rounded(value: float) -> float:
        return value if rounded_to == torch.float32 else torch.tensor(value, dtype=rounded_to).item()

    return Schedule(
        sigmas,
        tuple(rounded(T_MAX * s) for s in sigmas[:-1]),
        tuple(rounded(b - a) for a, b in zip(sigmas, sigmas[1:], strict=False)),
    )


def noised(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Return x_t of the same shape as ``clean``; sigma broadcasts, e.g. (B, 1, 1)."""
    return (1 - sigma) * clean + sigma * noise


def regression_target(target: Target, clean: Tensor, noise: Tensor) -> Tensor:
    """Return what the network is trained to predict."""
    return clean if target == "x0" else noise - clean


def loss_weight(sigma: Tensor, shift: float, grid: int = 1000) -> Tensor:
    """Return the released weight of each sample's loss, same shape as sigma.

    A bell around sigma = 0.5, lowered so that it is zero at both ends and scaled to mean one over the grid of
    training times: w(0.5) = 2.076 at shift 5.
    """
    lowest = math.exp(-0.5)
    times = [shifted(1 - i / grid, shift) for i in range(grid)]
    mean = sum(math.exp(-2 * (s - 0.5) ** 2) - lowest for s in times) / grid
    return (torch.exp(-2 * (sigma - 0.5) ** 2) - lowest) / mean


def euler_step(
    x: Tensor, predicted: Tensor, schedule: Schedule, step: int, target: Target, guide: Guide | None = None
) -> Tensor:
    """Return the sample after one step, float32.

    Args:
        x: sample before the step, any shape, float32.
        predicted: the network's output for it, any float type.
        step: index in the schedule.
        target: what was predicted.
        guide: corrects the clean estimate; needs ``x`` to be a chunk (B, K, A).
    """
    sigma, predicted = schedule.sigmas[step], predicted.float()
    if target == "velocity" and guide is None:
        return x + schedule.deltas[step] * predicted
    clean = predicted if target == "x0" else x - sigma * predicted
    if guide is not None:
        clean = guide(step, x, clean, sigma)
    return x + (schedule.deltas[step] / sigma) * (x - clean)


def chunk_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return standard normal noise, float32 on the CPU, from a generator of its own.

    The released policies draw anew from the same seed for every chunk, and video and action each from their
    own generator with that seed; this keeps successive chunks consistent. Video noise is drawn for all latent
    frames, although the first is then replaced by the observed one.
    """
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
