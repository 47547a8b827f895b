# SPDX-License-Identifier: Apache-2.0
"""The engine: a picture and a state in, a chunk out, as fast as the chosen shortcuts allow."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.models.block import Expert
from wam_ros.models.fastwam import FastWam
from wam_ros.models.inference.graphs import Replay
from wam_ros.models.inference.lanes import FusedLayers, Kit, Lane, PlainLayers
from wam_ros.models.inference.memory import GrowingMemory, Role, SharedMemory, StaticMemory
from wam_ros.models.inference.shortcuts import Shortcuts
from wam_ros.models.inference.sources import CachedText, LiveText, LiveTime, TabulatedTime
from wam_ros.models.masks import Group, Procedure, attention_mask, table
from wam_ros.models.rope import Rotation
from wam_ros.models.sampling import Prefix, Sampled, schedules
from wam_ros.models.schedule import Guide, Schedule, euler_step

_Span = tuple[Group, int]

Encode = Callable[[Tensor], Tensor]
"""Picture (B, 3, H, W) in -1..1 to a normalised latent (B, C, 1, h, w)."""


class Engine:
    """Makes chunks; everything that does not change from chunk to chunk is done when it is built.

    The model's weights must not change afterwards; their device and type are the engine's. Use ``ask`` once
    per instruction and ``act`` for each observation. Not thread-safe.
    """

    def __init__(
        self,
        model: FastWam,
        encode: Encode,
        *,
        shortcuts: Shortcuts | None = None,
        procedure: Procedure | None = None,
        guide: Guide | None = None,
        batch: int = 1,
        with_prefix: bool = False,
    ) -> None:
        """Prepare an engine.

        Args:
            model: with its weights loaded, on its device.
            encode: the latent codec's ``encode``.
            shortcuts: all that the device offers, by default.
            procedure: the variant's own by default; ``optional_idm`` may choose ``main`` instead of ``idm``.
            guide: corrects every clean estimate of the rows; becomes part of the graph.
            batch: B, samples of one call.
            with_prefix: ``act`` will be given rows that stand at flow time 0.

        Raises:
            ConfigError: shortcuts that exclude each other or that the device lacks.
        """
        self.model, self.kind = model, procedure or model.procedure
        self.shortcuts = shortcuts or Shortcuts.for_device(self._device)
        self.shortcuts.check(self._device)
        self._encode, self._guide, self._with_prefix = encode, guide, with_prefix
        self._plan = schedules(model)
        self._inputs(batch)
        with torch.no_grad():
            self._lanes(batch)
        self._asked = self._ready = False

    @property
    def _device(self) -> torch.device:
        return self.model.proprio_encoder.weight.device

    def _inputs(self, batch: int) -> None:
        """Make the tensors that every call writes to and every graph reads from."""
        p, latent = self.model.params, self.model.params.latent

        def make(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(batch, *shape, dtype=dtype, device=self._device)

        self._picture = make(3, latent.picture_height, latent.picture_width)
        self._proprio = make(p.proprio_dim)
        self._noise = make(p.horizon, p.action_dim)
        self._frames_noise = make(latent.channels, latent.frames - 1, latent.height, latent.width)
        self._given = make(p.horizon, p.action_dim)
        self._clean_rows = make(p.horizon, 1, dtype=torch.bool)
        clean = torch.arange(p.first_tokens + p.future_tokens, device=self._device) < p.first_tokens
        self._clean_first = clean[None, :, None].expand(batch, -1, -1)

    def _lanes(self, batch: int) -> None:
        p, video, action, with_future = self.model.params, self.model.video, self.model.action, self.kind != "main"
        memory: SharedMemory = GrowingMemory()
        if self.shortcuts.static_memory:
            like = self.model.proprio_encoder.weight
            memory = StaticMemory(p, batch, with_future=with_future, like=like)
        v = self._kit(video, memory, self._plan.video if with_future else None)
        a = self._kit(action, memory, self._plan.action)
        n: _Span = ("first", p.first_tokens)
        m: _Span = ("future", p.future_tokens)
        k: _Span = ("action", p.horizon)
        frames = p.latent.frames
        self._first = self._lane(v, "first", [n], [n], video.rotation(0, 1))
        self._future = self._lane(v, "future", [m], [n, m], video.rotation(1, frames - 1))
        self._video = self._lane(v, "video", [n, m], [n, m], video.rotation(0, frames))
        seen = [n, m, k] if with_future else [n, k]
        self._action = self._lane(a, "action", [k], seen, action.rotation(p.horizon))
        self._text = v.text, a.text

    def _kit(self, expert: Expert, memory: SharedMemory, schedule: Schedule | None) -> Kit:
        s = self.shortcuts
        blocks = expert.layers
        fused = s.fused_blocks
        layers = FusedLayers(blocks, fp8=s.fp8, compiled=s.compiled) if fused else PlainLayers(blocks)
        times = schedule.times if schedule else ()
        time = TabulatedTime(expert, times, layers.dtype) if s.modulation_once else LiveTime(expert)
        text = CachedText(expert) if s.text_once else LiveText(expert)
        return Kit(layers, time, text, memory, s.cut_last_block)

    def _lane(self, kit: Kit, role: Role, own: list[_Span], seen: list[_Span], rotation: Rotation) -> Lane:
        mask = attention_mask(own, seen, table(self.kind, training=False), self._device)
        needless = self.shortcuts.no_masks and bool(mask.all())
        return Lane(kit, role, kit.layers.placing(rotation), None if needless else mask)

    @torch.no_grad()
    def ask(self, text: Tensor) -> None:
        """Set the instruction: text embeddings (B or 1, L, text_dim), zero after the end of the text.

        Raises:
            ShapeError: not the card's number of tokens.
        """
        p, batch = self.model.params, len(self._noise)
        if text.shape[-2:] != (p.text_length, p.video.text_dim):
            raise ShapeError(
                mismatch("text", (p.text_length, p.video.text_dim), tuple(text.shape[-2:]), "embed it for this model")
            )
        moved = text.to(self._device, self.model.proprio_encoder.weight.dtype).expand(batch, -1, -1)
        for source in self._text:
            source.ask(moved)
        self._asked = True

    def warm_up(self, chunks: int = 2) -> None:
        """Make the next ``act`` as fast as every later one: record graphs, compile, touch all weights.

        Without an instruction it uses an empty one, so ``ask`` may come later.
        """
        if not self._asked:
            p = self.model.params
            self.ask(torch.zeros(1, p.text_length, p.video.text_dim))
        for _ in range(chunks):
            self.act(self._picture, self._proprio, (self._noise, self._frames_noise))

    @torch.no_grad()
    def act(
        self, picture: Tensor, proprio: Tensor, noise: tuple[Tensor, Tensor], prefix: Prefix | None = None
    ) -> Sampled:
        """Return a chunk; the first call also records graphs and compiles, where these are chosen.

        Args:
            picture: (B, 3, H, W) in -1..1.
            proprio: (B, P) normalised.
            noise: from ``sampling.noise_for``.
            prefix: rows that are given; only for an engine built ``with_prefix``.

        Raises:
            ConfigError: no instruction yet, or a prefix that the engine was not built for.
            ShapeError: an input of another size.
        """
        if prefix is not None and not self._with_prefix:
            raise ConfigError("engine: a prefix was given to an engine built without; build it with_prefix=True")
        if not self._asked:
            raise ConfigError("engine: expected an instruction, got none; call ask before act")
        _write(self._picture, picture, "picture")
        _write(self._proprio, proprio, "state")
        _write(self._noise, noise[0], "noise of the rows")
        _write(self._frames_noise, noise[1], "noise of the frames")
        self._clean_rows.zero_()
        if prefix is not None:
            _write(self._given, prefix.rows, "given rows")
            _write(self._clean_rows, prefix.clean[..., None], "flags of the given rows")
        if not self._ready:
            self._prepare()
        with torch.inference_mode():
            self._perceive()
            self._decide()
        return Sampled(self._rows.clone(), None if self.kind == "main" else self._frames.clone())

    def _prepare(self) -> None:
        """Choose how the two halves run: recorded or called."""
        self._perceive, self._decide = self._perceive_once, self._decide_once
        if self.shortcuts.graphs:
            # In this order: the second graph reads what the first one leaves.
            self._perceive = Replay(self._perceive_once)
            self._decide = Replay(self._decide_once)
        self._ready = True

    def _perceive_once(self) -> None:
        """Encode the picture, and leave the first frame's keys and values."""
        latent = self._encode(self._picture)
        self._first_tokens = self.model.video.embed_first(latent, self._picture)
        token = self.model.proprio_encoder(self._proprio.to(self.model.proprio_encoder.weight.dtype))[:, None]
        for source in self._text:
            source.tell(token)
        if self._first_frame_once:
            self._first.run(self._first_tokens, 0.0, keys_only=True)

    @property
    def _first_frame_once(self) -> bool:
        # The main procedure denoises no video, so even the released code runs the first frame once.
        return self.shortcuts.first_frame_once or self.kind == "main"

    def _decide_once(self) -> None:
        """Denoise the rows, and the future where the procedure has one."""
        rows, frames, plan, target = self._noise, self._frames_noise, self._plan, self.model.params.target
        if self.kind == "idm":
            for step in range(plan.video.steps):
                predicted = self._imagine(frames, plan.video.times[step])
                frames = euler_step(frames, predicted, plan.video, step, target)
            self._imagine(frames, 0.0, keys_only=True)
        for step in range(plan.action.steps):
            if self.kind == "joint":
                predicted = self._imagine(frames, plan.video.times[step])
                frames = euler_step(frames, predicted, plan.video, step, target)
            rows = self._with_given(rows)
            x, _ = self._action.run(
                self.model.action.embed(rows), plan.action.times[step], self._clean_rows if self._with_prefix else None
            )
            predicted = self.model.action.unembed(x.to(self.model.action.dtype))
            rows = euler_step(rows, predicted, plan.action, step, target, self._guide)
        self._rows, self._frames = self._with_given(rows), frames

    def _with_given(self, rows: Tensor) -> Tensor:
        return torch.where(self._clean_rows, self._given, rows) if self._with_prefix else rows

    def _imagine(self, frames: Tensor, t: float, *, keys_only: bool = False) -> Tensor:
        """Predict later frames (B, C, T-1, h, w) and leave their keys and values."""
        video, x = self.model.video, self.model.video.embed_future(frames)
        if self._first_frame_once:
            x, time = self._future.run(x, t, keys_only=keys_only)
        else:
            n = self._first_tokens.shape[1]
            both = torch.cat((self._first_tokens, x), dim=1)
            x, time = self._video.run(both, t, self._clean_first, keys_only=keys_only)
            x, time = x[:, n:], time[:, n:]
        return frames if keys_only else video.unembed(x.to(video.dtype), time)


def _write(static: Tensor, value: Tensor, what: str) -> None:
    """Write a value in place; a size that would only broadcast is refused."""
    if value.shape != static.shape:
        raise ShapeError(mismatch(what, tuple(static.shape), tuple(value.shape), "give it for every sample"))
    static.copy_(value)
