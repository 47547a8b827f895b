# SPDX-License-Identifier: Apache-2.0
"""Keys and values that lanes leave for each other within one chunk."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from wam_ros.models.attention import KeysValues
from wam_ros.models.params import FastWamParams

Role = Literal["first", "future", "video", "action"]
"""Whose tokens: the first frame, the later frames, both in one, or the rows."""


READS: dict[Role, tuple[Role, ...]] = {
    "first": (),
    "future": ("first",),
    "video": (),
    "action": ("first", "future", "video"),
}
"""Whose keys and values a lane may read beside its own, where they have been left."""


class SharedMemory(Protocol):
    """Keys and values of the tokens that later lanes may read."""

    def extend(self, layer: int, role: Role, keys: Tensor, values: Tensor) -> KeysValues:
        """Keep a lane's keys and values (B, N, heads, head_dim); return them after those it may read."""
        ...


class GrowingMemory:
    """Keeps what lanes leave as it is, and concatenates it for every reader."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Role, int], KeysValues] = {}

    def extend(self, layer: int, role: Role, keys: Tensor, values: Tensor) -> KeysValues:
        """See :class:`SharedMemory`."""
        self._kept[role, layer] = keys, values
        read = [self._kept[other, layer] for other in READS[role] if (other, layer) in self._kept]
        all_keys, all_values = zip(*read, (keys, values), strict=True)
        return torch.cat(all_keys, dim=1), torch.cat(all_values, dim=1)


class StaticMemory:
    """One buffer for all lanes, [first frame | later frames | rows]; a reader gets a slice of it."""

    def __init__(self, params: FastWamParams, batch: int, *, with_future: bool, like: Tensor) -> None:
        p, first = params.video, params.first_tokens
        middle = first + (params.future_tokens if with_future else 0)
        spans: dict[Role, tuple[int, int]] = {
            "first": (0, first),
            "future": (first, middle),
            "video": (0, middle),
            "action": (middle, middle + params.horizon),
        }
        whole = like.new_zeros(p.layers, 2, batch, middle + params.horizon, p.heads, p.head_dim)
        layers = [layer.unbind(0) for layer in whole.unbind(0)]
        self._own = {role: [(k[:, a:b], v[:, a:b]) for k, v in layers] for role, (a, b) in spans.items()}
        self._seen = {role: [(k[:, :b], v[:, :b]) for k, v in layers] for role, (_, b) in spans.items()}

    def extend(self, layer: int, role: Role, keys: Tensor, values: Tensor) -> KeysValues:
        """See :class:`SharedMemory`."""
        own_keys, own_values = self._own[role][layer]
        own_keys.copy_(keys)
        own_values.copy_(values)
        return self._seen[role][layer]
