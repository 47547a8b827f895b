# SPDX-License-Identifier: Apache-2.0
"""Attention of the Wan family: q and k are RMS-normalised over their whole width, not per head."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from wam_ros.models.rope import Rotation, rotate

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of some tokens, each (B, N, heads, head_dim)."""


class Attention(nn.Module):
    """Projections of one attention layer; parameters are named as in the released weights.

    The inner width may differ from the width of the tokens: the action expert's 1024 go to the common
    3072 and back, which is how two experts of different width share one attention.
    """

    def __init__(self, hidden: int, inner: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads, self.eps = heads, eps
        self.q, self.k, self.v = (nn.Linear(hidden, inner) for _ in range(3))
        self.o = nn.Linear(inner, hidden)
        self.norm_q, self.norm_k = (nn.RMSNorm(inner, eps=eps) for _ in range(2))

    def queries(self, x: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Return queries (B, N, heads, head_dim) of tokens (B, N, D)."""
        return self._placed(self.norm_q(self.q(x)), rotation)

    def keys_values(self, x: Tensor, rotation: Rotation | None = None) -> KeysValues:
        """Return keys and values, each (B, N, heads, head_dim), of tokens (B, N, D)."""
        return self._placed(self.norm_k(self.k(x)), rotation), self._placed(self.v(x), None)

    def _placed(self, x: Tensor, rotation: Rotation | None) -> Tensor:
        heads = x.unflatten(-1, (self.heads, -1))
        return heads if rotation is None else rotate(heads, rotation)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return softmax attention with the heads side by side, (B, N, heads * head_dim).

    Args:
        queries: (B, N, heads, head_dim).
        keys, values: (B, M, heads, head_dim).
        mask: (N, M) or (B, 1, N, M), True where a query may see a key; None when it may see all.
    """
    q, k, v = (x.transpose(1, 2) for x in (queries, keys, values))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
