# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking inside the sampler: pull the rows of a new chunk towards the committed ones.

Both kinds correct the clean estimate of each step (see ``schedule.Guide``) and need no gradient:

* inpainting: ``lerp(clean, committed, weight)``; a row of weight 1 arrives exactly at its committed value;
* guidance with an identity Jacobian: ``clean + sigma * g * weight * (committed - clean)``, where g is
  ``core.guidance.guidance_weight``. The published method differentiates through the network for the
  Jacobian; leaving that out costs some precision and keeps the loop replayable as a CUDA graph.

Source: real-time chunking, arXiv 2506.07339.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wam_ros.core.guidance import guidance_weight


class PrefixGuide:
    """A guide whose committed rows are written in place, so that a captured graph reads the newest."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        largest: float | None = None,
        prior_deviation: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Make a guide that changes nothing until ``commit``.

        Args:
            shape: (B, K, A).
            largest: beta of the guidance; None for inpainting.
            prior_deviation: spread of actions given the observation, see ``guidance_weight``.
            device: of the sampler.
        """
        self._rows = torch.zeros(shape, device=device)
        self._weight = torch.zeros(shape[0], shape[1], 1, device=device)
        self._largest = largest
        self._prior_deviation = prior_deviation

    def commit(self, rows: Tensor, weight: Tensor) -> None:
        """Set the committed rows.

        Args:
            rows: (B, K, A) normalised; rows of weight 0 are not read.
            weight: (B, K) or (K,) in 0..1, e.g. ``core.guidance.prefix_weights``.
        """
        self._weight.copy_(weight.reshape(-1, weight.shape[-1], 1).expand_as(self._weight))
        self._rows.copy_(rows)

    def release(self) -> None:
        """Forget the committed rows."""
        self._weight.zero_()

    def __call__(self, step: int, x: Tensor, clean: Tensor, sigma: float) -> Tensor:
        """Return the corrected clean estimate (B, K, A); see ``schedule.Guide``."""
        if self._largest is None:
            return torch.lerp(clean, self._rows, self._weight)
        gain = sigma * guidance_weight(1 - sigma, self._largest, self._prior_deviation)
        return clean + gain * self._weight * (self._rows - clean)
