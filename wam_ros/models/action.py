# SPDX-License-Identifier: Apache-2.0
"""The action expert: noisy rows of a chunk in, predicted rows out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wam_ros.models.block import Expert
from wam_ros.models.params import DiTParams
from wam_ros.models.rope import Rotation, row_rotation


class ActionExpert(Expert):
    """Rows (B, K, A) to tokens (B, K, D) and back.

    The head is a plain matrix, without normalisation or modulation (released code; the paper is silent).
    Nothing in the expert needs the rows to share one flow time, so a committed prefix may stay clean.
    """

    def __init__(self, params: DiTParams, action_dim: int) -> None:
        super().__init__(params)
        self.action_encoder = nn.Linear(action_dim, params.hidden)
        self.head = nn.Linear(params.hidden, action_dim)

    def embed(self, actions: Tensor) -> Tensor:
        """Return tokens (B, K, D) of rows (B, K, A)."""
        return self.action_encoder(actions.to(self.dtype))

    def unembed(self, x: Tensor) -> Tensor:
        """Return predicted rows (B, K, A) of tokens (B, K, D)."""
        return self.head(x)

    def rotation(self, rows: int) -> Rotation:
        """Return the rotation of rows 0..K-1."""
        return row_rotation(torch.arange(rows, device=self.head.weight.device), self.params.head_dim)
