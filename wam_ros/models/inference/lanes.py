# SPDX-License-Identifier: Apache-2.0
"""A lane runs one group of tokens through its expert, reading what earlier lanes left in the shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from wam_ros.models.attention import KeysValues, attend
from wam_ros.models.block import Block, Modulation
from wam_ros.models.inference import fused
from wam_ros.models.inference.memory import Role, SharedMemory
from wam_ros.models.inference.sources import TextSource, TimeSource
from wam_ros.models.rope import Rotation

Placing = Rotation | Tensor


class Layers(Protocol):
    """The blocks of an expert, in some form."""

    dtype: torch.dtype
    """Type of the residual stream."""

    def placing(self, rotation: Rotation) -> Placing:
        """Return a rotation in the form that ``project`` wants."""
        ...

    def project(self, layer: int, x: Tensor, modulation: Modulation, placing: Placing) -> tuple[Tensor, ...]:
        """Return queries, keys, values; see ``Block.project``."""
        ...

    def finish(self, layer: int, x: Tensor, attended: Tensor, modulation: Modulation, text: KeysValues) -> Tensor:
        """Return the tokens after attention; see ``Block.finish``."""
        ...


class PlainLayers:
    """The blocks themselves."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self.dtype = blocks[0].modulation.dtype

    def placing(self, rotation: Rotation) -> Placing:
        """See :class:`Layers`."""
        return rotation

    def project(self, layer: int, x: Tensor, modulation: Modulation, placing: Placing) -> tuple[Tensor, ...]:
        """See :class:`Layers`."""
        return self._blocks[layer].project(x, modulation, placing)  # type: ignore[arg-type]

    def finish(self, layer: int, x: Tensor, attended: Tensor, modulation: Modulation, text: KeysValues) -> Tensor:
        """See :class:`Layers`."""
        return self._blocks[layer].finish(x, attended, modulation, text)


class FusedLayers:
    """The same in fewer operations, compiled if wanted; the residual stream is float32."""

    dtype = torch.float32

    def __init__(self, blocks: Sequence[Block], *, fp8: bool = False, compiled: bool = False) -> None:
        self._layers = [fused.fuse(block, fp8=fp8) for block in blocks]
        self._sizes = blocks[0].self_attn.heads, blocks[0].self_attn.eps
        # Complex products are the fastest turn on a CPU; a compiler wants to see real numbers.
        self._as_complex = not compiled and self._layers[0].norm_qk.device.type == "cpu"
        self._project, self._finish = fused.project, fused.finish
        if compiled:
            self._project = torch.compile(fused.project, dynamic=False)
            self._finish = torch.compile(fused.finish, dynamic=False)

    def placing(self, rotation: Rotation) -> Placing:
        """See :class:`Layers`."""
        return torch.complex(*rotation)[:, None] if self._as_complex else rotation

    def project(self, layer: int, x: Tensor, modulation: Modulation, placing: Placing) -> tuple[Tensor, ...]:
        """See :class:`Layers`."""
        return self._project(self._layers[layer], x, modulation, placing, *self._sizes)

    def finish(self, layer: int, x: Tensor, attended: Tensor, modulation: Modulation, text: KeysValues) -> Tensor:
        """See :class:`Layers`."""
        return self._finish(self._layers[layer], x, attended, modulation, text, *self._sizes)


@dataclass(frozen=True)
class Kit:
    """What all lanes of one expert share."""

    layers: Layers
    time: TimeSource
    text: TextSource
    memory: SharedMemory
    cut_last_block: bool


@dataclass(frozen=True)
class Lane:
    """The way of one group of tokens.

    Attributes:
        kit: of their expert.
        role: whose tokens.
        placing: their places, from ``kit.layers.placing``.
        mask: over the keys they are given, where not all may be seen.
    """

    kit: Kit
    role: Role
    placing: Placing
    mask: Tensor | None

    def run(
        self, x: Tensor, t: float, clean: Tensor | None = None, *, keys_only: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Run tokens through all layers, leaving their keys and values in the memory.

        Args:
            x: (B, N, D).
            t: flow time in 0..1000.
            clean: (B, N, 1) bool, tokens at flow time 0 instead.
            keys_only: the result is not wanted, so the last block may be cut.

        Returns:
            The tokens after the last layer and their embedded flow time (B, M, D), for the output head.
        """
        layers = self.kit.layers
        time, modulations = self.kit.time.at(t, clean)
        text = self.kit.text.layers()
        last = len(modulations) - 1 if keys_only and self.kit.cut_last_block else -1
        x = x.to(layers.dtype)
        for layer, modulation in enumerate(modulations):
            queries, own_keys, own_values = layers.project(layer, x, modulation, self.placing)
            keys, values = self.kit.memory.extend(layer, self.role, own_keys, own_values)
            if layer == last:
                break
            x = layers.finish(layer, x, attend(queries, keys, values, self.mask), modulation, text[layer])
        return x, time
