# SPDX-License-Identifier: Apache-2.0
"""Guidance as published: the pull towards the committed rows goes through the network's Jacobian.

One backward pass through the action expert for each denoising step, two to three times the work of a step, and
not part of any graph. :class:`wam_ros.models.guidance.PrefixGuide` is the same with the identity in place of
the Jacobian, at no cost, and is the default.

Source: real-time chunking, arXiv 2506.07339; Physical-Intelligence/real-time-chunking-kinetix src/model.py.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wam_ros.core.guidance import guidance_weight
from wam_ros.models.fastwam import FastWam, Observed
from wam_ros.models.sampling import schedules
from wam_ros.models.schedule import euler_step


class Pull(NamedTuple):
    """Where to and how hard.

    Attributes:
        rows: (B, K, A) committed rows, normalised.
        weight: (B or 1, K, 1) in 0..1.
        largest: beta.
        prior_deviation: see ``core.guidance.guidance_weight``.
    """

    rows: Tensor
    weight: Tensor
    largest: float = 5.0
    prior_deviation: float = 1.0


def sample_with_jacobian(model: FastWam, observed: Observed, noise: Tensor, pull: Pull) -> Tensor:
    """Return a chunk (B, K, A) of the main procedure, pulled to the committed rows.

    Args:
        model: main, or a variant asked to act from the first frame alone.
        observed: what to act on.
        noise: (B, K, A).
        pull: where to and how hard.
    """
    with torch.no_grad():
        scene, plan = model.look(observed), schedules(model).action
    rows = noise.float()
    for step in range(plan.steps):
        sigma = plan.sigmas[step]
        with torch.enable_grad():
            x = rows.detach().requires_grad_()
            predicted = model.act(scene, x, torch.full((len(x),), plan.times[step], device=x.device)).float()
            clean = predicted if model.params.target == "x0" else x - sigma * predicted
            error = pull.weight * (pull.rows - clean)
            (correction,) = torch.autograd.grad(clean, x, error.detach())
        gain = sigma * guidance_weight(1 - sigma, pull.largest, pull.prior_deviation)

        def corrected(
            _step: int, _x: Tensor, estimate: Tensor, _sigma: float, by: Tensor = gain * correction
        ) -> Tensor:
            return estimate + by

        rows = euler_step(rows, predicted.detach(), plan, step, model.params.target, corrected)
    return rows
