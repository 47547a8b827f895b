# SPDX-License-Identifier: Apache-2.0
"""The network of X-WAM as fast as the chosen shortcuts allow: the same predictions as the model's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wam_ros.core.errors import ConfigError
from wam_ros.models.attention import KeysValues, attend
from wam_ros.models.block import Block, Modulation
from wam_ros.models.inference.lanes import FusedLayers, Layers, PlainLayers
from wam_ros.models.xwam.model import Noisy, Observed, Predicted, XWam
from wam_ros.models.xwam.sampling import Plan, Progress, Samples, Wanted, denoise
from wam_ros.models.xwam.shortcuts import Shortcuts

Encode = Callable[[Tensor], Tensor]
"""Clips (B, V, 3, F, H, W) in -1..1 to normalised latents (B, C, T, V, h, w)."""


class _Times:
    """Flow times of one call: the modulation of each layer, and the vector for output heads."""

    def __init__(self, model: XWam, video_time: float, action_time: float, places: Tensor, *, once: bool) -> None:
        three = torch.tensor([0.0, video_time, action_time], device=model.device)
        # Either three rows that are then picked for each token, or one row for each token.
        self._places = places if once else None
        self._time = model.time(three[None] if once else three[places][None])
        self.vector = self._time.vector[0][places][None] if once else self._time.vector

    def modulation(self, block: Block, count: int, dtype: torch.dtype) -> Modulation:
        """Return a block's modulation of the first ``count`` tokens, each (count, D)."""
        if self._places is None:
            of_tokens = block.modulate(self._time)
            return Modulation(*(part[0, :count].to(dtype) for part in of_tokens))
        three = torch.cat(tuple(block.modulate(self._time)), dim=-1)[0].to(dtype)
        return Modulation(*F.embedding(self._places[:count], three).chunk(6, dim=-1))


