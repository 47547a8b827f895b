# SPDX-License-Identifier: Apache-2.0
"""The DiT block of the Wan family, cut where two experts meet, and the expert that stacks blocks.

A block is modulated self-attention, cross-attention to the text, and a modulated feed-forward layer. It is
cut into ``project`` (up to queries, keys, values) and ``finish`` (all that follows attention), so that
whoever runs it decides which tokens meet: a lone stream, two experts in one sequence, or a cache.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_ros.models.attention import Attention, KeysValues, attend
from wam_ros.models.params import DiTParams
from wam_ros.models.rope import Rotation


class Modulation(NamedTuple):
    """What the flow time does to a block; each (B, M, D), M = 1 for all tokens alike or one per token.

    The scales already hold their "one plus".
    """

    shift_attention: Tensor
    scale_attention: Tensor
    gate_attention: Tensor
    shift_ffn: Tensor
    scale_ffn: Tensor
    gate_ffn: Tensor


class FlowTime(NamedTuple):
    """Embedded flow time: ``vector`` (B, M, D) for the output head, ``six`` (B, M, 6, D) for the blocks."""

    vector: Tensor
    six: Tensor


class Block(nn.Module):
    """One layer of one expert. Parameter names are the released ones (``norm3`` is the affine one before the text)."""

    def __init__(self, params: DiTParams) -> None:
        super().__init__()
        hidden, eps = params.hidden, params.eps
        self.self_attn = Attention(hidden, params.inner, params.heads, eps)
        self.cross_attn = Attention(hidden, params.inner, params.heads, eps)
        self.norm1 = nn.LayerNorm(hidden, eps=eps, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(hidden, eps=eps, elementwise_affine=False)
        self.norm3 = nn.LayerNorm(hidden, eps=eps)
        self.ffn = nn.Sequential(
            nn.Linear(hidden, params.ffn), nn.GELU(approximate="tanh"), nn.Linear(params.ffn, hidden)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, hidden) / math.sqrt(hidden))

    def modulate(self, time: FlowTime) -> Modulation:
        """Return this layer's modulation: its own table plus the six vectors of the flow time."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (self.modulation[:, None] + time.six).unbind(2)
        return Modulation(shift_a, 1 + scale_a, gate_a, shift_f, 1 + scale_f, gate_f)

    def project(self, x: Tensor, modulation: Modulation, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys, values, each (B, N, heads, head_dim), of tokens (B, N, D)."""
        x = self.norm1(x) * modulation.scale_attention + modulation.shift_attention
        return self.self_attn.queries(x, rotation), *self.self_attn.keys_values(x, rotation)

    def finish(self, x: Tensor, attended: Tensor, modulation: Modulation, text: KeysValues) -> Tensor:
        """Return the tokens (B, N, D) after attention, text and feed-forward.

        Args:
            x: (B, N, D) as given to ``project``.
            attended: (B, N, inner).
            text: keys and values of the context, from ``cross_attn.keys_values``.
        """
        x = x + self.self_attn.o(attended) * modulation.gate_attention
        x = x + self.cross_attn.o(attend(self.cross_attn.queries(self.norm3(x)), *text))
        fed = self.ffn(self.norm2(x) * modulation.scale_ffn + modulation.shift_ffn)
        return x + fed * modulation.gate_ffn

    def forward(self, x: Tensor, time: FlowTime, rotation: Rotation, context: Tensor) -> Tensor:
        """Return the tokens (B, N, D) of a lone stream that sees itself and a context (B, L, D)."""
        modulation = self.modulate(time)
        attended = attend(*self.project(x, modulation, rotation))
        return self.finish(x, attended, modulation, self.cross_attn.keys_values(context))


class Expert(nn.Module):
    """Text, time and blocks of one transformer; the video and the action expert add what enters and leaves."""

    def __init__(self, params: DiTParams) -> None:
        super().__init__()
        self.params = params
        hidden = params.hidden
        self.text_embedding = nn.Sequential(
            nn.Linear(params.text_dim, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, hidden)
        )
        self.time_embedding = nn.Sequential(nn.Linear(params.freq_dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))
        self.blocks = nn.ModuleList(Block(params) for _ in range(params.layers))

    @property
    def layers(self) -> list[Block]:
        """The blocks in order."""
        return list(self.blocks)  # type: ignore[arg-type]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.blocks[0].modulation.dtype  # type: ignore[return-value, union-attr]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.blocks[0].modulation.device  # type: ignore[return-value, union-attr]

    def text(self, context: Tensor) -> Tensor:
        """Return the context (B, L, text_dim) in this expert's width, (B, L, D)."""
        return self.text_embedding(context.to(self.dtype))

    def time(self, t: Tensor) -> FlowTime:
        """Return the embedded flow time.

        Args:
            t: (B,) or (B, N) in 0..1000, 0 is clean.
        """
        t = t[:, None] if t.dim() == 1 else t
        vector = self.time_embedding(sinusoid(t, self.params.freq_dim).to(self.dtype))
        return FlowTime(vector, self.time_projection(vector).unflatten(-1, (6, -1)))


def sinusoid(t: Tensor, width: int) -> Tensor:
    """Return cosines then sines of t (...) at width / 2 frequencies, (..., width) float64 as upstream."""
    half = width // 2
    frequency = torch.pow(10000.0, -torch.arange(half, dtype=torch.float64, device=t.device) / half)
    turned = t.to(torch.float64)[..., None] * frequency
    return torch.cat((turned.cos(), turned.sin()), dim=-1)
