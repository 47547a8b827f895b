# SPDX-License-Identifier: Apache-2.0
"""Mixture of transformers: experts of different width share one attention in every layer.

``joint`` is the definition: one sequence of all tokens under a mask. ``flow`` is the same mathematics for one
group after another: because no group is read by those it reads, each can run alone through all layers when
the keys and values of the groups it reads are at hand. Training and inference use ``flow``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_ros.models.action import ActionExpert
from wam_ros.models.attention import KeysValues, attend
from wam_ros.models.block import Expert, FlowTime
from wam_ros.models.params import FastWamParams
from wam_ros.models.rope import Rotation
from wam_ros.models.video import VideoExpert

Memory = list[KeysValues]
"""Keys and values of some tokens in every layer, each (B, N, heads, head_dim)."""


class Stream(NamedTuple):
    """Tokens on their way through an expert.

    Attributes:
        x: (B, N, D).
        time: embedded flow time of the tokens.
        rotation: their places.
        context: (B, L, D) text and state in the expert's width.
    """

    expert: Expert
    x: Tensor
    time: FlowTime
    rotation: Rotation
    context: Tensor


class MoT(nn.Module):
    """The two experts under their released names ``mixtures.video`` and ``mixtures.action``."""

    def __init__(self, params: FastWamParams) -> None:
        super().__init__()
        self.mixtures = nn.ModuleDict(
            {
                "video": VideoExpert(params.video, params.latent),
                "action": ActionExpert(params.action, params.action_dim),
            }
        )


def joint(streams: Sequence[Stream], mask: Tensor) -> list[Tensor]:
    """Run all streams as one masked sequence.

    Args:
        streams: in the order of the mask.
        mask: (N, N) or (B, 1, N, N) over the tokens of all streams.

    Returns:
        The tokens (B, N, D) of each stream after the last layer.
    """
    xs = [s.x for s in streams]
    sizes = [x.shape[1] for x in xs]
    for blocks in zip(*(s.expert.layers for s in streams), strict=True):
        modulations = [b.modulate(s.time) for b, s in zip(blocks, streams, strict=True)]
        parts = [b.project(x, m, s.rotation) for b, x, m, s in zip(blocks, xs, modulations, streams, strict=True)]
        queries, keys, values = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        attended = attend(queries, keys, values, mask).split(sizes, dim=1)
        xs = [
            b.finish(x, a, m, b.cross_attn.keys_values(s.context))
            for b, x, a, m, s in zip(blocks, xs, attended, modulations, streams, strict=True)
        ]
    return xs


def flow(stream: Stream, memory: Memory | None = None, mask: Tensor | None = None) -> tuple[Tensor, Memory]:
    """Run one stream that sees itself and a memory.

    Args:
        stream: the tokens.
        memory: keys and values of the tokens it may read, in every layer.
        mask: over [memory ; own] keys, where not all may be seen.

    Returns:
        The tokens (B, N, D) after the last layer, and their own keys and values in every layer.
    """
    x, own = stream.x, []
    for layer, block in enumerate(stream.expert.layers):
        modulation = block.modulate(stream.time)
        queries, keys, values = block.project(x, modulation, stream.rotation)
        own.append((keys, values))
        if memory is not None:
            keys, values = (torch.cat((m, o), dim=1) for m, o in zip(memory[layer], (keys, values), strict=True))
        attended = attend(queries, keys, values, mask)
        x = block.finish(x, attended, modulation, block.cross_attn.keys_values(stream.context))
    return x, own


def after(memory: Memory, more: Memory) -> Memory:
    """Return the memory of both token groups, in this order."""
    return [
        (torch.cat((k, k2), dim=1), torch.cat((v, v2), dim=1)) for (k, v), (k2, v2) in zip(memory, more, strict=True)
    ]