class Engine:
    """A network that was shown an observation and told an instruction. Not thread-safe.

    The model's weights must not change afterwards; their device and type are the engine's.
    """

    def __init__(self, model: XWam, encode: Encode, shortcuts: Shortcuts | None = None, frames: int = 1) -> None:
        """Prepare an engine.

        Args:
            model: with its weights loaded, on its device.
            encode: the codec's ``encode_clip``.
            shortcuts: all exact ones by default.
            frames: pictures of a clip, which the released procedure encodes to use the first latent.
        """
        self.model, self.shortcuts = model, shortcuts or Shortcuts()
        self._encode, self._frames = encode, frames
        with torch.no_grad():
            self._main, self._depth = self._layers(model.layers), self._layers(model.depth_blocks)
            rotation, p = model.placing(), model.sizes
            self._placing = self._main.placing(rotation)
            self._depth_placing = self._main.placing((rotation[0][: p.video_tokens], rotation[1][: p.video_tokens]))
            times = model.token_times(*(torch.full((1,), t, device=model.device) for t in (1.0, 2.0)))
        self._places = times[0].long()
        self._text: list[KeysValues] | None = None
        self._asked: Tensor | None = None

    def _layers(self, blocks: Sequence[Block]) -> Layers:
        s = self.shortcuts
        return FusedLayers(blocks, fp8=s.fp8, compiled=s.compiled) if s.fused_blocks else PlainLayers(blocks)

    @torch.no_grad()
    def ask(self, text: Tensor) -> None:
        """Set the instruction: text embeddings (B or 1, L, text_dim)."""
        self._asked = text
        self._text = self._read() if self.shortcuts.text_once else None

    def _read(self) -> list[KeysValues]:
        """Return the text's keys and values in all layers, then in those of the depth branch."""
        if self._asked is None:
            raise ConfigError("engine: expected an instruction, got none; call ask before act")
        context = self.model.text(self._asked)
        return [b.cross_attn.keys_values(context) for b in (*self.model.layers, *self.model.depth_blocks)]

    @torch.no_grad()
    def look(self, pictures: Tensor, state: Tensor) -> None:
        """Take in an observation.

        Args:
            pictures: (B, V, 3, H, W) in -1..1.
            state: (B, P) normalised.
        """
        if self._asked is None:
            raise ConfigError("engine: expected an instruction, got none; call ask before look")
        count = 1 if self.shortcuts.one_frame else self._frames
        latent = self._encode(pictures[:, :, :, None].expand(-1, -1, -1, count, -1, -1))[:, :, :1]
        self._observed = Observed(latent.float(), pictures, self._asked, state)
        self._first = self.model.embed_observed(self._observed) if self.shortcuts.observed_once else None

    @property
    def latent(self) -> Tensor:
        """Latent (B, C, 1, V, h, w) of the observed views."""
        return self._observed.latent

    def run(self, noise: Samples, plan: Plan) -> Iterator[Progress]:
        """Denoise what was looked at; see ``sampling.denoise``."""
        if not self.shortcuts.late_depth and plan.depth == "last":
            plan = dataclasses.replace(plan, depth="always")
        return denoise(self, self.model.sizes, noise, plan)

    def predict(self, samples: Samples, video_time: float, action_time: float, wanted: Wanted) -> Predicted:
        """See :class:`wam_ros.models.xwam.sampling.Network`."""
        model, p = self.model, self.model.sizes
        nothing = samples.actions[:, 0, 0]
        observed = self._first or model.embed_observed(self._observed)
        x = model.embed(observed, Noisy(samples.video, nothing, samples.actions, nothing, samples.states))
        times = _Times(model, video_time, action_time, self._places, once=self.shortcuts.times_once)
        kept = self._kept(wanted)
        main, depth = self._flow(x, times, wanted.depth, kept)
        whole = x.new_zeros(len(x), p.tokens, main.shape[2]) if main.shape[1] < p.tokens else None
        if whole is not None:
            whole[:, kept] = main
            main = whole
        return self._predicted(main, depth, times, wanted)

    def _kept(self, wanted: Wanted) -> slice:
        """Return the tokens whose prediction anybody will look at."""
        p = self.model.sizes
        if not self.shortcuts.cut_last_block:
            return slice(0, p.tokens)
        return slice(
            p.tokens_per_frame if wanted.video else p.video_tokens, p.tokens if wanted.rows else p.video_tokens
        )

    def _flow(self, x: Tensor, times: _Times, with_depth: bool, kept: slice) -> tuple[Tensor, Tensor | None]:
        model, p = self.model, self.model.sizes
        text = self._text or self._read()
        last, fork = len(model.layers) - 1, len(model.layers) - p.depth_layers
        x, seen = x.to(self._main.dtype), None
        for layer, block in enumerate(model.layers):
            if with_depth and layer == fork:
                seen = x[:, : p.video_tokens]
            modulation = times.modulation(block, p.tokens, self._main.dtype)
            queries, keys, values = self._main.project(layer, x, modulation, self._placing)
            if layer == last:
                x, queries = x[:, kept], queries[:, kept]
                modulation = Modulation(*(part[kept] for part in modulation))
            x = self._main.finish(layer, x, attend(queries, keys, values), modulation, text[layer])
            if seen is not None:
                seen = self._listen(layer - fork, seen, times, (keys, values), text[last + 1 + layer - fork])
        return x, seen

    def _listen(self, layer: int, x: Tensor, times: _Times, main: KeysValues, text: KeysValues) -> Tensor:
        modulation = times.modulation(self.model.depth_blocks[layer], x.shape[1], self._depth.dtype)
        queries, *own = self._depth.project(layer, x, modulation, self._depth_placing)
        keys, values = (torch.cat(pair, dim=1) for pair in zip(own, main, strict=True))
        return self._depth.finish(layer, x, attend(queries, keys, values), modulation, text)

    def _predicted(self, main: Tensor, depth: Tensor | None, times: _Times, wanted: Wanted) -> Predicted:
        """Bring the wanted tokens through their output layers; what is not wanted comes out as it is."""
        model, p = self.model, self.model.sizes
        n, m, vector = p.tokens_per_frame, p.video_tokens, times.vector
        main = main.to(model.dtype)
        empty = main.new_zeros(0)
        return Predicted(
            model.frames(model.head(main[:, n:m], vector[:, n:m])) if wanted.video else empty,
            model.action_decoder(main[:, m : m + p.horizon]) if wanted.rows else empty,
            model.proprio_decoder(main[:, m + p.horizon + 1 :]) if wanted.rows else empty,
            None if depth is None else model.depth_latent(depth.to(model.dtype), vector),
        )
