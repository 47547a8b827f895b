# SPDX-License-Identifier: Apache-2.0
"""Where a lane gets the modulation of the flow time and the keys and values of the text: anew, or kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from wam_ros.models.block import Expert, Modulation
from wam_ros.models.inference.fused import linear, merged
from wam_ros.models.mot import Memory


class TimeSource(Protocol):
    """Modulation of every layer at a flow time."""

    def at(self, t: float, clean: Tensor | None = None) -> tuple[Tensor, list[Modulation]]:
        """Return the embedded time (B, M, D) for the output head, and the modulation of each layer.

        Args:
            t: flow time in 0..1000.
            clean: (B, N, 1) bool, tokens that stand at flow time 0 instead.
        """
        ...


class LiveTime:
    """Computes the modulation whenever it is asked."""

    def __init__(self, expert: Expert) -> None:
        self._expert = expert

    def at(self, t: float, clean: Tensor | None = None) -> tuple[Tensor, list[Modulation]]:
        """See :class:`TimeSource`."""
        times = torch.full((1,), t, device=self._expert.device)
        if clean is not None:
            times = times.expand(clean.shape[:2]).masked_fill(clean[..., 0], 0.0)
        time = self._expert.time(times)
        return time.vector, [block.modulate(time) for block in self._expert.layers]


class TabulatedTime:
    """Looks the modulation up: the flow times of a sampler are known when it is built."""

    def __init__(self, expert: Expert, times: Sequence[float], dtype: torch.dtype) -> None:
        live = LiveTime(expert)
        self._vectors: dict[float, Tensor] = {}
        self._layers: dict[float, Tensor] = {}
        self._alike: dict[float, list[Modulation]] = {}
        for t in {0.0, *times}:
            self._vectors[t], layers = live.at(t)
            # (layers, 6, D): the same for all samples and tokens.
            self._layers[t] = torch.stack([torch.stack(layer)[:, 0, 0] for layer in layers]).to(dtype)
            self._alike[t] = [Modulation(*layer.unbind(0)) for layer in self._layers[t].unbind(0)]

    def at(self, t: float, clean: Tensor | None = None) -> tuple[Tensor, list[Modulation]]:
        """See :class:`TimeSource`; without ``clean`` the modulations are vectors (D,)."""
        if clean is None:
            return self._vectors[t], self._alike[t]
        # One selection for all layers, not one for each.
        at_0, at_t = (self._layers[time][:, :, None, None] for time in (0.0, t))
        layers = [Modulation(*layer.unbind(0)) for layer in torch.where(clean, at_0, at_t).unbind(0)]
        return torch.where(clean, self._vectors[0.0], self._vectors[t]), layers


class TextSource(Protocol):
    """Keys and values of text and state in every layer of one expert."""

    def ask(self, text: Tensor) -> None:
        """Set the text (B, L, text_dim); once per prompt."""
        ...

    def tell(self, token: Tensor) -> None:
        """Set the state token (B, 1, text_dim); once per chunk."""
        ...

    def layers(self) -> Memory:
        """Return keys and values (B, L + 1, heads, head_dim) of each layer; once per pass."""
        ...


class LiveText:
    """Projects the whole context in every pass, as the released code does."""

    def __init__(self, expert: Expert) -> None:
        self._expert = expert

    def ask(self, text: Tensor) -> None:
        """See :class:`TextSource`."""
        self._text = text.clone()

    def tell(self, token: Tensor) -> None:
        """See :class:`TextSource`."""
        self._context = torch.cat((self._text, token), dim=1)

    def layers(self) -> Memory:
        """See :class:`TextSource`."""
        context = self._expert.text(self._context)
        return [block.cross_attn.keys_values(context) for block in self._expert.layers]


class CachedText:
    """Keeps the text's keys and values; all layers of the state token are one matrix product."""

    def __init__(self, expert: Expert) -> None:
        text = [block.cross_attn for block in expert.layers]
        self._expert = expert
        self._keys, self._values = merged([t.k for t in text]), merged([t.v for t in text])
        self._norm = torch.stack([t.norm_k.weight for t in text])

    def _all_layers(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of all layers, each (B, L, layers, heads, head_dim)."""
        p, x = self._expert.params, self._expert.text(context)
        keys, values = (linear(x, m).unflatten(-1, (p.layers, p.inner)) for m in (self._keys, self._values))
        keys = F.rms_norm(keys, (p.inner,), eps=p.eps) * self._norm
        return keys.unflatten(-1, (p.heads, -1)), values.unflatten(-1, (p.heads, -1))

    def ask(self, text: Tensor) -> None:
        """See :class:`TextSource`."""
        self._text = self._all_layers(text)

    def tell(self, token: Tensor) -> None:
        """See :class:`TextSource`."""
        keys, values = (torch.cat(pair, dim=1) for pair in zip(self._text, self._all_layers(token), strict=True))
        self._layers = list(zip(keys.unbind(2), values.unbind(2), strict=True))

    def layers(self) -> Memory:
        """See :class:`TextSource`."""
        return self._layers
